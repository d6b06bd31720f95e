/* The loops of batch_norm.inc.c: sums over the channels of an image, and maps that differ from channel to channel.
 *
 * An array is made of runs, in which k channels take turns: channels last, k = C and all pixels are one run; channels first,
 * k = 1 and each channel of an image is a run. A run is worked on in rows of l elements, a multiple of k, with one slot for
 * each: channels too few to fill vectors stand in a row several times. q rows are taken at once: what belongs to a slot is
 * loaded, and a sum stored, once for all of them. */

#ifndef MV_CHANNELS
#define MV_CHANNELS
#ifdef MV_SMALL_BLOCKS
#define ROW_VECTORS 2
#define BLOCK_ROWS 2
#define CHUNK_ELEMENTS 8
#else
#define ROW_VECTORS 32
#define BLOCK_ROWS 64
#define CHUNK_ELEMENTS 8192
#endif
enum { MAP_PLAIN, MAP_RELU, MAP_GIVEN_RELU }; /* y = u, y = max(u, 0), and the same with y given: its residual is not */

/* As kernels/batch_norm.py sends them. */
struct channel_sizes {
    int64_t sets, images, channels, pixels, groups, last;
};

/* How the elements of a set are split: `tasks` each of `runs` runs that start `stride` apart; a run is at most `length`
 * long and has k channels in rows of l slots. */
struct channel_plan {
    int64_t elements, tasks, runs, stride, length, k, l;
};

/* Chunks of a set, each large enough that its totals, one for each channel, are little beside it. */
static inline int64_t channel_chunks(const struct channel_sizes *z)
{
    const int64_t pixels = z->images * z->pixels;
    return MAX(1, MIN(SUM_CHUNKS, MIN(pixels / BLOCK_ROWS, pixels * z->channels / CHUNK_ELEMENTS)));
}

/* The mean and the sum of squared differences of `count` elements, and those of `more` others, put together. */
static inline void merge_moments(int64_t k, double count, double *mean, double *m2, double more, const double *mean_b,
                                 const double *m2_b)
{
    const double share = more / (count + more);
    for (int64_t c = 0; c < k; c++) {
        const double delta = mean_b[c] - mean[c];
        mean[c] += delta * share;
        m2[c] += m2_b[c] + delta * delta * count * share;
    }
}
#endif

#define FULL_ROW(k) ((k) > 1 ? ROW_VECTORS * VL : 8 * VL)

/* The length of a row: k or k 2^q, so that there is a sum for each of several vectors, and no part of a vector is left. */
INLINE int64_t FN(row_length)(int64_t k)
{
    int64_t l = k;
    while (l < FULL_ROW(k) || (k < FULL_ROW(k) && l % VL))
        l *= 2;
    return l;
}

static struct channel_plan FN(channel_plan)(const struct channel_sizes *z, int64_t chunks)
{
    const int64_t k = z->last ? z->channels : 1, pixels = z->images * z->pixels;
    struct channel_plan plan = {.elements = pixels * z->channels, .k = k, .l = FN(row_length)(k), .runs = 1, .tasks = chunks};
    plan.length = (pixels + chunks - 1) / chunks * z->channels;
    if (!z->last)
        plan.tasks = z->channels, plan.runs = z->images, plan.stride = z->channels * z->pixels, plan.length = z->pixels;
    return plan;
}

/* slot_c = sum of the slots of channel c in a row */
static void FN(fold)(int64_t k, int64_t l, T *slots)
{
    if (k == 1) {
        vec sum = {0};
        for (int64_t j = 0; j < l; j += VL)
            sum += *(const vec *)(slots + j);
        slots[0] = FN(add_lanes)(sum);
        return;
    }
    for (int64_t half = l / 2; half >= k; half /= 2)
        for (int64_t j = 0; j < half; j++)
            slots[j] += slots[half + j];
}

/* A row from the k values that take turns in it. */
static void FN(tile)(int64_t k, int64_t l, T *row)
{
    for (; k < l; k *= 2)
        memcpy(row + k, row, (size_t)k * sizeof(T));
}

/* sum_j += x_j, or (x_j - m_j)^2, over q rows of l slots. Several rows at once: what belongs to a slot is loaded, and its sum
 * stored, once for all of them. */
