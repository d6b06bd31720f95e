/* Step 6: packed panels.   Each block of B is copied once, panel behind panel, each panel (kc, NR) in one piece.
 *
 * Step 5 read panels whose rows lie n numbers apart. Packed, a panel is one run of memory: no two of its lines compete for
 * a place in the first cache, a few pages hold all of it, and the processor fetches ahead. A copy of k n numbers serves
 * m n k multiply-adds. Columns that are missing from the last panel, and rows from the last MR of A, become zeros, so
 * that every tile is a full one and no border runs through slow loops. Full rows of A are read where they stand.
 *
 *     loads and stores to pack = 2 k n / VL, a share of 2/m of the multiply-adds;   the rest as in step 5
 *
 * This is what csrc/gemm.inc.c does, for two types, any strides, batches, and with a bias.
 *
 * Goto & van de Geijn, "Anatomy of high-performance matrix multiplication" (2008). */
#include "steps.h"

/* sum = a (MR, k) b (k, NR) of a packed panel; a_i: the length of A's rows */
INLINE void tile(int64_t k, const float *a, int64_t a_i, const float *b, vec sum[MR][NV])
{
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < NV; v++)
            sum[i][v] = (vec){0};
    for (int64_t p = 0; p < k; p++) {
        vec b_p[NV];
        for (int v = 0; v < NV; v++)
            b_p[v] = *(const vec *)(b + p * NR + v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
            const vec a_ip = a[i * a_i + p] - (vec){0};
            for (int v = 0; v < NV; v++)
                sum[i][v] += a_ip * b_p[v];
        }
    }
}

/* The part (rows, columns) of a tile goes to C: set at the first block of p, added at the later ones. */
INLINE void store(vec sum[MR][NV], int64_t rows, int64_t columns, float *c, int64_t c_i, int first)
{
    for (int64_t i = 0; i < rows; i++) {
        const float *sum_i = (const float *)sum[i];
        if (columns == NR)
            for (int v = 0; v < NV; v++)
                *(vec *)(c + i * c_i + v * VL) = sum[i][v] + (first ? (vec){0} : *(vec *)(c + i * c_i + v * VL));
        else
            for (int64_t j = 0; j < columns; j++)
                c[i * c_i + j] = sum_i[j] + (first ? 0 : c[i * c_i + j]);
    }
}

/* b (k, n) as panels (k, NR), absent columns zero */
static void pack(int64_t k, int64_t n, const float *b, int64_t b_p, float *packed)
{
    for (int64_t j = 0; j < n; j += NR)
        for (int64_t p = 0; p < k; p++, packed += NR) {
            if (j + NR <= n)
                memcpy(packed, b + p * b_p + j, NR * sizeof(float));
            else
                for (int64_t l = 0; l < NR; l++)
                    packed[l] = j + l < n ? b[p * b_p + j + l] : 0;
        }
}

/* c (m, n) = or += a (m, k) times packed panels; `rows_a` (MR, k) takes the last rows of A where they are fewer than MR */
static void panels(int64_t m, int64_t n, int64_t k, const float *a, int64_t a_i, const float *packed, float *c, int64_t c_i,
                   int first, float *rows_a)
{
    for (int64_t i = 0; i < m; i += MR) {
        const int64_t rows = MIN(MR, m - i);
        memset(rows_a, 0, rows < MR ? (size_t)(MR * k) * sizeof(float) : 0);
        for (int64_t l = 0; rows < MR && l < rows; l++)
            memcpy(rows_a + l * k, a + (i + l) * a_i, (size_t)k * sizeof(float));
        for (int64_t j = 0; j < n; j += NR) {
            vec sum[MR][NV];
            tile(k, rows < MR ? rows_a : a + i * a_i, rows < MR ? k : a_i, packed + j * k, sum);
            store(sum, rows, MIN(NR, n - j), c + i * c_i + j, c_i, first);
        }
    }
}

/* c (m, n) = a (m, k) b (k, n), with rows of k in A and of `row` in B and C */
static void slice(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, int64_t row, float *space)
{
    for (int64_t j = 0; j < n; j += NC)
        for (int64_t p = 0; p == 0 || p < k; p += KC) {
            const int64_t nc = MIN(NC, n - j), kc = MIN(KC, k - p);
            pack(kc, nc, b + p * row + j, row, space);
            panels(m, nc, kc, a + p, k, space, c + j, row, p == 0, space + KC * NC);
        }
}

int64_t gemm_space(UNUSED int64_t threads)
{
    return KC * (NC + MR);
}

void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, float *space, UNUSED int64_t threads)
{
    slice(m, n, k, a, b, c, n, space);
}
