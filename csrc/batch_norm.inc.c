/* Normalisation of channels: batch (Ioffe & Szegedy 2015), instance (Ulyanov et al. 2016) and group (Wu & He 2018).
 *
 *   y = max(0, h w_c + b_c + residual),  h = (x - m) r,  r = 1 / sqrt(v + eps);  the max and the residual where wanted
 *
 *   s  set: images that share m and v (batch norm: all are one set; group norm: each is a set)     i  image of a set
 *   c  channel     g  group: neighbouring channels that share m and v     p  pixel
 *
 * Memory: x (s, i, p, c), channels last, or x (s, i, c, p), channels first; dense. The loops over both: channels.inc.c.
 *
 * Bytes: moments read x, the map reads x and writes y; the sums read dy and x, the gradient reads them again and writes dx.
 * A block of x is summed, and its squares about its own mean while it is in the cache; blocks are put together by Chan,
 * Golub & LeVeque's formula (1983) in double, so errors do not grow with the number of pixels. Blocks and the chunks that
 * threads take depend on the sizes alone: the same bits for any number of threads. */

/* The definition. */
static void FN(channel_norm_definition)(const int64_t *sizes, const T *x, const T *w, const T *b, const T *residual, T eps,
                                        int relu, T *y)
{
    struct channel_sizes z;
    memcpy(&z, sizes, sizeof z);
    const int64_t size = z.channels / z.groups, count = z.images * size * z.pixels;
#define AT(e) /* element e of group g in set s: image e / (size P), channel, pixel */                                            \
    (((s * z.images + (e) / (size * z.pixels)) * z.channels * z.pixels) +                                                        \
     (z.last ? (e) % z.pixels * z.channels + g * size + (e) / z.pixels % size : g * size * z.pixels + (e) % (size * z.pixels)))
    for (int64_t s = 0; s < z.sets; s++)
        for (int64_t g = 0; g < z.groups; g++) {
            T mean = 0, variance = 0;
            for (int64_t e = 0; e < count; e++)
                mean += x[AT(e)] / (T)count;
            for (int64_t e = 0; e < count; e++)
                variance += (x[AT(e)] - mean) * (x[AT(e)] - mean) / (T)count;
            for (int64_t e = 0; e < count; e++) {
                const int64_t c = g * size + e / z.pixels % size, at = AT(e);
                const T h = (x[at] - mean) / (T)sqrt((double)(variance + eps));
                const T u = h * (w ? w[c] : 1) + (b ? b[c] : 0) + (residual ? residual[at] : 0);
                y[at] = relu && u <= 0 ? 0 : u;
            }
        }
#undef AT
}

/* Elements of double that the functions below need: totals, and a chunk's totals, block and slots; or five rows. */
static int64_t FN(channel_workspace)(int64_t channels)
{
    return (SUM_CHUNKS + 1) * (4 * channels + 2 * FN(row_length)(channels)) + 5 * FN(row_length)(channels);
}

#define SPLIT_THREADS num_threads((int)threads) if (threads > 1 && plan.elements > SERIAL_ELEMENTS)

/* totals: means and sums of squares of the C channels of one set */
static void FN(set_moments)(const struct channel_sizes *z, const T *x, double *totals, int64_t threads)
{
    const struct channel_plan plan = FN(channel_plan)(z, channel_chunks(z));
    const int64_t own = 4 * plan.k + 2 * plan.l, channels = z->channels;
    double *chunks = totals + 2 * channels;
    memset(totals, 0, (size_t)(2 * channels) * sizeof(double));
#pragma omp parallel for schedule(static) SPLIT_THREADS
    for (int64_t task = 0; task < plan.tasks; task++) {
        double stack[4 + 2 * FULL_ROW(1)], *space = z->last ? chunks + task * own : stack;
        memset(space, 0, (size_t)(2 * plan.k) * sizeof(double));
        for (int64_t run = 0; run < plan.runs; run++) {
            const int64_t begin = task * plan.length + run * plan.stride, n = MIN(plan.length, plan.elements - begin);
            FN(run_moments)(n, plan.k, plan.l, x + begin, (double)(run * plan.length), space, space + plan.k,
                            (T *)(space + 4 * plan.k), space + 2 * plan.k);
        }
        if (!z->last)
            totals[task] = space[0], totals[channels + task] = space[1];
    }
    for (int64_t task = 0; task < plan.tasks && z->last; task++) {
        const int64_t begin = task * plan.length, n = MIN(plan.length, plan.elements - begin);
        if (n > 0)
            merge_moments(channels, (double)(begin / channels), totals, totals + channels, (double)(n / channels),
                          chunks + task * own, chunks + task * own + plan.k);
    }
}

