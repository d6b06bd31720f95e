/* Step 5: blocks that fit the caches.   All rows of A meet a block (KC, NC) of B before the next block is touched.
 *
 * Step 4 fetched B, 4 k n bytes, anew for every MR rows of A; where B is larger than the second cache that is slower than
 * the multiply-adds. A block of 4 KC NC bytes stays in the second cache, and one of its panels, 4 KC NR bytes, in the
 * first. The price: C is loaded and stored once for every block of p. Matrices that fit the cache as they are gain nothing.
 *
 *     memory: B once, A n/NC times, C 2 k/KC times;   second cache: B m/MR times
 *
 * What waits still: the rows of a panel lie n numbers apart. Each is on another page, whose address must be looked up, and
 * where n is a power of two many of them fall on the same few places of the first cache and push one another out.
 *
 * Lam, Rothberg & Wolf, "The cache performance and optimizations of blocked algorithms" (1991). */
#include "steps.h"

/* c (MR, NR) += a (MR, kc) b (kc, NR), with rows of k in A and of n in B and C */
static void tile(int64_t n, int64_t k, int64_t kc, const float *a, const float *b, float *c)
{
    vec sum[MR][NV] = {{{0}}};
    for (int64_t p = 0; p < kc; p++) {
        vec b_p[NV];
        for (int v = 0; v < NV; v++)
            b_p[v] = *(const vec *)(b + p * n + v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
            const vec a_ip = a[i * k + p] - (vec){0};
            for (int v = 0; v < NV; v++)
                sum[i][v] += a_ip * b_p[v];
        }
    }
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            *(vec *)(c + i * n + v * VL) += sum[i][v];
}

static void border(int64_t rows, int64_t columns, int64_t n, int64_t k, int64_t kc, const float *restrict a,
                   const float *restrict b, float *restrict c)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < kc; p++)
            for (int64_t j = 0; j < columns; j++)
                c[i * n + j] += a[i * k + p] * b[p * n + j];
}

/* c (m, nc) += a (m, kc) b (kc, nc) */
static void block(int64_t m, int64_t nc, int64_t kc, int64_t n, int64_t k, const float *a, const float *b, float *c)
{
    for (int64_t i = 0; i < m; i += MR)
        for (int64_t j = 0; j < nc; j += NR) {
            if (i + MR <= m && j + NR <= nc)
                tile(n, k, kc, a + i * k, b + j, c + i * n + j);
            else
                border(MIN(MR, m - i), MIN(NR, nc - j), n, k, kc, a + i * k, b + j, c + i * n + j);
        }
}

void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, UNUSED float *space, UNUSED int64_t threads)
{
    memset(c, 0, (size_t)(m * n) * sizeof(float));
    for (int64_t j = 0; j < n; j += NC)
        for (int64_t p = 0; p < k; p += KC)
            block(m, MIN(NC, n - j), MIN(KC, k - p), n, k, a + p, b + p * n + j, c + j);
}
