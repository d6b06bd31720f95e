/* Step 3: a tile of C in registers.   4 rows of 2 VL columns are summed over all of p, and only then stored.
 *
 * Step 2 carried every c_ij to the first cache and back for every p. Here C is stored once, each b_pj that was loaded
 * serves 4 rows, each a_ip 2 vectors: 6 loads for 8 multiply-adds. Borders that do not fill a tile are left to step 2's loops.
 *
 * The tile is an ordinary array for each row; that it lives in registers is the compiler's doing. It may be lost by a
 * change that looks harmless: with one array sum[4][COLUMNS] and a loop over its rows, GCC 12 makes this step as fast as the
 * next for one width of vectors, and slower than step 2 for the others.
 *
 *     loads = (1/4 + 1/2) m n k / VL;   B comes m/4 times from wherever it stays
 *
 * Where B is larger than the second cache this hardly helps: memory waits then, until step 5.
 *
 * Callahan, Carr & Kennedy, "Improving register allocation for subscripted variables" (1990): unroll-and-jam. */
#include "steps.h"

enum { ROWS = 4, COLUMNS = 2 * VL };

/* c (4, COLUMNS) = a (4, k) b (k, COLUMNS), with rows of n */
static void tile(int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c)
{
    float c_0[COLUMNS] = {0}, c_1[COLUMNS] = {0}, c_2[COLUMNS] = {0}, c_3[COLUMNS] = {0};
    for (int64_t p = 0; p < k; p++)
        for (int j = 0; j < COLUMNS; j++) {
            const float b_pj = b[p * n + j];
            c_0[j] += a[p] * b_pj;
            c_1[j] += a[p + k] * b_pj;
            c_2[j] += a[p + 2 * k] * b_pj;
            c_3[j] += a[p + 3 * k] * b_pj;
        }
    memcpy(c, c_0, sizeof c_0);
    memcpy(c + n, c_1, sizeof c_1);
    memcpy(c + 2 * n, c_2, sizeof c_2);
    memcpy(c + 3 * n, c_3, sizeof c_3);
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
    for (int64_t i = 0; i < m; i += ROWS)
        for (int64_t j = 0; j < n; j += COLUMNS) {
            if (i + ROWS <= m && j + COLUMNS <= n)
                tile(n, k, a + i * k, b + j, c + i * n + j);
            else
                border(MIN(ROWS, m - i), MIN(COLUMNS, n - j), n, k, a + i * k, b + j, c + i * n + j);
        }
}