/* mean, variance and r of each (set, group) from the moments of its channels, which have equally many elements */
static void FN(channel_moments)(const int64_t *sizes, const T *x, double eps, T *mean, T *variance, T *r, double *workspace,
                                int64_t threads)
{
    struct channel_sizes z;
    memcpy(&z, sizes, sizeof z);
    const int64_t size = z.channels / z.groups, count = z.images * z.pixels;
    const double *means = workspace, *m2 = workspace + z.channels;
    for (int64_t s = 0; s < z.sets; s++) {
        FN(set_moments)(&z, x + s * count * z.channels, workspace, threads);
        for (int64_t g = 0; g < z.groups; g++) {
            double m = 0, squares = 0;
            for (int64_t c = g * size; c < (g + 1) * size; c++)
                m += means[c] / (double)size;
            for (int64_t c = g * size; c < (g + 1) * size; c++)
                squares += m2[c] + (double)count * (means[c] - m) * (means[c] - m);
            const double v = squares / (double)(count * size);
            mean[s * z.groups + g] = (T)m;
            variance[s * z.groups + g] = (T)v;
            r[s * z.groups + g] = (T)(1 / sqrt(v + eps));
        }
    }
}

/* row[..] -> m, scale = r w and shift = b of the channels of set s: rows of l slots, channels last, else C values each */
static void FN(fill_rows)(const struct channel_sizes *z, int64_t s, const T *w, const T *b, const T *mean, const T *r, T **row,
                          T *space)
{
    const int64_t l = FN(row_length)(z->channels), size = z->channels / z->groups;
    for (int which = 0; which < 5; which++)
        row[which] = space + which * l;
    for (int64_t c = 0; c < z->channels; c++) {
        const int64_t g = s * z->groups + c / size;
        row[0][c] = mean[g], row[1][c] = r[g] * (w ? w[c] : 1), row[2][c] = b ? b[c] : 0;
    }
}

static void FN(tile_rows)(const struct channel_sizes *z, int rows, T **row)
{
    for (int which = 0; which < rows && z->last; which++)
        FN(tile)(z->channels, FN(row_length)(z->channels), row[which]);
}

/* The tasks of a map over a set, small enough to share out: channels last, pieces of whole rows; else runs. */
static struct channel_plan FN(map_plan)(const struct channel_sizes *z)
{
    struct channel_plan plan = FN(channel_plan)(z, 1);
    plan.length = z->last ? BLOCK_ROWS * plan.l : z->pixels;
    plan.tasks = (plan.elements + plan.length - 1) / plan.length;
    plan.l = z->last ? plan.l : z->pixels;
    return plan;
}

