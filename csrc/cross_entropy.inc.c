/* Cross-entropy of the classes under softmax, in one pass.
 *
 *   y_i = sum_j u_ij (lse_i - x_ij)          dx_ij = dy_i (U_i exp(x_ij - lse_i) - u_ij)
 *   u_ij = w_j ((1 - a) [j = t_i] + a / n)   U_i = sum_j u_ij          both 0 in a row whose target is `ignore`
 *
 *   i  row, 0..m     j  class, 0..n     l  lane     t_i  target     w_j  weight     a  label smoothing (Szegedy et al. 2016)
 *   top = max_j x_ij     lse_i = top + log sum_j exp(x_ij - top)
 *
 * One number a row, lse, is kept where a logarithm of softmax keeps n. x is read twice, once forward (its second reading
 * comes from the cache) and once backward, and dx is written: 3 n elements a row. */

/* The definition, one row. */
static void FN(cross_entropy_definition)(int64_t n, const T *x, int64_t target, const T *w, T smoothing, T *y, T *lse)
{
    T top = x[0], total = 0;
    for (int64_t j = 0; j < n; j++)
        top = MAX(top, x[j]);
    for (int64_t j = 0; j < n; j++)
        total += (T)exp((double)(x[j] - top));
    *lse = top + (T)log((double)total);
    *y = 0;
    for (int64_t j = 0; j < n; j++)
        *y += (w ? w[j] : 1) * ((j == target ? 1 - smoothing : 0) + smoothing / (T)n) * (*lse - x[j]);
}

/* What all rows share; sum_w = sum_j w_j. */
typedef struct {
    int64_t m, n, ignore;
    const T *x, *w, *lse, *dy;
    const int64_t *target;
    T smoothing, sum_w;
} FN(entropy);

static T FN(weights_sum)(int64_t n, const T *w)
{
    T sum = 0;
    for (int64_t j = 0; j < n; j++)
        sum += w ? w[j] : 1;
    return sum;
}

/* y_i from the row's own numbers; spread = sum_j w_j (x_j - top), needed where labels are smoothed. */
INLINE T FN(loss_of)(const FN(entropy) * all, int64_t i, T top, T log_total, T spread)
{
    const int64_t t = all->target[i];
    if (t == all->ignore)
        return 0;
    T y = (1 - all->smoothing) * (all->w ? all->w[t] : 1) * (log_total - (all->x[i * all->n + t] - top));
    if (all->smoothing != 0)
        y += all->smoothing / (T)all->n * (all->sum_w * log_total - spread);
    return y;
}

/* sum_j w_j (x_j - top) */
INLINE T FN(row_spread)(int64_t n, const T *x, const T *w, T top)
{
    vec total = {0};
    const int64_t whole = n - n % VL;
    for (int64_t begin = 0; begin < whole; begin += SUM_BLOCK * VL) {
        vec sum = {0};
        for (int64_t j = begin; j < MIN(whole, begin + SUM_BLOCK * VL); j += VL)
            sum += (*(const vec *)(x + j) - top) * (w ? *(const vec *)(w + j) : FN(splat)(1));
        total += sum;
    }
    T rest = 0;
    for (int64_t j = whole; j < n; j++)
        rest += (x[j] - top) * (w ? w[j] : 1);
    return FN(halve_sum)(total) + rest;
}

INLINE void FN(long_loss)(const FN(entropy) * all, int64_t i, T *y, T *lse)
{
    const T *x = all->x + i * all->n, top = FN(row_top)(all->n, x);
    const T log_total = (T)log((double)FN(row_exp_sum)(all->n, x, top, NULL));
    const T spread = all->smoothing != 0 ? FN(row_spread)(all->n, x, all->w, top) : 0;
    lse[i] = top + log_total;
    y[i] = FN(loss_of)(all, i, top, log_total, spread);
}

/* Rows i to i + VL. */
INLINE void FN(short_losses)(const FN(entropy) * all, int64_t i, T *y, T *lse)
{
    T x[SHORT_ROW * VL];
    const int64_t rows = MIN(VL, all->m - i);
    FN(turn_in)(rows, all->n, all->x + i * all->n, x);
    vec top, spread = {0}, log_total = FN(lanes_log)(FN(lanes_sum)(all->n, x, VL, VL, NULL, &top));
    if (all->smoothing != 0)
        for (int64_t j = 0; j < all->n; j++)
            spread += (*(const vec *)(x + j * VL) - top) * (all->w ? all->w[j] : 1);
    FN(store)(lse + i, rows, top + log_total);
    for (int64_t l = 0; l < rows; l++)
        y[i + l] = FN(loss_of)(all, i + l, top[l], log_total[l], spread[l]);
}

