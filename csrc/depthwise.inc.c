/* Depthwise convolution: one filter for each channel.  y[n,p,q,c] = bias[c] + sum_rs filter[r,s,c] x[n, p u + r d - t, q v + s e - l, c]
 *
 * Letters, memory and the axes of conv.inc.c, with inner = outer = 1 and a channel c for each group; the filter is
 * (r, s, c). 2 N P Q R S C flops, so few for each element of x that a matrix product would only copy. A tile of DEPTHWISE_TILE
 * results side by side stays in registers, VL channels of each: a column of x is loaded once for all the results that it
 * touches. The common filters (DEPTHWISE_CASES) are compiled for their number of taps; any other goes the plain way. */

#define DEPTHWISE_CHUNKS ((int64_t)16)
#define DEPTHWISE_CASES(CASE)                                                                                                    \
    CASE(1, 1) CASE(2, 1) CASE(3, 1) CASE(4, 1) CASE(5, 1) CASE(7, 1) CASE(3, 2) CASE(5, 2) CASE(7, 2) /* taps, step */

/* One row of results: the rows of x that it reads, from the first inside the image, and the rows of the filter over them. */
typedef struct {
    const T *x, *filter, *bias;
    T *y;
    int64_t rows, x_r, f_r, f_s, y_q, channels, size, origin, count;
} FN(depthwise_row);

static FN(depthwise_row) FN(depthwise_row_at)(const struct conv_map *map, int64_t n, int64_t p, const T *x, const T *filter)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    const int64_t channels = map->groups, f_r = map->f_r * channels, top = h->origin + p * h->step;
    const int64_t r0 = top < 0 ? MIN(h->taps, (h->dilation - 1 - top) / h->dilation) : 0;
    const int64_t r1 = top < h->size ? MIN(h->taps, (h->size - top + h->dilation - 1) / h->dilation) : 0;
    const int64_t row = r0 < r1 ? (n * h->size + top + r0 * h->dilation) * w->size : 0;
    return (FN(depthwise_row)){.x = x + row * channels,
                               .filter = filter + (h->first + r0 * h->gap) * f_r + w->first * channels,
                               .rows = MAX(r1 - r0, 0),
                               .x_r = h->dilation * w->size * channels,
                               .f_r = h->gap * f_r,
                               .f_s = w->gap * channels,
                               .y_q = w->every * channels,
                               .channels = channels,
                               .size = w->size,
                               .origin = w->origin,
                               .count = w->count};
}

/* DEPTHWISE_TILE results from column w of x on, VL channels from c on; inside: no column lies beside the image (those are
 * read from `beside`, which holds zeros). */
INLINE void FN(depthwise_tile)(const FN(depthwise_row) * row, int taps, int step, int64_t rows, int inside, int64_t w, int64_t c,
                               T *y)
{
    static const T beside[VECTOR_BYTES / sizeof(T)] = {0};
    const int64_t channels = row->channels, x_r = row->x_r, f_r = row->f_r, f_s = row->f_s, y_q = row->y_q;
    vec acc[DEPTHWISE_TILE], f[8];
    for (int q = 0; q < DEPTHWISE_TILE; q++)
        acc[q] = row->bias ? *(const vec *)(row->bias + c) : (vec){0};
    const T *x = row->x + w * channels + c, *filter = row->filter + c;
    for (int64_t r = 0; r < rows; r++, x += x_r, filter += f_r) {
        const T *x_j = x;
        for (int s = 0; s < taps; s++)
            f[s] = *(const vec *)(filter + s * f_s);
#pragma GCC unroll 32
        for (int j = 0; j < (DEPTHWISE_TILE - 1) * step + taps; j++, x_j += channels) {
            const T *from = inside || (w + j >= 0 && w + j < row->size) ? x_j : beside;
            vec column = *(const vec *)from;
            HOLD(x_j);
            HOLD_VEC(column);
#pragma GCC unroll 16
            for (int q = 0; q < DEPTHWISE_TILE; q++)
                if (j - q * step >= 0 && j - q * step < taps)
                    acc[q] += column * f[j - q * step];
        }
    }
    T *y_c = y + c;
    for (int q = 0; q < DEPTHWISE_TILE; q++, y_c += y_q)
        *(vec *)y_c = acc[q];
}

