/* One row times a matrix:  c = a B + bias.   2 n k flops; every element of B is read once and used once, so that memory is the
 * limit, and packing B (gemm.inc.c) would move it three times.
 *
 *   j  column of c, 0..n      p  reduction, 0..k      b_pj  where B's (p, j) stands, by strides b_p and b_j, one of which is 1
 *
 * B dense along its rows: a_p times row p, for a few vectors of columns that stay in registers. B dense along its columns, as
 * weights are kept: scalar products, a few columns at a time. The columns of a group are summed by themselves, in the order of
 * p: the same bits for any number of threads. */

#define GEMV_VECTORS 8
#define GEMV_COLUMNS 4
#define GEMV_WIDTH (GEMV_VECTORS * VL)

/* Columns of a B whose rows are dense. */
INLINE void FN(gemv_rows)(int64_t columns, int64_t k, const T *restrict a, const T *restrict b, int64_t b_p, T *c, const T *bias)
{
    if (columns < GEMV_WIDTH) {
        for (int64_t j = 0; j < columns; j += VL) {
            vec sum = {0};
            for (int64_t p = 0; p < k; p++)
                sum += a[p] * FN(load)(b + p * b_p + j, columns - j);
            if (bias)
                sum += FN(load)(bias + j, columns - j);
            FN(store)(c + j, columns - j, sum);
        }
        return;
    }
    vec sum[GEMV_VECTORS];
    for (int v = 0; v < GEMV_VECTORS; v++)
        sum[v] = (vec){0};
    for (int64_t p = 0; p < k; p++, b += b_p) {
        const vec a_p = a[p] - (vec){0};
        for (int v = 0; v < GEMV_VECTORS; v++) {
            __builtin_prefetch(b + 8 * b_p + v * VL);
            sum[v] += a_p * *(const vec *)(b + v * VL);
        }
    }
    for (int v = 0; v < GEMV_VECTORS; v++) {
        if (bias)
            sum[v] += *(const vec *)(bias + v * VL);
        *(vec *)(c + v * VL) = sum[v];
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
            for (int i = 0; i < GEMV_COLUMNS; i++)
                sum[i] += a_p * *(const vec *)(b_j0[i] + p);
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
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t j = 0; j < n; j += GEMV_WIDTH) {
        const int64_t columns = MIN(GEMV_WIDTH, n - j);
        const T *bias_j = bias ? bias + j : NULL;
        if (b_j == 1)
            FN(gemv_rows)(columns, k, a, b + j, b_p, c + j, bias_j);
        else
            FN(gemv_columns)(columns, k, a, b + j * b_j, b_j, c + j, bias_j);
    }
}