static void FN(cross_entropy)(int64_t m, int64_t n, const T *x, const int64_t *target, const T *w, T smoothing, int64_t ignore,
                              T *y, T *lse, int64_t threads)
{
    const FN(entropy) all = {m, n, ignore, x, w, NULL, NULL, target, smoothing, FN(weights_sum)(n, w)};
    const int64_t step = n <= SHORT_ROW ? VL : 1;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < m; i += step)
        if (n <= SHORT_ROW)
            FN(short_losses)(&all, i, y, lse);
        else
            FN(long_loss)(&all, i, y, lse);
}

/* dx_ij = scale exp(x_ij - lse_i) - each w_j - [j = t_i] at_target */
typedef struct {
    T scale, each, at_target;
} FN(slopes);

INLINE FN(slopes) FN(slopes_of)(const FN(entropy) * all, int64_t i)
{
    const int64_t t = all->target[i];
    const T w = t != all->ignore && all->w ? all->w[t] : 1, dy = t != all->ignore ? all->dy[i] : 0;
    const T each = all->smoothing / (T)all->n, at_target = (1 - all->smoothing) * w;
    return (FN(slopes)){dy * (at_target + each * all->sum_w), dy * each, dy * at_target};
}

INLINE vec FN(long_slope)(const FN(entropy) * all, const FN(slopes) * s, int64_t j, const T *x, T lse)
{
    vec dx = FN(vexp)(*(const vec *)(x + j) - lse) * s->scale;
    if (all->smoothing != 0)
        dx -= s->each * (all->w ? *(const vec *)(all->w + j) : FN(splat)(1));
    return dx;
}

INLINE void FN(long_loss_vjp)(const FN(entropy) * all, int64_t i, T *dx)
{
    const FN(slopes) s = FN(slopes_of)(all, i);
    const T *x = all->x + i * all->n, lse = all->lse[i];
    const int64_t n = all->n;
    for (int64_t j = 0; j < n - VL; j += VL)
        *(vec *)(dx + i * n + j) = FN(long_slope)(all, &s, j, x, lse);
    *(vec *)(dx + i * n + n - VL) = FN(long_slope)(all, &s, n - VL, x, lse);
    if (all->target[i] != all->ignore)
        dx[i * n + all->target[i]] -= s.at_target;
}

INLINE void FN(short_losses_vjp)(const FN(entropy) * all, int64_t i, T *dx)
{
    T x[SHORT_ROW * VL];
    const int64_t rows = MIN(VL, all->m - i), n = all->n;
    vec lse = FN(load)(all->lse + i, rows), scale = {0}, each = {0};
    FN(turn_in)(rows, n, all->x + i * n, x);
    for (int64_t l = 0; l < rows; l++) {
        const FN(slopes) s = FN(slopes_of)(all, i + l);
        scale[l] = s.scale;
        each[l] = s.each;
    }
    for (int64_t j = 0; j < n; j++) {
        vec dx_j = FN(vexp)(*(const vec *)(x + j * VL) - lse) * scale;
        if (all->smoothing != 0)
            dx_j -= each * (all->w ? all->w[j] : 1);
        *(vec *)(x + j * VL) = dx_j;
    }
    FN(turn_out)(rows, n, x, dx + i * n);
    for (int64_t l = i; l < i + rows; l++)
        if (all->target[l] != all->ignore)
            dx[l * n + all->target[l]] -= FN(slopes_of)(all, l).at_target;
}

static void FN(cross_entropy_vjp)(int64_t m, int64_t n, const T *dy, const T *x, const int64_t *target, const T *w, const T *lse,
                                  T smoothing, int64_t ignore, T *dx, int64_t threads)
{
    const FN(entropy) all = {m, n, ignore, x, w, lse, dy, target, smoothing, FN(weights_sum)(n, w)};
    const int64_t step = n <= SHORT_ROW ? VL : 1;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && m * n > SERIAL_ELEMENTS)
    for (int64_t i = 0; i < m; i += step)
        if (n <= SHORT_ROW)
            FN(short_losses_vjp)(&all, i, dx);
        else
            FN(long_loss_vjp)(&all, i, dx);
}
