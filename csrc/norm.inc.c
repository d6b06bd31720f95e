/* Layer normalisation (Ba et al. 2016):  y = h w + b,  h = (x - mean) r,  r = 1 / sqrt(variance + eps).
 *
 *   i  row, 0..m      j  position in the row, 0..n
 *
 * Sums over rows (dw, db, and the bias gradient of any linear layer) are taken in SUM_CHUNKS chunks whose borders depend
 * on m alone, and the chunks are added in order: the same bits for any number of threads. */

#define SUM_CHUNKS ((int64_t)16)

/* The definition, one row. */
static void FN(layer_norm_definition)(int64_t n, const T *x, const T *w, const T *b, T eps, T *y, T *mean, T *r)
{
    T sum = 0, squares = 0;
    for (int64_t j = 0; j < n; j++)
        sum += x[j];
    *mean = sum / (T)n;
    for (int64_t j = 0; j < n; j++)
        squares += (x[j] - *mean) * (x[j] - *mean);
    *r = 1 / (T)sqrt((double)(squares / (T)n + eps));
    for (int64_t j = 0; j < n; j++)
        y[j] = (x[j] - *mean) * *r * (w ? w[j] : 1) + (b ? b[j] : 0);
}

/* One row by vectors: the same three passes, over a row that the first one brought into the cache. */
INLINE void FN(layer_norm_row)(int64_t n, const T *x, const T *w, const T *b, T eps, T *y, T *mean, T *r)
{
    vec sum = {0}, squares = {0};
    for (int64_t j = 0; j < n; j += VL)
        sum += FN(load)(x + j, n - j);
    const T m = FN(sum_lanes)(sum) / (T)n;
    int64_t j = 0;
    for (; j + VL <= n; j += VL) {
        vec c = *(const vec *)(x + j) - m;
        squares += c * c;
    }
    T rest = 0;
    for (; j < n; j++)
        rest += (x[j] - m) * (x[j] - m);
    const T s = 1 / (T)sqrt((double)((FN(sum_lanes)(squares) + rest) / (T)n + eps));
    for (j = 0; j < n; j += VL) {
        vec h = (FN(load)(x + j, n - j) - m) * s;
        if (w)
            h *= FN(load)(w + j, n - j);
        if (b)
            h += FN(load)(b + j, n - j);
        FN(store)(y + j, n - j, h);
    }
    *mean = m;
    *r = s;
}

static void FN(layer_norm)(int64_t m, int64_t n, const T *x, const T *w, const T *b, T eps, T *y, T *mean, T *r, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < m; i++)
        FN(layer_norm_row)(n, x + i * n, w, b, eps, y + i * n, mean + i, r + i);
}

/* dx = r (g - mean g - h mean(g h)),  g = dy w,  and this row's share of dw = dy h, db = dy */
INLINE void FN(layer_norm_row_vjp)(int64_t n, const T *dy, const T *x, const T *w, T mean, T r, T *dx, T *dw, T *db)
{
    vec sum_g = {0}, sum_gh = {0};
    for (int64_t j = 0; j < n; j += VL) {
        const int64_t left = n - j;
        vec dy_j = FN(load)(dy + j, left), h = (FN(load)(x + j, left) - mean) * r, dyh = dy_j * h;
        vec w_j = w ? FN(load)(w + j, left) : FN(splat)(1);
        sum_g += dy_j * w_j;
        sum_gh += dyh * w_j;
        FN(store)(dw + j, left, FN(load)(dw + j, left) + dyh);
        FN(store)(db + j, left, FN(load)(db + j, left) + dy_j);
    }
    const T mean_g = FN(sum_lanes)(sum_g) / (T)n, mean_gh = FN(sum_lanes)(sum_gh) / (T)n;
    for (int64_t j = 0; j < n; j += VL) {
        const int64_t left = n - j;
        vec h = (FN(load)(x + j, left) - mean) * r, g = FN(load)(dy + j, left);
        if (w)
            g *= FN(load)(w + j, left);
        FN(store)(dx + j, left, (g - mean_g - h * mean_gh) * r);
    }
}

/* total_j = sum of the chunks' partial sums, in order */
static void FN(add_chunks)(int64_t n, int64_t stride, const T *partial, T *total)
{
    memset(total, 0, (size_t)n * sizeof(T));
    for (int64_t chunk = 0; chunk < SUM_CHUNKS; chunk++)
        for (int64_t j = 0; j < n; j++)
            total[j] += partial[chunk * stride + j];
}

/* partial: SUM_CHUNKS * 2 * n elements of workspace */
static void FN(layer_norm_vjp)(int64_t m, int64_t n, const T *dy, const T *x, const T *w, const T *mean, const T *r, T *dx, T *dw,
                               T *db, T *partial, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t chunk = 0; chunk < SUM_CHUNKS; chunk++) {
        T *dw_c = partial + chunk * 2 * n, *db_c = dw_c + n;
        memset(dw_c, 0, (size_t)(2 * n) * sizeof(T));
        for (int64_t i = m * chunk / SUM_CHUNKS; i < m * (chunk + 1) / SUM_CHUNKS; i++)
            FN(layer_norm_row_vjp)(n, dy + i * n, x + i * n, w, mean[i], r[i], dx + i * n, dw_c, db_c);
    }
    FN(add_chunks)(n, 2 * n, partial, dw);
    FN(add_chunks)(n, 2 * n, partial + n, db);
}

/* y_j = sum_i x_ij;  partial: SUM_CHUNKS * n elements of workspace */
static void FN(sum_rows)(int64_t m, int64_t n, const T *x, int64_t x_i, T *y, T *partial, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t chunk = 0; chunk < SUM_CHUNKS; chunk++) {
        T *sum = partial + chunk * n;
        memset(sum, 0, (size_t)n * sizeof(T));
        for (int64_t i = m * chunk / SUM_CHUNKS; i < m * (chunk + 1) / SUM_CHUNKS; i++)
            for (int64_t j = 0; j < n; j++)
                sum[j] += x[i * x_i + j];
    }
    FN(add_chunks)(n, n, partial, y);
}
