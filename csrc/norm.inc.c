/* Layer normalisation (Ba et al. 2016):  y = h w + b,  h = (x - mean) r,  r = 1 / sqrt(variance + eps);
 * RMS normalisation (Zhang & Sennrich 2019): the same with mean 0 and no b. Where a residual is given, x + residual is what
 * is normalised: a few rows of it are still in the cache when they are written, and so are those of its cotangent.
 *
 *   i  row, 0..m      j  position in the row, 0..n
 *
 * Sums over rows (dw, db, and the bias gradient of any linear layer) are taken in SUM_CHUNKS chunks whose borders depend
 * on m alone, and the chunks are added in order: the same bits for any number of threads. */

#define SUM_CHUNKS ((int64_t)16)

/* The sum of a vector's elements, halves upon halves. */
INLINE T FN(add_lanes)(vec x)
{
    T lanes[VL];
    memcpy(lanes, &x, sizeof x);
#pragma GCC unroll 8
    for (int64_t half = VL / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int64_t i = 0; i < half; i++)
            lanes[i] += lanes[half + i];
    return lanes[0];
}

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

/* The kernels take q rows at once: their chains of additions run side by side, and w, b, dw and db are loaded (and stored)
 * once for all of them. Each pass is a loop over whole vectors, then the end of the rows: `left` elements from j on. While the
 * rows at hand are worked on, each pass fetches a part of what the next ones need. */
#define ROWS 4

/* c = a + b, n elements; c may be a. */
INLINE void FN(add_arrays)(int64_t n, const T *a, const T *b, T *c)
{
    int64_t j = 0;
    for (; j + VL <= n; j += VL)
        *(vec *)(c + j) = FN(load_once)(a + j) + FN(load_once)(b + j);
    if (j < n)
        FN(store)(c + j, n - j, FN(load)(a + j, n - j) + FN(load)(b + j, n - j));
}

/* s_i += x_ij, or (x_ij - m_i)^2 */
INLINE void FN(add_rows)(int q, int64_t n, int64_t j, int64_t left, const T *x, const T *m, vec *s)
{
#pragma GCC unroll 4
    for (int i = 0; i < q; i++) {
        vec d = FN(load)(x + i * n + j, left);
        if (m) {
            __builtin_prefetch(x + (q + i) * n + j);
            d -= m[i];
            for (int64_t k = left; k < VL; k++)
                d[k] = 0;
            d *= d;
        }
        s[i] += d;
    }
}

INLINE void FN(mean_of_rows)(int q, int64_t n, const T *x, const T *m, T *mean)
{
    vec s[ROWS] = {{0}};
    int64_t j = 0;
    for (; j + VL <= n; j += VL)
        FN(add_rows)(q, n, j, VL, x, m, s);
    if (j < n)
        FN(add_rows)(q, n, j, n - j, x, m, s);
    for (int i = 0; i < q; i++)
        mean[i] = FN(add_lanes)(s[i]) / (T)n;
}

/* y = (x - m) s w + b */
INLINE void FN(write_rows)(int q, int64_t n, int64_t j, int64_t left, const T *x, const T *w, const T *b, const T *m, const T *s,
                           T *y)
{
    const vec w_j = w ? FN(load)(w + j, left) : FN(splat)(1), b_j = b ? FN(load)(b + j, left) : FN(splat)(0);
#pragma GCC unroll 4
    for (int i = 0; i < q; i++) {
        vec h = (FN(load)(x + i * n + j, left) - m[i]) * s[i];
        if (w)
            h *= w_j;
        if (b)
            h += b_j;
        FN(store)(y + i * n + j, left, h);
    }
}

/* q rows of y; not centred: RMS norm, with mean 0 */
INLINE void FN(layer_norm_rows)(int q, int64_t n, const T *x, const T *w, const T *b, T eps, int centred, T *y, T *mean, T *r)
{
    T m[ROWS] = {0}, s[ROWS];
    if (centred)
        FN(mean_of_rows)(q, n, x, NULL, m);
    FN(mean_of_rows)(q, n, x, m, s);
    for (int i = 0; i < q; i++) {
        r[i] = s[i] = 1 / (T)sqrt((double)(s[i] + eps));
        if (centred)
            mean[i] = m[i];
    }
    int64_t j = 0;
    for (; j + VL <= n; j += VL)
        FN(write_rows)(q, n, j, VL, x, w, b, m, s, y);
    if (j < n)
        FN(write_rows)(q, n, j, n - j, x, w, b, m, s, y);
}

INLINE void FN(layer_norm_task)(int64_t rows, int64_t n, const T *x, const T *w, const T *b, T eps, int centred, T *y, T *mean,
                                T *r)
{
    int64_t i = 0;
    for (; i + ROWS <= rows; i += ROWS)
        FN(layer_norm_rows)(ROWS, n, x + i * n, w, b, eps, centred, y + i * n, centred ? mean + i : NULL, r + i);
    for (; i < rows; i++)
        FN(layer_norm_rows)(1, n, x + i * n, w, b, eps, centred, y + i * n, centred ? mean + i : NULL, r + i);
}

/* mean NULL: RMS norm; residual NULL: of x alone */
static void FN(layer_norm)(int64_t m, int64_t n, const T *x, const T *residual, const T *w, const T *b, T eps, T *total, T *y,
                           T *mean, T *r, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < m; i += ROWS) {
        const int64_t rows = MIN(ROWS, m - i);
        const T *x_i = residual ? total + i * n : x + i * n;
        if (residual)
            FN(add_arrays)(rows * n, x + i * n, residual + i * n, total + i * n);
        if (mean)
            FN(layer_norm_task)(rows, n, x_i, w, b, eps, 1, y + i * n, mean + i, r + i);
        else
            FN(layer_norm_task)(rows, n, x_i, w, b, eps, 0, y + i * n, NULL, r + i);
    }
}

