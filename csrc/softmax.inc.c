/* Softmax and its logarithm over one axis.   A row of n crosses memory twice forward (x, y), three times backward (dy, y, dx);
 * further passes over it come from the cache.
 *
 *   softmax        y_j = exp(x_j - top) / total             dx_j = y_j (dy_j - sum_k y_k dy_k)
 *   log_softmax    y_j = x_j - top - log total              dx_j = dy_j - exp(y_j) sum_k dy_k
 *
 *   j  class, 0..n     l  lane of a vector     top = max_j x_j     total = sum_j exp(x_j - top)
 *
 * Long rows are worked by vectors along the row. Where the classes are no contiguous axis, VL columns stand side by side
 * in the lanes; short rows are turned into such columns in a buffer. A sum is taken in blocks of SUM_BLOCK vectors: 50,257
 * terms are then rounded hardly more often than 1,000. */

#define SHORT_ROW (2 * VL) /* elements */

/* The definition, one row. */
static void FN(softmax_definition)(int64_t n, const T *x, T *y, int logarithm)
{
    T top = x[0], total = 0;
    for (int64_t j = 0; j < n; j++)
        top = MAX(top, x[j]);
    for (int64_t j = 0; j < n; j++)
        total += (T)exp((double)(x[j] - top));
    for (int64_t j = 0; j < n; j++)
        y[j] = logarithm ? x[j] - top - (T)log((double)total) : (T)exp((double)(x[j] - top)) / total;
}

/* The sum over the lanes, by halves. */
INLINE T FN(halve_sum)(vec x)
{
    T part[VL];
    memcpy(part, &x, sizeof x);
#pragma GCC unroll 8
    for (int64_t half = VL / 2; half > 0; half /= 2)
        for (int64_t l = 0; l < half; l++)
            part[l] += part[l + half];
    return part[0];
}

INLINE T FN(halve_max)(vec x)
{
    T part[VL];
    memcpy(part, &x, sizeof x);
#pragma GCC unroll 8
    for (int64_t half = VL / 2; half > 0; half /= 2)
        for (int64_t l = 0; l < half; l++)
            part[l] = part[l] > part[l + half] ? part[l] : part[l + half];
    return part[0];
}

/* ------------------------------------------------------------------------------------- vectors along the row */

/* Every row is longer than a vector. Its last vector overlaps the one before; `fresh` are the lanes not seen there. */
INLINE ivec FN(fresh_lanes)(int64_t n)
{
    ivec fresh;
    for (int64_t l = 0; l < VL; l++)
        fresh[l] = l < VL - 1 - (n - 1) % VL ? 0 : -1;
    return fresh;
}

INLINE vec FN(last)(int64_t n, const T *x)
{
    return *(const vec *)(x + n - VL);
}

INLINE T FN(row_top)(int64_t n, const T *x)
{
    vec top[4];
    int64_t j = 0;
    for (int v = 0; v < 4; v++)
        top[v] = FN(last)(n, x);
    for (; j + 4 * VL <= n; j += 4 * VL)
        for (int v = 0; v < 4; v++)
            top[v] = FN(vmax)(*(const vec *)(x + j + v * VL), top[v]);
    for (; j + VL <= n; j += VL)
        top[0] = FN(vmax)(*(const vec *)(x + j), top[0]);
    return FN(halve_max)(FN(vmax)(FN(vmax)(top[0], top[1]), FN(vmax)(top[2], top[3])));
}

/* sum_j exp(x_j - top); the terms are kept in y, unless it is NULL. */
INLINE T FN(row_exp_sum)(int64_t n, const T *x, T top, T *y)
{
    const vec end = FN(vexp)(FN(last)(n, x) - top);
    vec total = FN(select)(FN(fresh_lanes)(n), end, (vec){0});
    for (int64_t begin = 0; begin < n - VL; begin += SUM_BLOCK * VL) {
        vec sum = {0};
        for (int64_t j = begin; j < MIN(n - VL, begin + SUM_BLOCK * VL); j += VL) {
            vec e = FN(vexp)(*(const vec *)(x + j) - top);
            if (y)
                *(vec *)(y + j) = e;
            sum += e;
        }
        total += sum;
    }
    if (y)
        *(vec *)(y + n - VL) = end;
    return FN(halve_sum)(total);
}

