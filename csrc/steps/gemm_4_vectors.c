/* Step 4: vectors by name, and as large a tile as the registers hold.   MR x NV vectors: 12 x 2 of AVX-512, 6 x 2 of AVX2.
 *
 * Step 3's 8 sums are the fewest that keep two multiply-add units of latency 4 at work: any hiccup shows, and it loaded 3
 * times for 4 multiply-adds. With MR NV = 24 sums no unit waits for a result, and a loaded vector of B serves MR rows: 7 loads
 * for 12. The vector type leaves nothing to luck: a vec is a register, and constant bounds let the compiler unroll both loops.
 *
 *     sums needed: MR NV >= LATENCY x units;   loads = (1/MR + 1/NV) m n k / VL
 *
 * What waits now, for matrices beyond the caches, is memory: B comes m/MR times, a column of tiles at a time.
 *
 * Low, Igual, Smith & Quintana-Orti, "Analytical modeling is enough for high-performance BLIS" (2016), section 4.1. */
#include "steps.h"

/* c (MR, NR) = a (MR, k) b (k, NR), with rows of n */
static void tile(int64_t n, int64_t k, const float *a, const float *b, float *c)
{
    vec sum[MR][NV] = {{{0}}};
    for (int64_t p = 0; p < k; p++) {
        vec b_p[NV];
        for (int v = 0; v < NV; v++)
            b_p[v] = *(const vec *)(b + p * n + v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
            const vec a_ip = a[i * k + p] - (vec){0}; /* one number, VL times */
            for (int v = 0; v < NV; v++)
                sum[i][v] += a_ip * b_p[v];
        }
    }
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            *(vec *)(c + i * n + v * VL) = sum[i][v];
}

static void border(int64_t rows, int64_t columns, int64_t n, int64_t k, const float *restrict a, const float *restrict b,
                   float *restrict c)
{
    for (int64_t i = 0; i < rows; i++) {
        memset(c + i * n, 0, (size_t)columns * sizeof(float));
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < columns; j++)
                c[i * n + j] += a[i * k + p] * b[p * n + j];
    }
}

void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, UNUSED float *space, UNUSED int64_t threads)
{
    for (int64_t i = 0; i < m; i += MR)
        for (int64_t j = 0; j < n; j += NR) {
            if (i + MR <= m && j + NR <= n)
                tile(n, k, a + i * k, b + j, c + i * n + j);
            else
                border(MIN(MR, m - i), MIN(NR, n - j), n, k, a + i * k, b + j, c + i * n + j);
        }
}