static void FN(channel_map)(const int64_t *sizes, const T *x, const T *w, const T *b, const T *mean, const T *r,
                            const T *residual, int relu, T *y, double *workspace, int64_t threads)
{
    struct channel_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct channel_plan plan = FN(map_plan)(&z);
    for (int64_t s = 0; s < z.sets; s++) {
        T *row[5];
        FN(fill_rows)(&z, s, w, b, mean, r, row, (T *)workspace);
        FN(tile_rows)(&z, 3, row);
#pragma omp parallel for schedule(static) SPLIT_THREADS
        for (int64_t task = 0; task < plan.tasks; task++) {
            const int64_t turned = plan.tasks - 1 - task, begin = turned * plan.length;
            const int64_t n = MIN(plan.length, plan.elements - begin), l = plan.l;
            const int64_t at = s * plan.elements + begin, c = z.last ? 0 : turned % z.channels;
            const T *rows[3] = {row[0] + c, row[1] + c, row[2] + c}, *added = residual ? residual + at : NULL;
#define MAP(residual, relu)                                                                                                      \
    (z.last ? FN(map_run)(n, l, 1, x + at, rows, residual, relu, y + at)                                                         \
            : FN(map_run)(n, l, 0, x + at, rows, residual, relu, y + at))
            if (added)
                relu ? MAP(added, 1) : MAP(added, 0);
            else
                relu ? MAP(NULL, 1) : MAP(NULL, 0);
#undef MAP
        }
    }
}

/* One run's share of sum and dot, which is n elements long and starts at `at`. */
static void FN(run_sums)(const struct channel_sizes *z, int64_t n, int64_t k, int64_t l, const T *dy, const T *x, const T *y,
                         const T *const *row, int map, T *gated, double *sum, double *dot, T *slots)
{
    for (int64_t begin = 0; begin < n; begin += BLOCK_ROWS * l) {
        const int64_t size = MIN(n - begin, BLOCK_ROWS * l);
        const T *dy_b = dy + begin, *x_b = x + begin;
        memset(slots, 0, (size_t)(2 * l) * sizeof(T));
#define SUM(y, map, gated)                                                                                                       \
    (z->last ? FN(sum_gradient)(size, l, 1, dy_b, x_b, y, row, map, gated, slots, slots + l)                                     \
             : FN(sum_gradient)(size, l, 0, dy_b, x_b, y, row, map, gated, slots, slots + l))
        if (map == MAP_GIVEN_RELU)
            SUM(y + begin, MAP_GIVEN_RELU, gated + begin);
        else if (map == MAP_RELU && gated)
            SUM(NULL, MAP_RELU, gated + begin);
        else if (map == MAP_RELU)
            SUM(NULL, MAP_RELU, NULL);
        else
            SUM(NULL, MAP_PLAIN, NULL);
#undef SUM
        FN(fold)(k, l, slots);
        FN(fold)(k, l, slots + l);
        for (int64_t c = 0; c < k; c++)
            sum[c] += (double)slots[c], dot[c] += (double)slots[l + c];
    }
}

/* totals: sum of g and of g (x - m) for the C channels of one set, whose arrays and rows these are */
static void FN(set_sums)(const struct channel_sizes *z, const T *dy, const T *x, const T *y, T *const *row, int map, T *gated,
                         double *totals, int64_t threads)
{
    const struct channel_plan plan = FN(channel_plan)(z, channel_chunks(z));
    const int64_t own = 2 * plan.k + 2 * plan.l, channels = z->channels;
    double *chunks = totals + 2 * channels;
    memset(totals, 0, (size_t)(2 * channels) * sizeof(double));
#pragma omp parallel for schedule(static) SPLIT_THREADS
    for (int64_t task = 0; task < plan.tasks; task++) {
        double stack[2 + 2 * FULL_ROW(1)], *space = z->last ? chunks + task * own : stack;
        const int64_t c = z->last ? 0 : task;
        const T *rows[3] = {row[0] + c, row[1] + c, row[2] + c};
        memset(space, 0, (size_t)(2 * plan.k) * sizeof(double));
        for (int64_t run = 0; run < plan.runs; run++) {
            const int64_t begin = task * plan.length + run * plan.stride, n = MIN(plan.length, plan.elements - begin);
            FN(run_sums)(z, n, plan.k, plan.l, dy + begin, x + begin, y ? y + begin : NULL, rows, map,
                         gated ? gated + begin : NULL, space, space + plan.k, (T *)(space + 2 * plan.k));
        }
        if (!z->last)
            totals[task] = space[0], totals[channels + task] = space[1];
    }
    for (int64_t task = 0; task < plan.tasks && z->last; task++)
        for (int64_t j = 0; j < 2 * channels; j++)
            totals[j] += chunks[task * own + j];
}

