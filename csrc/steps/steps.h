/* What the steps share: three signatures, the vector type, the sizes of tiles and blocks. float only, row after row.
 *
 * A step is one file that gives one of these functions. It sets its result, which shares no memory with an operand. A step
 * that needs room to work in also says how many floats (.._space); the others have no such function. */
#ifndef STEPS_H
#define STEPS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* C (m, n) = A (m, k) B (k, n). Only the last step looks at threads. */
void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, float *space, int64_t threads);
int64_t gemm_space(int64_t threads);

/* y (n, p, q, o) = sum over r, s, i of filter (r, s, i, o) x (n, p stride + r - pad, q stride + s - pad, i), x zero outside */
struct conv_sizes {
    int64_t images, height, width, inner, outer, taps, stride, pad, rows, columns;
};
void conv(const struct conv_sizes *z, const float *x, const float *filter, float *y, float *space);
int64_t conv_space(const struct conv_sizes *z);

/* y (h, m, d) = softmax(q k^T / sqrt(d)) v   of q (h, m, d), k (h, n, d), v (h, n, d) for each head; at least one key */
void attention(int64_t heads, int64_t m, int64_t n, int64_t d, const float *q, const float *k, const float *v, float *y,
               float *space);
int64_t attention_space(int64_t heads, int64_t m, int64_t n, int64_t d);

#define UNUSED __attribute__((unused))
#define INLINE static inline __attribute__((always_inline))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))

/* A tile of C is MR rows of NV vectors: its sums, one row of B and one number of A fill the vector registers, of which
 * there are 32 (AVX-512, NEON) or 16 (AVX2, SSE2). */
#if defined(__AVX512F__)
enum { VECTOR_BYTES = 64, MR = 12, NV = 2 };
#elif defined(__AVX2__)
enum { VECTOR_BYTES = 32, MR = 6, NV = 2 };
#elif defined(__aarch64__)
enum { VECTOR_BYTES = 16, MR = 8, NV = 3 };
#else
enum { VECTOR_BYTES = 16, MR = 4, NV = 2 };
#endif

/* VL floats in one register; + - * / work on all of them, loads and stores take any address. */
typedef float vec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
enum { VL = VECTOR_BYTES / 4, NR = NV * VL };

/* Panels (KC, NR) of B stay in the first cache, blocks (KC, NC) in the second. */
enum { KC = 384, NC = 768 / NR * NR };

#endif