INLINE void FN(add_slots)(int q, int64_t l, int64_t length, const T *x, const T *m, T *sum)
{
    for (int64_t j = 0; j < length; j += VL) {
        const int64_t left = length - j;
        const vec about = m ? FN(load)(m + j, left) : (vec){0};
        vec s = FN(load)(sum + j, left);
#pragma GCC unroll 4
        for (int i = 0; i < q; i++) {
            const vec d = FN(load)(x + i * l + j, left) - about;
            s += d * (m ? d : FN(splat)(1));
        }
        FN(store)(sum + j, left, s);
    }
}

/* sum_j = sum over rows of x_j, or of (x_j - m_j)^2 */
INLINE void FN(sum_slots)(int64_t n, int64_t l, const T *x, const T *m, T *sum)
{
    int64_t i = 0;
    memset(sum, 0, (size_t)l * sizeof(T));
    for (; i + 4 * l <= n; i += 4 * l)
        FN(add_slots)(4, l, l, x + i, m, sum);
    for (; i < n; i += l)
        FN(add_slots)(1, l, MIN(l, n - i), x + i, m, sum);
}

/* mean, m2 of `count` elements in each channel -> those and a run's; slots: 2 l, block: 2 k elements of scratch */
static void FN(run_moments)(int64_t n, int64_t k, int64_t l, const T *x, double count, double *mean, double *m2, T *slots,
                            double *block)
{
    T *sum = slots, *about = slots + l;
    for (int64_t begin = 0; begin < n; begin += BLOCK_ROWS * l) {
        const int64_t size = MIN(n - begin, BLOCK_ROWS * l);
        const double more = (double)(size / k);
        FN(sum_slots)(size, l, x + begin, NULL, sum);
        FN(fold)(k, l, sum);
        for (int64_t c = 0; c < k; c++)
            block[c] = about[c] = sum[c] / (T)more;
        FN(tile)(k, l, about);
        FN(sum_slots)(size, l, x + begin, about, sum);
        FN(fold)(k, l, sum);
        for (int64_t c = 0; c < k; c++)
            block[k + c] = (double)sum[c];
        merge_moments(k, count, mean, m2, more, block, block + k);
        count += more;
    }
}

/* What the slots j.. of a row hold: a value each, or (step 0) one for all. */
INLINE vec FN(of_slots)(const T *row, int step, int64_t j, int64_t left)
{
    return step ? FN(load)(row + j, left) : FN(splat)(*row);
}

/* How far ahead of the q rows at hand to fetch: the rows after them; of long rows, which would not all stay in the cache,
 * their next part. The masks of a relu make the loads of dy wait for those of x, so that the processor itself fetches late. */
INLINE int64_t FN(ahead)(int q, int64_t l)
{
    return l > 64 * VL ? 32 * VL : q * l;
}

/* sum_j += g, dot_j += g (x - m), where g = dy, or 0 where the max was taken at 0; also written to `gated` */
INLINE void FN(add_gradient)(int q, int64_t l, int64_t length, int step, const T *dy, const T *x, const T *y, const T *const *row,
                             int map, T *gated, T *sum, T *dot)
{
    const int64_t ahead = FN(ahead)(q, l);
    for (int64_t j = 0; j < length; j += VL) {
        const int64_t left = length - j;
        const vec m = FN(of_slots)(row[0], step, j, left), scale = FN(of_slots)(row[1], step, j, left);
        const vec shift = FN(of_slots)(row[2], step, j, left);
        vec s = FN(load)(sum + j, left), p = FN(load)(dot + j, left);
#pragma GCC unroll 4
        for (int i = 0; i < q; i++) {
            const int64_t at = i * l + j;
            const vec d = FN(load)(x + at, left) - m;
            vec u = d * scale + shift;
            if (map == MAP_GIVEN_RELU) {
                __builtin_prefetch(y + at + ahead);
                u = FN(load)(y + at, left);
            }
            __builtin_prefetch(dy + at + ahead);
            __builtin_prefetch(x + at + ahead);
            vec g = FN(load)(dy + at, left);
            if (map != MAP_PLAIN)
                g = FN(select)((ivec)(u > 0), g, (vec){0});
            if (gated)
                FN(store)(gated + at, left, g);
            s += g;
            p += g * d;
        }
        FN(store)(sum + j, left, s);
        FN(store)(dot + j, left, p);
    }
}

