/* The vector type of this build, and the few operations that the compilers' vector extensions do not say.
 *
 * A vec holds VL elements of T (vec[i] is element i; + - * / work on whole vectors); GCC and Clang translate it for
 * whatever instruction set the file is compiled for. Unaligned on purpose: loads and stores take any address. */
#ifndef MV_SIMD_H
#define MV_SIMD_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef _OPENMP
#include <omp.h>
#endif

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16 /* SSE2, NEON */
#endif

#define INLINE static inline __attribute__((always_inline))
/* The compiler may not look through p: it keeps one pointer (one vector) in a register instead of computing a dozen addresses
 * ahead (of loading it anew for each use). */
#define HOLD(p) __asm__("" : "+r"(p))
#if defined(__AVX512F__)
#define HOLD_VEC(x) __asm__("" : "+v"(x))
#elif defined(__x86_64__)
#define HOLD_VEC(x) __asm__("" : "+x"(x))
#elif defined(__aarch64__)
#define HOLD_VEC(x) __asm__("" : "+w"(x))
#else
#define HOLD_VEC(x) (void)0
#endif
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t ivec_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int64_t ivec_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

#endif