INLINE void FN(softmax_row)(int64_t n, const T *x, T *y, int logarithm)
{
    const T top = FN(row_top)(n, x), total = FN(row_exp_sum)(n, x, top, logarithm ? NULL : y);
    const T shift = logarithm ? (T)log((double)total) : 0, scale = 1 / total;
    const vec end = logarithm ? FN(last)(n, x) - top - shift : FN(last)(n, y) * scale; /* before the loop changes y */
    for (int64_t j = 0; j < n - VL; j += VL)
        *(vec *)(y + j) = logarithm ? *(const vec *)(x + j) - top - shift : *(const vec *)(y + j) * scale;
    *(vec *)(y + n - VL) = end;
}

/* dy_j y_j, which softmax sums, or dy_j, which its logarithm does */
INLINE vec FN(softmax_term)(vec dy, vec y, int logarithm)
{
    return logarithm ? dy : (vec)(dy * y);
}

INLINE vec FN(softmax_slope)(vec dy, vec y, vec dot, int logarithm)
{
    return logarithm ? dy - FN(vexp)(y) * dot : y * (dy - dot);
}

INLINE void FN(softmax_row_vjp)(int64_t n, const T *dy, const T *y, T *dx, int logarithm)
{
    const vec end = FN(softmax_term)(FN(last)(n, dy), FN(last)(n, y), logarithm);
    vec total = FN(select)(FN(fresh_lanes)(n), end, (vec){0});
    for (int64_t begin = 0; begin < n - VL; begin += SUM_BLOCK * VL) {
        vec sum = {0};
        for (int64_t j = begin; j < MIN(n - VL, begin + SUM_BLOCK * VL); j += VL)
            sum += FN(softmax_term)(*(const vec *)(dy + j), *(const vec *)(y + j), logarithm);
        total += sum;
    }
    const vec dot = FN(splat)(FN(halve_sum)(total));
    for (int64_t j = 0; j < n - VL; j += VL)
        *(vec *)(dx + j) = FN(softmax_slope)(*(const vec *)(dy + j), *(const vec *)(y + j), dot, logarithm);
    *(vec *)(dx + n - VL) = FN(softmax_slope)(FN(last)(n, dy), FN(last)(n, y), dot, logarithm);
}

/* ------------------------------------------------------- a column in each lane: x_jl stands at x + j * step + l */

/* top and sum_j exp(x_j - top) of each column; the terms are kept in e, unless it is NULL. */
INLINE vec FN(lanes_sum)(int64_t n, const T *x, int64_t step, int64_t width, T *e, vec *top)
{
    vec total = {0};
    *top = FN(load)(x, width);
    for (int64_t j = 1; j < n; j++)
        *top = FN(vmax)(FN(load)(x + j * step, width), *top);
    for (int64_t begin = 0; begin < n; begin += SUM_BLOCK) {
        vec sum = {0};
        for (int64_t j = begin; j < MIN(n, begin + SUM_BLOCK); j++) {
            vec e_j = FN(vexp)(FN(load)(x + j * step, width) - *top);
            if (e)
                FN(store)(e + j * step, width, e_j);
            sum += e_j;
        }
        total += sum;
    }
    return total;
}

INLINE vec FN(lanes_log)(vec x)
{
    for (int64_t l = 0; l < VL; l++)
        x[l] = (T)log((double)x[l]);
    return x;
}

INLINE void FN(softmax_lanes)(int64_t n, const T *x, T *y, int64_t step, int64_t width, int logarithm)
{
    vec top, total = FN(lanes_sum)(n, x, step, width, logarithm ? NULL : y, &top);
    const vec shift = logarithm ? FN(lanes_log)(total) : total, scale = 1 / total;
    for (int64_t j = 0; j < n; j++) {
        vec x_j = FN(load)(x + j * step, width) - top;
        FN(store)(y + j * step, width, logarithm ? x_j - shift : FN(load)(y + j * step, width) * scale);
    }
}

INLINE void FN(softmax_lanes_vjp)(int64_t n, const T *dy, const T *y, T *dx, int64_t step, int64_t width, int logarithm)
{
    vec dot = {0};
    for (int64_t begin = 0; begin < n; begin += SUM_BLOCK) {
        vec sum = {0};
        for (int64_t j = begin * step; j < MIN(n, begin + SUM_BLOCK) * step; j += step)
            sum += FN(softmax_term)(FN(load)(dy + j, width), FN(load)(y + j, width), logarithm);
        dot += sum;
    }
    for (int64_t j = 0; j < n * step; j += step)
        FN(store)(dx + j, width, FN(softmax_slope)(FN(load)(dy + j, width), FN(load)(y + j, width), dot, logarithm));
}

