/* Element-by-element functions that NumPy lacks or takes several passes for.
 *
 *   gelu      y = x Phi(x)         dx = dy (Phi(x) + x phi(x))      (Hendrycks & Gimpel 2016; Phi the normal distribution) */

#define CHUNK ((int64_t)4096) /* elements of one task */

/* The definition. */
static void FN(gelu_definition)(int64_t n, const T *x, T *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (T)((double)x[i] * 0.5 * erfc((double)x[i] * -0.70710678118654752440));
}

static void FN(gelu)(int64_t n, const T *x, T *y, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && n > SERIAL_ELEMENTS)
    for (int64_t begin = 0; begin < n; begin += CHUNK)
        for (int64_t i = begin; i < MIN(n, begin + CHUNK); i += VL) {
            vec gauss, x_i = FN(load)(x + i, n - i);
            FN(store)(y + i, n - i, x_i * FN(vnormal)(x_i, &gauss));
        }
}

static void FN(gelu_vjp)(int64_t n, const T *dy, const T *x, T *dx, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && n > SERIAL_ELEMENTS)
    for (int64_t begin = 0; begin < n; begin += CHUNK)
        for (int64_t i = begin; i < MIN(n, begin + CHUNK); i += VL) {
            vec gauss, x_i = FN(load)(x + i, n - i), phi = FN(vnormal)(x_i, &gauss);
            FN(store)(dx + i, n - i, FN(load)(dy + i, n - i) * (phi + x_i * gauss * (T)0.39894228040143267794));
        }
}
