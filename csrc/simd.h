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
#if defined(__AVX2__)
#include <immintrin.h>
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
 * ahead (of loading it anew for each use, at twice the time where arrays do not stand on whole vectors). */
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
#ifdef _OPENMP
#define THREAD ((int64_t)omp_get_thread_num())
#else
#define THREAD ((int64_t)0)
#endif
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

typedef float vec_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef double vec_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));
typedef int32_t ivec_f32 __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef int64_t ivec_f64 __attribute__((vector_size(VECTOR_BYTES), aligned(8), may_alias));

/* Bytes as integers as wide as an element: of __builtin_convertvector GCC 12 makes ten instructions. */
INLINE ivec_f32 widen_f32(const int8_t *bytes)
{
#if defined(__AVX512F__)
    return (ivec_f32)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)bytes));
#elif defined(__AVX2__)
    return (ivec_f32)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)bytes));
#else
    return (ivec_f32){bytes[0], bytes[1], bytes[2], bytes[3]};
#endif
}

INLINE ivec_f64 widen_f64(const int8_t *bytes)
{
#if defined(__AVX512F__)
    return (ivec_f64)_mm512_cvtepi8_epi64(_mm_loadl_epi64((const __m128i *)bytes));
#elif defined(__AVX2__)
    return (ivec_f64){bytes[0], bytes[1], bytes[2], bytes[3]};
#else
    return (ivec_f64){bytes[0], bytes[1]};
#endif
}

/* The first n elements of a vector, 0 < n < VL, and no byte beyond them. */
#if defined(__AVX512F__)
#define FIRST(n) ((1u << (n)) - 1)
static inline vec_f32 load_part_f32(const float *p, int64_t n)
{
    return (vec_f32)_mm512_maskz_loadu_ps((__mmask16)FIRST(n), p);
}
static inline vec_f64 load_part_f64(const double *p, int64_t n)
{
    return (vec_f64)_mm512_maskz_loadu_pd((__mmask8)FIRST(n), p);
}
static inline void store_part_f32(float *p, int64_t n, vec_f32 x)
{
    _mm512_mask_storeu_ps(p, (__mmask16)FIRST(n), (__m512)x);
}
static inline void store_part_f64(double *p, int64_t n, vec_f64 x)
{
    _mm512_mask_storeu_pd(p, (__mmask8)FIRST(n), (__m512d)x);
}
#elif defined(__AVX2__)
static inline __m256i first_f32(int64_t n)
{
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}
static inline __m256i first_f64(int64_t n)
{
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3));
}
static inline vec_f32 load_part_f32(const float *p, int64_t n)
{
    return (vec_f32)_mm256_maskload_ps(p, first_f32(n));
}
static inline vec_f64 load_part_f64(const double *p, int64_t n)
{
    return (vec_f64)_mm256_maskload_pd(p, first_f64(n));
}
static inline void store_part_f32(float *p, int64_t n, vec_f32 x)
{
    _mm256_maskstore_ps(p, first_f32(n), (__m256)x);
}
static inline void store_part_f64(double *p, int64_t n, vec_f64 x)
{
    _mm256_maskstore_pd(p, first_f64(n), (__m256d)x);
}
#else
#define PART(type, name)                                                                                                         \
    static inline vec_##name load_part_##name(const type *p, int64_t n)                                                          \
    {                                                                                                                            \
        vec_##name x = {0};                                                                                                      \
        for (int64_t i = 0; i < VECTOR_BYTES / (int64_t)sizeof(type); i++)                                                       \
            if (i < n)                                                                                                           \
                x[i] = p[i];                                                                                                     \
        return x;                                                                                                                \
    }                                                                                                                            \
    static inline void store_part_##name(type *p, int64_t n, vec_##name x)                                                       \
    {                                                                                                                            \
        for (int64_t i = 0; i < VECTOR_BYTES / (int64_t)sizeof(type); i++)                                                       \
            if (i < n)                                                                                                           \
                p[i] = x[i];                                                                                                     \
    }
PART(float, f32)
PART(double, f64)
#undef PART
#endif

#endif