/* A row by tiles; the last tile, and the last VL channels, are moved back over results that are done already. */
INLINE void FN(depthwise_tiles)(const FN(depthwise_row) * row, int taps, int step)
{
    for (int64_t q0 = 0; q0 < row->count; q0 += DEPTHWISE_TILE) {
        const int64_t q = MIN(q0, row->count - DEPTHWISE_TILE), w = row->origin + q * step;
        const int inside = w >= 0 && w + (DEPTHWISE_TILE - 1) * step + taps <= row->size;
        for (int64_t c0 = 0; c0 < row->channels; c0 += VL) {
            const int64_t c = MIN(c0, row->channels - VL);
            if (inside && row->rows == taps)
                FN(depthwise_tile)(row, taps, step, taps, 1, w, c, row->y + q * row->y_q);
            else
                FN(depthwise_tile)(row, taps, step, row->rows, 0, w, c, row->y + q * row->y_q);
        }
    }
}

/* A row by single results. */
static void FN(depthwise_plain)(const FN(depthwise_row) * row, const struct conv_axis *axis)
{
    for (int64_t q = 0; q < row->count; q++) {
        T *restrict y_q = row->y + q * row->y_q;
        for (int64_t c = 0; c < row->channels; c++)
            y_q[c] = row->bias ? row->bias[c] : 0;
        for (int64_t r = 0; r < row->rows; r++)
            for (int64_t s = 0; s < axis->taps; s++) {
                const int64_t w = row->origin + q * axis->step + s * axis->dilation;
                if (w < 0 || w >= row->size)
                    continue;
                const T *x_w = row->x + r * row->x_r + w * row->channels, *f_s = row->filter + r * row->f_r + s * row->f_s;
                for (int64_t c = 0; c < row->channels; c++)
                    y_q[c] += f_s[c] * x_w[c];
            }
    }
}

static void FN(depthwise_any)(const FN(depthwise_row) * row, const struct conv_axis *axis)
{
    const int tiles = axis->dilation == 1 && row->count >= DEPTHWISE_TILE && row->channels >= VL;
#define CASE(taps_, step_)                                                                                                       \
    if (tiles && axis->taps == taps_ && axis->step == step_) {                                                                   \
        FN(depthwise_tiles)(row, taps_, step_);                                                                                  \
        return;                                                                                                                  \
    }
    DEPTHWISE_CASES(CASE)
#undef CASE
    FN(depthwise_plain)(row, axis);
}

static void FN(depthwise_run)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, int64_t threads)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    const int64_t tasks = map->images * h->count;
#pragma omp parallel for schedule(dynamic, 4) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / h->count, p = task % h->count;
        FN(depthwise_row) row = FN(depthwise_row_at)(map, n, p, x, filter);
        row.y = y + ((n * h->length + h->at + p * h->every) * w->length + w->at) * map->groups;
        row.bias = bias;
        FN(depthwise_any)(&row, w);
    }
}

/* Multiply-adds of the whole convolution, as SERIAL_FLOPS counts them: few ones stay on one thread. */
static int64_t FN(depthwise_threads)(const struct conv_sizes *z, int64_t threads)
{
    const double flops = 2.0 * (double)(z->images * z->rows * z->columns) * (double)(z->groups * z->filter_h * z->filter_w);
    return flops < SERIAL_FLOPS / 8 ? 1 : threads; /* each waits for memory as long as eight in a matrix product take */
}

static void FN(depthwise)(const int64_t *sizes, const T *x, const T *filter, const T *bias, T *y, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    FN(depthwise_run)(&map, x, filter, bias, y, FN(depthwise_threads)(&z, threads));
}

static void FN(depthwise_vjp_x)(const int64_t *sizes, const T *dy, const T *filter, T *dx, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    for (int64_t phase_h = 0; phase_h < MIN(z.stride_h, z.height); phase_h++)
        for (int64_t phase_w = 0; phase_w < MIN(z.stride_w, z.width); phase_w++) {
            const struct conv_map map = conv_map_gradient(&z, phase_h, phase_w);
            FN(depthwise_run)(&map, dy, filter, NULL, dx, FN(depthwise_threads)(&z, threads));
        }
}

/* Each tap's sum over one row of dy and the row of x under it, VL channels: two sums side by side, so that one need not wait
 * for the other. */
INLINE void FN(depthwise_dot)(int taps, int step, const FN(depthwise_row) * row, const T *dy, const T *x, T *sums)
{
    static const T beside[VECTOR_BYTES / sizeof(T)] = {0};
    const int64_t channels = row->channels;
    vec acc[2][8] = {{{0}}}, dy_q[DEPTHWISE_TILE];
    for (int64_t q0 = 0; q0 < row->count; q0 += DEPTHWISE_TILE) {
        const int64_t w = row->origin + q0 * step;
        const T *x_j = x + w * channels;
        for (int q = 0; q < DEPTHWISE_TILE; q++)
            dy_q[q] = q0 + q < row->count ? *(const vec *)(dy + (q0 + q) * channels) : (vec){0};
#pragma GCC unroll 32
        for (int j = 0; j < (DEPTHWISE_TILE - 1) * step + taps; j++, x_j += channels) {
            const T *from = w + j >= 0 && w + j < row->size ? x_j : beside;
            vec column = *(const vec *)from;
            HOLD(x_j);
            HOLD_VEC(column);
#pragma GCC unroll 16
            for (int q = 0; q < DEPTHWISE_TILE; q++)
                if (j - q * step >= 0 && j - q * step < taps)
                    acc[q & 1][j - q * step] += column * dy_q[q];
        }
    }
    for (int s = 0; s < taps; s++)
        *(vec *)(sums + s * VL) += acc[0][s] + acc[1][s];
}

