/* One row times a matrix:  c = a B + bias.   2 n k flops; every element of B is read once and used once, so that memory is the
 * limit, and packing B (gemm.inc.c) would move it three times.
 *
 *   j  column of c, 0..n      p  reduction, 0..k      b_pj  where B's (p, j) stands, by strides b_p and b_j, one of which is 1
 *
 * B dense along its rows: a_p times row p, a few rows at a time, for columns whose sums stay in the first cache. B dense along its
 * columns, as weights are kept: scalar products, a few columns at a time. Every column is summed by itself, in the order of p: the
 * same bits for any number of threads. */

#define GEMV_ROWS 4
#define GEMV_COLUMNS 4
#define GEMV_WIDTH (16 * VL)

/* Columns of a B whose rows are dense: c += a_p row p, GEMV_ROWS rows at a time, each read along. */
INLINE void FN(gemv_rows)(int64_t columns, int64_t k, const T *restrict a, const T *restrict b, int64_t b_p, T *restrict c,
                          const T *bias)
{
    for (int64_t j = 0; j < columns; j++)
        c[j] = bias ? bias[j] : 0;
    const int64_t whole = columns / VL * VL;
    for (int64_t p = 0; p < k; p += GEMV_ROWS, b += GEMV_ROWS * b_p) {
        const int64_t rows = MIN(GEMV_ROWS, k - p);
        if (rows == GEMV_ROWS)
            for (int64_t j = 0; j < whole; j += VL) {
                vec sum = *(vec *)(c + j);
                for (int i = 0; i < GEMV_ROWS; i++) {
                    __builtin_prefetch(b + (GEMV_ROWS + i) * b_p + j);
                    sum += a[p + i] * *(const vec *)(b + i * b_p + j);
                }
                *(vec *)(c + j) = sum;
            }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = rows == GEMV_ROWS ? whole : 0; j < columns; j++)
                c[j] += a[p + i] * b[i * b_p + j];
    }
}

/* Columns of a B that is dense along each. */
INLINE void FN(gemv_columns)(int64_t columns, int64_t k, const T *restrict a, const T *restrict b, int64_t b_j, T *c,
                             const T *bias)
{
    for (int64_t j = 0; j < columns; j += GEMV_COLUMNS) {
        const int64_t some = MIN(GEMV_COLUMNS, columns - j);
        vec sum[GEMV_COLUMNS];
        for (int i = 0; i < GEMV_COLUMNS; i++)
            sum[i] = (vec){0};
        const T *b_j0[GEMV_COLUMNS];
        for (int i = 0; i < GEMV_COLUMNS; i++)
            b_j0[i] = b + (j + MIN(i, some - 1)) * b_j; /* absent columns are the last one */
        const int64_t whole = k / VL * VL;
        for (int64_t p = 0; p < whole; p += VL) {
            const vec a_p = *(const vec *)(a + p);
            for (int i = 0; i < GEMV_COLUMNS; i++) {
                __builtin_prefetch(b_j0[i] + GEMV_COLUMNS * b_j + p); /* of the next columns */
                sum[i] += a_p * *(const vec *)(b_j0[i] + p);
            }
        }
        if (whole < k)
            for (int i = 0; i < GEMV_COLUMNS; i++)
                sum[i] += FN(load)(a + whole, k - whole) * FN(load)(b_j0[i] + whole, k - whole);
        for (int64_t i = 0; i < some; i++)
            c[j + i] = FN(sum_lanes)(sum[i]) + (bias ? bias[j + i] : 0);
    }
}

/* Whether a product is one row times a matrix that need not be packed. */
INLINE int FN(is_gemv)(int64_t m, int64_t k, int64_t a_p, int64_t b_p, int64_t b_j)
{
    return m == 1 && k > 0 && (a_p == 1 || k == 1) && (b_j == 1 || b_p == 1);
}

static void FN(gemv)(int64_t n, int64_t k, const T *a, const T *b, int64_t b_p, int64_t b_j, T *c, const T *bias, int64_t threads)
{
    if (2.0 * (double)n * (double)k < SERIAL_FLOPS / 8) /* each waits for memory as long as eight in a matrix product take */
        threads = 1;
    const int64_t fair = (n + threads * GEMV_WIDTH - 1) / (threads * GEMV_WIDTH), width = MIN(GEMV_GROUPS, fair) * GEMV_WIDTH;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t j = 0; j < n; j += width) {
        const int64_t columns = MIN(width, n - j);
        const T *bias_j = bias ? bias + j : NULL;
        if (b_j == 1)
            FN(gemv_rows)(columns, k, a, b + j, b_p, c + j, bias_j);
        else
            FN(gemv_columns)(columns, k, a, b + j * b_j, b_j, c + j, bias_j);
    }
}
