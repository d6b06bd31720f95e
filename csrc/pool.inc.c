/* Pooling: the largest value, or the mean, of windows of an image.
 *
 *   y[n,p,q,c] = max of x[n,h,w,c]                 dx[n,h,w,c] = sum of dy[n,p,q,c] where h, w was taken
 *   y[n,p,q,c] = sum of x[n,h,w,c] / count[p,q]    dx[n,h,w,c] = sum of dy[n,p,q,c] share[p,q],  share = 1 / count
 *
 * over the pixels h, w of window p, q; backward over the windows that hold h, w. Images are channels last, so that
 * vectors run along the channels. Each result is written once, by one thread, forward and backward: nothing is cleared
 * beforehand and nothing is added to memory. x is read and y is written; the other reads hit the cache: what counts is
 * bytes, (H W + P Q) C of them for each image and element.
 *
 *   n image   h, w pixel   p, q window   c channel
 *   taken  where in its window the largest value stands: (h - begin_p) * reach + w - begin_q, or -1; one byte if `small` */

#ifndef MV_POOL
#define MV_POOL
/* One axis, of `size` pixels and `count` windows: window p takes the pixels low[p], low[p] + step, ... below high[p];
 * begin[p] <= low[p] is where it would begin without the image's edge. Windows first[h] to last[h] - 1 may hold pixel h. */
struct pool_axis {
    int64_t size, count, step, reach;
    const int64_t *begin, *low, *high, *first, *last;
};

static inline struct pool_axis pool_axis(const int64_t *table)
{
    const int64_t size = table[0], count = table[1], *begin = table + 4;
    return (struct pool_axis){.size = size,
                              .count = count,
                              .step = table[2],
                              .reach = table[3],
                              .begin = begin,
                              .low = begin + count,
                              .high = begin + 2 * count,
                              .first = begin + 3 * count,
                              .last = begin + 3 * count + size};
}

#define POOL_AHEAD 2   /* pixels: those of the next window */
#define POOL_VECTORS 8 /* the most vectors of channels side by side: means, whose state is small; maxima take half of it */
#define POOL_BLOCKS(vectors, channels, at, ...)                                                                                  \
    for (; c + (vectors) * VL <= (channels); c += (vectors) * VL)                                                                \
        at(vectors, VL, c, __VA_ARGS__);
/* at(vectors, lanes in the last, first channel, ...) for all channels; a ragged end is done once more with the channels
 * before it, so that all but images of very few channels work on whole vectors */
#define POOL_CHANNELS(most, channels, at, ...)                                                                                   \
    do {                                                                                                                         \
        int64_t c = 0;                                                                                                           \
        if ((most) >= 8)                                                                                                         \
            POOL_BLOCKS(8, channels, at, __VA_ARGS__)                                                                            \
        POOL_BLOCKS(4, channels, at, __VA_ARGS__)                                                                                \
        POOL_BLOCKS(2, channels, at, __VA_ARGS__)                                                                                \
        POOL_BLOCKS(1, channels, at, __VA_ARGS__)                                                                                \
        if (c < (channels))                                                                                                      \
            at(1, MIN((channels), VL), MAX((channels) - VL, 0), __VA_ARGS__);                                                    \
    } while (0)
#endif

typedef int8_t FN(bytes) __attribute__((vector_size(VECTOR_BYTES / sizeof(T)), aligned(1), may_alias));
typedef int32_t FN(words) __attribute__((vector_size(VECTOR_BYTES / sizeof(T) * 4), aligned(4), may_alias));

/* The definitions, one channel of one image: x (h,w), y (p,q), each pixel `stride` elements from the one before. */
static void FN(max_pool_definition)(int64_t stride, const int64_t *rows, const int64_t *columns, const T *x, T *y, int32_t *taken)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    for (int64_t p = 0; p < down.count; p++)
        for (int64_t q = 0; q < across.count; q++) {
            T top = -(T)INFINITY;
            int64_t at = -1;
            for (int64_t h = down.low[p]; h < down.high[p]; h += down.step)
                for (int64_t w = across.low[q]; w < across.high[q]; w += across.step) {
                    const T x_hw = x[(h * across.size + w) * stride];
                    if (at >= 0 && (x_hw <= top || top != top))
                        continue;
                    top = x_hw;
                    at = (h - down.begin[p]) * across.reach + w - across.begin[q];
                }
            y[(p * across.count + q) * stride] = top;
            taken[(p * across.count + q) * stride] = (int32_t)at;
        }
}

static void FN(avg_pool_definition)(int64_t stride, const int64_t *rows, const int64_t *columns, const T *x, const T *count, T *y)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    for (int64_t p = 0; p < down.count; p++)
        for (int64_t q = 0; q < across.count; q++) {
            T sum = 0;
            for (int64_t h = down.low[p]; h < down.high[p]; h++)
                for (int64_t w = across.low[q]; w < across.high[q]; w++)
                    sum += x[(h * across.size + w) * stride];
            y[(p * across.count + q) * stride] = sum / count[p * across.count + q];
        }
}

/* ------------------------------------------------------------------------------------------------------------ maxima */