/* Up to VL rows of n elements into columns, and back; lanes without a row hold 0. */
INLINE void FN(turn_in)(int64_t rows, int64_t n, const T *x, T *columns)
{
    if (rows < VL)
        memset(columns, 0, (size_t)(n * VL) * sizeof(T));
    for (int64_t l = 0; l < rows; l++)
        for (int64_t j = 0; j < n; j++)
            columns[j * VL + l] = x[l * n + j];
}

INLINE void FN(turn_out)(int64_t rows, int64_t n, const T *columns, T *x)
{
    for (int64_t l = 0; l < rows; l++)
        for (int64_t j = 0; j < n; j++)
            x[l * n + j] = columns[j * VL + l];
}

/* --------------------------------------------------------------------------------------- softmax and its logarithm */

/* The work is cut into `softmax_tasks`: a row, VL short rows, or VL columns of one of the outer (n, inner) planes. */
INLINE int64_t FN(softmax_tasks)(int64_t outer, int64_t n, int64_t inner)
{
    if (inner > 1)
        return outer * ((inner + VL - 1) / VL);
    return n <= SHORT_ROW ? (outer + VL - 1) / VL : outer;
}

INLINE void FN(softmax_task)(int64_t task, int64_t outer, int64_t n, int64_t inner, const T *x, T *y, int logarithm)
{
    if (inner > 1) {
        const int64_t blocks = (inner + VL - 1) / VL, l = task % blocks * VL, at = task / blocks * n * inner + l;
        FN(softmax_lanes)(n, x + at, y + at, inner, MIN(VL, inner - l), logarithm);
    } else if (n <= SHORT_ROW) {
        T in[SHORT_ROW * VL], out[SHORT_ROW * VL];
        const int64_t i = task * VL, rows = MIN(VL, outer - i);
        FN(turn_in)(rows, n, x + i * n, in);
        FN(softmax_lanes)(n, in, out, VL, VL, logarithm);
        FN(turn_out)(rows, n, out, y + i * n);
    } else
        FN(softmax_row)(n, x + task * n, y + task * n, logarithm);
}

static void FN(softmax)(int64_t outer, int64_t n, int64_t inner, const T *x, T *y, int logarithm, int64_t threads)
{
    const int64_t tasks = FN(softmax_tasks)(outer, n, inner);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * n * inner > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++)
        if (logarithm)
            FN(softmax_task)(task, outer, n, inner, x, y, 1);
        else
            FN(softmax_task)(task, outer, n, inner, x, y, 0);
}

INLINE void FN(softmax_task_vjp)(int64_t task, int64_t outer, int64_t n, int64_t inner, const T *dy, const T *y, T *dx,
                                 int logarithm)
{
    if (inner > 1) {
        const int64_t blocks = (inner + VL - 1) / VL, l = task % blocks * VL, at = task / blocks * n * inner + l;
        FN(softmax_lanes_vjp)(n, dy + at, y + at, dx + at, inner, MIN(VL, inner - l), logarithm);
    } else if (n <= SHORT_ROW) {
        T dy_l[SHORT_ROW * VL], y_l[SHORT_ROW * VL];
        const int64_t i = task * VL, rows = MIN(VL, outer - i);
        FN(turn_in)(rows, n, dy + i * n, dy_l);
        FN(turn_in)(rows, n, y + i * n, y_l);
        FN(softmax_lanes_vjp)(n, dy_l, y_l, y_l, VL, VL, logarithm);
        FN(turn_out)(rows, n, y_l, dx + i * n);
    } else
        FN(softmax_row_vjp)(n, dy + task * n, y + task * n, dx + task * n, logarithm);
}

static void FN(softmax_vjp)(int64_t outer, int64_t n, int64_t inner, const T *dy, const T *y, T *dx, int logarithm,
                            int64_t threads)
{
    const int64_t tasks = FN(softmax_tasks)(outer, n, inner);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && outer * n * inner > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++)
        if (logarithm)
            FN(softmax_task_vjp)(task, outer, n, inner, dy, y, dx, 1);
        else
            FN(softmax_task_vjp)(task, outer, n, inner, dy, y, dx, 0);
}