/* With d = x - m:  sum_g_i += dy w,  sum_gd_i += dy w d,  db += dy,  dw += dy d r_i */
INLINE void FN(add_rows_vjp)(int q, int64_t n, int64_t j, int64_t left, const T *dy, const T *x, const T *w, const T *m,
                             const T *s, int centred, vec *sum_g, vec *sum_gd, T *dw, T *db)
{
    const vec w_j = w ? FN(load)(w + j, left) : FN(splat)(1);
    vec dw_j = FN(load)(dw + j, left), db_j = FN(load)(db + j, left);
#pragma GCC unroll 4
    for (int i = 0; i < q; i++) {
        __builtin_prefetch(x + (q + i) * n + j);
        const vec g = FN(load)(dy + i * n + j, left), gd = g * (FN(load)(x + i * n + j, left) - m[i]);
        sum_g[i] += g * w_j;
        sum_gd[i] += gd * w_j;
        db_j += g;
        dw_j += gd * s[i];
    }
    FN(store)(dw + j, left, dw_j);
    if (centred)
        FN(store)(db + j, left, db_j);
}

/* dx = dy w r - d slope - level */
INLINE void FN(write_rows_vjp)(int q, int64_t n, int64_t j, int64_t left, const T *dy, const T *x, const T *w, const T *m,
                               const T *s, const T *slope, const T *level, T *dx)
{
    const vec w_j = w ? FN(load)(w + j, left) : FN(splat)(1);
#pragma GCC unroll 4
    for (int i = 0; i < q; i++) {
        __builtin_prefetch(dx + (q + i) * n + j, 1);
        const vec d = FN(load)(x + i * n + j, left) - m[i], g = FN(load)(dy + i * n + j, left) * w_j;
        __builtin_prefetch(dy + (q + i) * n + j);
        FN(store)(dx + i * n + j, left, g * s[i] - d * slope[i] - level[i]);
    }
}

/* q rows of dx = r (g - mean g - h mean(g h)),  g = dy w,  and their share of dw = dy h and db = dy. Not centred: there is no
 * mean to be differentiated, so no mean g; and no db. */
INLINE void FN(layer_norm_rows_vjp)(int q, int64_t n, const T *dy, const T *x, const T *w, const T *mean, const T *r, int centred,
                                    T *dx, T *dw, T *db)
{
    vec sum_g[ROWS] = {{0}}, sum_gd[ROWS] = {{0}};
    T m[ROWS], s[ROWS], slope[ROWS], level[ROWS];
    for (int i = 0; i < q; i++)
        m[i] = centred ? mean[i] : 0, s[i] = r[i];
    int64_t j = 0;
    for (; j + VL <= n; j += VL)
        FN(add_rows_vjp)(q, n, j, VL, dy, x, w, m, s, centred, sum_g, sum_gd, dw, db);
    if (j < n)
        FN(add_rows_vjp)(q, n, j, n - j, dy, x, w, m, s, centred, sum_g, sum_gd, dw, db);
    for (int i = 0; i < q; i++) {
        level[i] = centred ? FN(add_lanes)(sum_g[i]) / (T)n * s[i] : 0;
        slope[i] = FN(add_lanes)(sum_gd[i]) / (T)n * s[i] * s[i] * s[i];
    }
    for (j = 0; j + VL <= n; j += VL)
        FN(write_rows_vjp)(q, n, j, VL, dy, x, w, m, s, slope, level, dx);
    if (j < n)
        FN(write_rows_vjp)(q, n, j, n - j, dy, x, w, m, s, slope, level, dx);
}

/* ds: NULL, or what else x's cotangent consists of */
INLINE void FN(layer_norm_chunk_vjp)(int64_t m, int64_t n, const T *ds, const T *dy, const T *x, const T *w, const T *mean,
                                     const T *r, int centred, T *dx, T *dw, T *db)
{
    for (int64_t i = 0, rows = ROWS; i < m; i += rows) {
        T *dx_i = dx + i * n;
        rows = m - i < ROWS ? 1 : ROWS;
        if (rows == ROWS)
            FN(layer_norm_rows_vjp)(ROWS, n, dy + i * n, x + i * n, w, centred ? mean + i : NULL, r + i, centred, dx_i, dw, db);
        else
            FN(layer_norm_rows_vjp)(1, n, dy + i * n, x + i * n, w, centred ? mean + i : NULL, r + i, centred, dx_i, dw, db);
        if (ds)
            FN(add_arrays)(rows * n, dx_i, ds + i * n, dx_i);
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
static void FN(layer_norm_vjp)(int64_t m, int64_t n, const T *ds, const T *dy, const T *x, const T *w, const T *mean, const T *r,
                               T *dx, T *dw, T *db, T *partial, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t chunk = 0; chunk < SUM_CHUNKS; chunk++) {
        T *dw_c = partial + chunk * 2 * n, *db_c = dw_c + n;
        memset(dw_c, 0, (size_t)(2 * n) * sizeof(T));
        const int64_t begin = m * chunk / SUM_CHUNKS, rows = m * (chunk + 1) / SUM_CHUNKS - begin;
        const T *ds_c = ds ? ds + begin * n : NULL, *dy_c = dy + begin * n, *x_c = x + begin * n;
        if (mean)
            FN(layer_norm_chunk_vjp)(rows, n, ds_c, dy_c, x_c, w, mean + begin, r + begin, 1, dx + begin * n, dw_c, db_c);
        else
            FN(layer_norm_chunk_vjp)(rows, n, ds_c, dy_c, x_c, w, NULL, r + begin, 0, dx + begin * n, dw_c, db_c);
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
#undef ROWS