/* taken[i..] for a vector of channels, as integers as wide as T, and back */
INLINE ivec FN(load_taken)(const void *taken, int64_t i, int64_t lanes, const int small)
{
    int8_t bytes[VL] = {0};
    FN(words) words = {0};
    if (small && lanes >= VL)
        return FN(widen)((const int8_t *)taken + i);
    if (small)
        return FN(widen)(memcpy(bytes, (const int8_t *)taken + i, (size_t)lanes));
    memcpy(&words, (const int32_t *)taken + i, (size_t)MIN(lanes, VL) * sizeof(int32_t));
    return __builtin_convertvector(words, ivec);
}

INLINE void FN(store_taken)(void *taken, int64_t i, int64_t lanes, const int small, ivec at)
{
    const FN(bytes) bytes = __builtin_convertvector(at, FN(bytes));
    const FN(words) words = __builtin_convertvector(at, FN(words));
    if (small)
        memcpy((int8_t *)taken + i, &bytes, (size_t)MIN(lanes, VL));
    else
        memcpy((int32_t *)taken + i, &words, (size_t)MIN(lanes, VL) * sizeof(int32_t));
}

/* The same integer for all channels. */
INLINE ivec FN(everywhere)(int64_t i)
{
    const ivec none = {0};
    return none + (__typeof__(none[0]))i;
}

INLINE ivec FN(select_integers)(ivec mask, ivec a, ivec b)
{
    return (mask & a) | (~mask & b);
}

/* One window, some channels: x_n the image, y and taken the whole results, of which element y_at is the first channel's. */
INLINE void FN(max_pool_at)(const int64_t vectors, const int64_t lanes, int64_t c, int64_t channels, const struct pool_axis *down,
                            const struct pool_axis *across, int64_t p, int64_t q, const T *x_n, T *y, int64_t y_at, void *taken,
                            const int small)
{
    const int64_t h0 = down->low[p], w0 = across->low[q], empty = h0 >= down->high[p] || w0 >= across->high[q];
    vec top[POOL_VECTORS];
    ivec at[POOL_VECTORS];
    for (int64_t v = 0; v < vectors; v++) {
        const int64_t start = empty ? -1 : (h0 - down->begin[p]) * across->reach + w0 - across->begin[q];
        top[v] = empty ? FN(splat)(-(T)INFINITY) : FN(load)(x_n + (h0 * across->size + w0) * channels + c + v * VL, lanes);
        at[v] = FN(everywhere)(start);
    }
    for (int64_t h = h0; h < down->high[p]; h += down->step)
        for (int64_t w = w0; w < across->high[q]; w += across->step) {
            const T *x_hw = x_n + (h * across->size + w) * channels + c;
            const ivec here = FN(everywhere)((h - down->begin[p]) * across->reach + w - across->begin[q]);
            for (int64_t v = 0; v < vectors; v++) {
                const vec x_v = FN(load)(x_hw + v * VL, lanes);
                const ivec larger = ~(ivec)(x_v <= top[v]) & (ivec)(top[v] == top[v]); /* NaN is larger than all, and stays */
                top[v] = FN(select)(larger, x_v, top[v]);
                at[v] = FN(select_integers)(larger, here, at[v]);
            }
        }
    for (int64_t v = 0; v < vectors; v++) {
        FN(store)(y + y_at + c + v * VL, lanes, top[v]);
        FN(store_taken)(taken, y_at + c + v * VL, lanes, small, at[v]);
    }
}

INLINE void FN(max_pool_row)(int64_t channels, const struct pool_axis *down, const struct pool_axis *across, int64_t n, int64_t p,
                             const T *x, T *y, void *taken, const int small)
{
    const T *x_n = x + n * down->size * across->size * channels;
    for (int64_t q = 0; q < across->count; q++) {
        const int64_t y_at = ((n * down->count + p) * across->count + q) * channels;
        POOL_CHANNELS(4, channels, FN(max_pool_at), channels, down, across, p, q, x_n, y, y_at, taken, small);
    }
}

static void FN(max_pool)(int64_t images, int64_t channels, const int64_t *rows, const int64_t *columns, const T *x, T *y,
                         void *taken, int small, int64_t threads)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    const int64_t tasks = images * down.count, work = images * down.size * across.size * channels;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && work > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / down.count, p = task % down.count;
        if (small)
            FN(max_pool_row)(channels, &down, &across, n, p, x, y, taken, 1);
        else
            FN(max_pool_row)(channels, &down, &across, n, p, x, y, taken, 0);
    }
}

