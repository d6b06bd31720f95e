/* Optimiser steps over all parameters in one call; each array is read and written once.
 *
 * AdamW (Loshchilov & Hutter 2019):
 *   p *= 1 - lr decay;   m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2;   p -= step_size m / (sqrt(v) / root + eps)
 * with step_size = lr / (1 - b1^t) and root = sqrt(1 - b2^t) from the caller, who counts the steps t.
 *
 * SGD with momentum (Sutskever et al. 2013):
 *   g += decay p;   b = momentum b + rate g  (g itself at the first step);   p -= lr b,  with nesterov lr (g + momentum b)
 *
 * A thread takes an equal share of all elements, wherever arrays begin and end. */

static int64_t FN(total)(int64_t count, const int64_t *sizes)
{
    int64_t sum = 0;
    for (int64_t a = 0; a < count; a++)
        sum += sizes[a];
    return sum;
}

/* The definition, one array from lo to hi. */
static void FN(adamw_part)(int64_t lo, int64_t hi, T *restrict p, const T *restrict g, T *restrict m, T *restrict v, T b1, T b2,
                           T shrink, T step_size, T inverse_root, T eps)
{
    for (int64_t i = lo; i < hi; i++) {
        const T g_i = g[i];
        m[i] = b1 * m[i] + (1 - b1) * g_i;
        v[i] = b2 * v[i] + (1 - b2) * g_i * g_i;
#if T_IS_F32
        p[i] = shrink * p[i] - step_size * m[i] / (sqrtf(v[i]) * inverse_root + eps);
#else
        p[i] = shrink * p[i] - step_size * m[i] / (sqrt(v[i]) * inverse_root + eps);
#endif
    }
}

static void FN(adamw)(int64_t count, T *const *p, const T *const *g, T *const *m, T *const *v, const int64_t *sizes, T b1, T b2,
                      T shrink, T step_size, T root, T eps, int64_t threads)
{
    const int64_t all = FN(total)(count, sizes);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && all > SERIAL_ELEMENTS)
    for (int64_t share = 0; share < threads; share++) {
        const int64_t begin = all * share / threads, end = all * (share + 1) / threads;
        for (int64_t a = 0, start = 0; a < count; start += sizes[a++])
            FN(adamw_part)(MAX(0, begin - start), MIN(sizes[a], end - start), p[a], g[a], m[a], v[a], b1, b2, shrink, step_size,
                           1 / root, eps);
    }
}

/* The definition, one array from lo to hi; b may be NULL where momentum is 0. */
static void FN(sgd_part)(int64_t lo, int64_t hi, T *restrict p, const T *restrict g, T *restrict b, T lr, T momentum, T rate,
                         T decay, int first, int nesterov)
{
    for (int64_t i = lo; !b && i < hi; i++)
        p[i] -= lr * (g[i] + decay * p[i]);
    for (int64_t i = lo; b && i < hi; i++) {
        const T g_i = g[i] + decay * p[i], b_i = first ? g_i : momentum * b[i] + rate * g_i;
        b[i] = b_i;
        p[i] -= lr * (nesterov ? g_i + momentum * b_i : b_i);
    }
}

/* b: NULL where momentum is 0 */
static void FN(sgd)(int64_t count, T *const *p, const T *const *g, T *const *b, const int64_t *sizes, T lr, T momentum, T rate,
                    T decay, int first, int nesterov, int64_t threads)
{
    const int64_t all = FN(total)(count, sizes);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && all > SERIAL_ELEMENTS)
    for (int64_t share = 0; share < threads; share++) {
        const int64_t begin = all * share / threads, end = all * (share + 1) / threads;
        for (int64_t a = 0, start = 0; a < count; start += sizes[a++])
            FN(sgd_part)(MAX(0, begin - start), MIN(sizes[a], end - start), p[a], g[a], b ? b[a] : NULL, lr, momentum, rate,
                         decay, first, nesterov);
    }
}