/* The plain way, for any taps and up to VL channels. */
static void FN(depthwise_dot_plain)(const struct conv_axis *axis, const FN(depthwise_row) * row, int64_t lanes, const T *dy,
                                    const T *x, T *sums)
{
    for (int64_t s = 0; s < axis->taps; s++)
        for (int64_t q = 0; q < row->count; q++) {
            const int64_t w = row->origin + q * axis->step + s * axis->dilation;
            for (int64_t l = 0; l < lanes && w >= 0 && w < row->size; l++)
                sums[s * VL + l] += x[w * row->channels + l] * dy[q * row->channels + l];
        }
}

static void FN(depthwise_dot_any)(const struct conv_axis *axis, const FN(depthwise_row) * row, const T *dy, const T *x, T *sums)
{
    const int tiles = axis->dilation == 1 && row->channels >= VL;
#define CASE(taps_, step_)                                                                                                       \
    if (tiles && axis->taps == taps_ && axis->step == step_) {                                                                   \
        FN(depthwise_dot)(taps_, step_, row, dy, x, sums);                                                                       \
        return;                                                                                                                  \
    }
    DEPTHWISE_CASES(CASE)
#undef CASE
    FN(depthwise_dot_plain)(axis, row, MIN(VL, row->channels), dy, x, sums);
}

/* partial: DEPTHWISE_CHUNKS filters, each (r, block of VL channels, s, channel in the block). */
static int64_t FN(depthwise_workspace)(int64_t channels, int64_t taps)
{
    return DEPTHWISE_CHUNKS * taps * ((channels + VL - 1) / VL * VL);
}

/* dfilter[r,s,c] = sum_npq dy[n,p,q,c] x[n, p u + r d - t, q v + s e - l, c]: the rows (n, p) are summed in chunks whose
 * borders do not depend on the threads, and the chunks are added in order. */
static void FN(depthwise_vjp_filter)(const int64_t *sizes, const T *dy, const T *x, T *dfilter, T *partial, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    const int64_t channels = z.groups, blocks = (channels + VL - 1) / VL, rows = z.images * z.rows;
    const int64_t length = FN(depthwise_workspace)(channels, z.filter_h * z.filter_w) / DEPTHWISE_CHUNKS;
    threads = FN(depthwise_threads)(&z, threads);
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t chunk = 0; chunk < DEPTHWISE_CHUNKS; chunk++) {
        T *own = partial + chunk * length;
        memset(own, 0, (size_t)length * sizeof(T));
        for (int64_t np = rows * chunk / DEPTHWISE_CHUNKS; np < rows * (chunk + 1) / DEPTHWISE_CHUNKS; np++) {
            const FN(depthwise_row) row = FN(depthwise_row_at)(&map, np / z.rows, np % z.rows, x, dfilter);
            const int64_t r0 = (row.filter - dfilter) / row.f_r;
            for (int64_t r = 0; r < row.rows; r++)
                for (int64_t block = 0; block < blocks; block++) {
                    const int64_t c = MAX(0, MIN(block * VL, channels - VL));
                    FN(depthwise_dot_any)(&map.w, &row, dy + np * z.columns * channels + c, row.x + r * row.x_r + c,
                                          own + ((r0 + r) * blocks + block) * z.filter_w * VL);
                }
        }
    }
    for (int64_t r = 0; r < z.filter_h; r++)
        for (int64_t s = 0; s < z.filter_w; s++)
            for (int64_t block = 0; block < blocks; block++) {
                const int64_t c = MAX(0, MIN(block * VL, channels - VL));
                vec sum = {0};
                for (int64_t chunk = 0; chunk < DEPTHWISE_CHUNKS; chunk++)
                    sum += *(const vec *)(partial + chunk * length + ((r * blocks + block) * z.filter_w + s) * VL);
                FN(store)(dfilter + (r * z.filter_w + s) * channels + c, channels - c, sum);
            }
}
#undef DEPTHWISE_CHUNKS
#undef DEPTHWISE_CASES