/* One pixel h, w, some channels: dy where one of the windows around took it. */
INLINE void FN(max_pool_vjp_at)(const int64_t vectors, const int64_t lanes, int64_t c, int64_t channels,
                                const struct pool_axis *down, const struct pool_axis *across, int64_t n, int64_t h, int64_t w,
                                const T *dy, const void *taken, const int small, T *dx_hw)
{
    vec sum[POOL_VECTORS] = {{0}};
    for (int64_t p = down->first[h]; p < down->last[h]; p++)
        for (int64_t q = across->first[w]; q < across->last[w]; q++) {
            const int64_t y_at = ((n * down->count + p) * across->count + q) * channels + c;
            const ivec here = FN(everywhere)((h - down->begin[p]) * across->reach + w - across->begin[q]);
            for (int64_t v = 0; v < vectors; v++) {
                const ivec took = FN(load_taken)(taken, y_at + v * VL, lanes, small) == here;
                sum[v] += (vec)(took & (ivec)FN(load)(dy + y_at + v * VL, lanes));
            }
        }
    for (int64_t v = 0; v < vectors; v++)
        FN(store)(dx_hw + c + v * VL, lanes, sum[v]);
}

INLINE void FN(max_pool_vjp_row)(int64_t channels, const struct pool_axis *down, const struct pool_axis *across, int64_t n,
                                 int64_t h, const T *dy, const void *taken, const int small, T *dx_h)
{
    for (int64_t w = 0; w < across->size; w++)
        POOL_CHANNELS(4, channels, FN(max_pool_vjp_at), channels, down, across, n, h, w, dy, taken, small, dx_h + w * channels);
}

static void FN(max_pool_vjp)(int64_t images, int64_t channels, const int64_t *rows, const int64_t *columns, const T *dy,
                             const void *taken, int small, T *dx, int64_t threads)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    const int64_t tasks = images * down.size, row = across.size * channels;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && tasks * row > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / down.size, h = task % down.size;
        if (small)
            FN(max_pool_vjp_row)(channels, &down, &across, n, h, dy, taken, 1, dx + task * row);
        else
            FN(max_pool_vjp_row)(channels, &down, &across, n, h, dy, taken, 0, dx + task * row);
    }
}

/* -------------------------------------------------------------------------------------------------------------- means */

/* One window, some channels; the sum of a row of pixels first, so that no sum is long: errors grow with H + W, not H W. */
INLINE void FN(avg_pool_at)(const int64_t vectors, const int64_t lanes, int64_t c, int64_t channels, const struct pool_axis *down,
                            const struct pool_axis *across, int64_t p, int64_t q, const T *x_n, T count, T *y_pq)
{
    vec sum[POOL_VECTORS] = {{0}};
    for (int64_t h = down->low[p]; h < down->high[p]; h++) {
        vec sum_h[POOL_VECTORS] = {{0}};
        for (int64_t w = across->low[q]; w < across->high[q]; w++)
            for (int64_t v = 0; v < vectors; v++) {
                const T *x_v = x_n + (h * across->size + w) * channels + c + v * VL;
                __builtin_prefetch(x_v + POOL_AHEAD * channels); /* the processor alone does not follow so many short runs */
                sum_h[v] += FN(load)(x_v, lanes);
            }
        for (int64_t v = 0; v < vectors; v++)
            sum[v] += sum_h[v];
    }
    for (int64_t v = 0; v < vectors; v++)
        FN(store)(y_pq + c + v * VL, lanes, sum[v] / count);
}

static void FN(avg_pool)(int64_t images, int64_t channels, const int64_t *rows, const int64_t *columns, const T *x,
                         const T *count, T *y, int64_t threads)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    const int64_t tasks = images * down.count, image = down.size * across.size * channels;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && images * image > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / down.count, p = task % down.count;
        for (int64_t q = 0; q < across.count; q++)
            POOL_CHANNELS(8, channels, FN(avg_pool_at), channels, &down, &across, p, q, x + n * image,
                          count[p * across.count + q], y + (task * across.count + q) * channels);
    }
}

/* One pixel h, w, some channels: its shares of the windows around. */
INLINE void FN(avg_pool_vjp_at)(const int64_t vectors, const int64_t lanes, int64_t c, int64_t channels,
                                const struct pool_axis *down, const struct pool_axis *across, int64_t h, int64_t w, const T *dy_n,
                                const T *share, T *dx_hw)
{
    vec sum[POOL_VECTORS] = {{0}};
    for (int64_t p = down->first[h]; p < down->last[h]; p++)
        for (int64_t q = across->first[w]; q < across->last[w]; q++)
            for (int64_t v = 0; v < vectors; v++)
                sum[v] += FN(load)(dy_n + (p * across->count + q) * channels + c + v * VL, lanes) * share[p * across->count + q];
    for (int64_t v = 0; v < vectors; v++)
        FN(store)(dx_hw + c + v * VL, lanes, sum[v]);
}

static void FN(avg_pool_vjp)(int64_t images, int64_t channels, const int64_t *rows, const int64_t *columns, const T *dy,
                             const T *share, T *dx, int64_t threads)
{
    const struct pool_axis down = pool_axis(rows), across = pool_axis(columns);
    const int64_t tasks = images * down.size, row = across.size * channels, image = down.count * across.count * channels;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && tasks * row > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / down.size, h = task % down.size;
        for (int64_t w = 0; w < across.size; w++)
            POOL_CHANNELS(8, channels, FN(avg_pool_vjp_at), channels, &down, &across, h, w, dy + n * image, share,
                          dx + task * row + w * channels);
    }
}