/* db (s, c) = sum g, dw (s, c) = sum g h; map and gated as in sum_gradient, which MAP_GIVEN_RELU needs */
static void FN(channel_sums)(const int64_t *sizes, const T *dy, const T *x, const T *y, const T *w, const T *b, const T *mean,
                             const T *r, int map, T *gated, T *dw, T *db, double *workspace, int64_t threads)
{
    struct channel_sizes z;
    memcpy(&z, sizes, sizeof z);
    const int64_t channels = z.channels, size = channels / z.groups, elements = z.images * z.pixels * channels;
    T *row[5], *space = (T *)(workspace + (SUM_CHUNKS + 1) * (4 * channels + 2 * FN(row_length)(channels)));
    for (int64_t s = 0; s < z.sets; s++) {
        const int64_t at = s * elements;
        FN(fill_rows)(&z, s, w, b, mean, r, row, space);
        FN(tile_rows)(&z, 3, row);
        FN(set_sums)(&z, dy + at, x + at, y ? y + at : NULL, row, map, gated ? gated + at : NULL, workspace, threads);
        for (int64_t c = 0; c < channels; c++) {
            db[s * channels + c] = (T)workspace[c];
            dw[s * channels + c] = (T)(workspace[channels + c] * (double)r[s * z.groups + c / size]);
        }
    }
}

/* dx = r (g w - mean(g w) - h mean(g w h)), means over the group, from channel_sums; relu: g is to be gated here */
static void FN(channel_gradient)(const int64_t *sizes, const T *dy, const T *x, const T *w, const T *b, const T *mean, const T *r,
                                 const T *dw, const T *db, int relu, T *dx, double *workspace, int64_t threads)
{
    struct channel_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct channel_plan plan = FN(map_plan)(&z);
    const int64_t size = z.channels / z.groups;
    const double count = (double)(z.images * z.pixels * size);
    for (int64_t s = 0; s < z.sets; s++) {
        T *row[5];
        FN(fill_rows)(&z, s, w, b, mean, r, row, (T *)workspace);
        for (int64_t g = 0; g < z.groups; g++) {
            const double r_g = (double)r[s * z.groups + g];
            double mean_g = 0, mean_gh = 0;
            for (int64_t c = g * size; c < (g + 1) * size; c++) {
                mean_g += (double)db[s * z.channels + c] * (w ? (double)w[c] : 1) / count;
                mean_gh += (double)dw[s * z.channels + c] * (w ? (double)w[c] : 1) / count;
            }
            for (int64_t c = g * size; c < (g + 1) * size; c++)
                row[3][c] = (T)(-r_g * r_g * mean_gh), row[4][c] = (T)(-r_g * mean_g);
        }
        FN(tile_rows)(&z, 5, row);
#pragma omp parallel for schedule(static) SPLIT_THREADS
        for (int64_t task = 0; task < plan.tasks; task++) {
            const int64_t turned = plan.tasks - 1 - task, begin = turned * plan.length;
            const int64_t n = MIN(plan.length, plan.elements - begin), l = plan.l;
            const int64_t at = s * plan.elements + begin, c = z.last ? 0 : turned % z.channels;
            const T *rows[5] = {row[0] + c, row[1] + c, row[2] + c, row[3] + c, row[4] + c};
#define MAP(relu)                                                                                                                \
    (z.last ? FN(gradient_run)(n, l, 1, dy + at, x + at, rows, relu, dx + at)                                                    \
            : FN(gradient_run)(n, l, 0, dy + at, x + at, rows, relu, dx + at))
            relu ? MAP(1) : MAP(0);
#undef MAP
        }
    }
}
#undef FULL_ROW
#undef SPLIT_THREADS