/* y = (x - m) scale + shift + residual, and no less than 0 with relu */
INLINE void FN(map_rows)(int q, int64_t l, int64_t length, int step, const T *x, const T *const *row, const T *residual, int relu,
                         T *y)
{
    for (int64_t j = 0; j < length; j += VL) {
        const int64_t left = length - j;
        const vec m = FN(of_slots)(row[0], step, j, left), scale = FN(of_slots)(row[1], step, j, left);
        const vec shift = FN(of_slots)(row[2], step, j, left);
#pragma GCC unroll 4
        for (int i = 0; i < q; i++) {
            const int64_t at = i * l + j;
            vec u = (FN(load)(x + at, left) - m) * scale + shift;
            if (residual)
                u += FN(load)(residual + at, left);
            FN(store)(y + at, left, relu ? FN(select)((ivec)(u <= 0), (vec){0}, u) : u);
        }
    }
}

/* dx = g scale + (x - m) slope + level, where g is dy, or 0 where (x - m) scale + shift is not above 0 */
INLINE void FN(gradient_rows)(int q, int64_t l, int64_t length, int step, const T *dy, const T *x, const T *const *row, int relu,
                              T *dx)
{
    const int64_t ahead = FN(ahead)(q, l);
    for (int64_t j = 0; j < length; j += VL) {
        const int64_t left = length - j;
        const vec m = FN(of_slots)(row[0], step, j, left), scale = FN(of_slots)(row[1], step, j, left);
        const vec shift = FN(of_slots)(row[2], step, j, left), slope = FN(of_slots)(row[3], step, j, left);
        const vec level = FN(of_slots)(row[4], step, j, left);
#pragma GCC unroll 4
        for (int i = 0; i < q; i++) {
            const int64_t at = i * l + j;
            const vec d = FN(load)(x + at, left) - m;
            __builtin_prefetch(dy + at + ahead);
            __builtin_prefetch(x + at + ahead);
            vec g = FN(load)(dy + at, left);
            if (relu)
                g = FN(select)((ivec)(d * scale + shift > 0), g, (vec){0});
            FN(store)(dx + at, left, g * scale + d * slope + level);
        }
    }
}

/* The three of them over n elements. */
INLINE void FN(sum_gradient)(int64_t n, int64_t l, int step, const T *dy, const T *x, const T *y, const T *const *row, int map,
                             T *gated, T *sum, T *dot)
{
    const int q = gated ? 1 : 4; /* fewer streams where one is written */
    int64_t i = 0;
    for (; i + q * l <= n; i += q * l)
        FN(add_gradient)(q, l, l, step, dy + i, x + i, y ? y + i : NULL, row, map, gated ? gated + i : NULL, sum, dot);
    for (; i < n; i += l)
        FN(add_gradient)(1, l, MIN(l, n - i), step, dy + i, x + i, y ? y + i : NULL, row, map, gated ? gated + i : NULL, sum,
                         dot);
}

INLINE void FN(map_run)(int64_t n, int64_t l, int step, const T *x, const T *const *row, const T *residual, int relu, T *y)
{
    int64_t i = 0;
    for (; i + 4 * l <= n; i += 4 * l)
        FN(map_rows)(4, l, l, step, x + i, row, residual ? residual + i : NULL, relu, y + i);
    for (; i < n; i += l)
        FN(map_rows)(1, l, MIN(l, n - i), step, x + i, row, residual ? residual + i : NULL, relu, y + i);
}

INLINE void FN(gradient_run)(int64_t n, int64_t l, int step, const T *dy, const T *x, const T *const *row, int relu, T *dx)
{
    int64_t i = 0;
    for (; i + 2 * l <= n; i += 2 * l)
        FN(gradient_rows)(2, l, l, step, dy + i, x + i, row, relu, dx + i);
    for (; i < n; i += l)
        FN(gradient_rows)(1, l, MIN(l, n - i), step, dy + i, x + i, row, relu, dx + i);
}
