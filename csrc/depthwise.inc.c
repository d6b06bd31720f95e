/* Depthwise convolution: one filter for each channel.  y[n,p,q,c] = bias[c] + sum_rs filter[r,s,c] x[n, p u + r d - t, q v + s e - l, c]
 *
 * Letters, memory and the axes of conv.inc.c, with inner = outer = 1 and a channel c for each group; the filter is
 * (r, s, c). 2 N P Q R S C flops, so few for each element of x that a matrix product would only copy: plain loops, the
 * channels innermost. */

#define LANES ((int64_t)64) /* channels summed side by side */

/* The results k0..k1 of an axis whose source lies inside the image for tap j. */
static void FN(depthwise_range)(const struct conv_axis *axis, int64_t j, int64_t *k0, int64_t *k1)
{
    const int64_t first = axis->origin + j * axis->dilation, room = axis->size - first;
    *k0 = first < 0 ? (axis->step - 1 - first) / axis->step : 0;
    *k1 = room > 0 ? MIN(axis->count, (room + axis->step - 1) / axis->step) : 0;
}

/* y[k] += filter x[k step] for `count` pixels of all channels. */
static void FN(depthwise_add)(int64_t count, int64_t channels, const T *restrict x, int64_t x_k, const T *restrict filter,
                              T *restrict y, int64_t y_k)
{
    for (int64_t k = 0; k < count; k++)
        for (int64_t c = 0; c < channels; c++)
            y[k * y_k + c] += filter[c] * x[k * x_k + c];
}

static void FN(depthwise_run)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, int64_t threads)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    const int64_t channels = map->groups, f_s = channels, f_r = map->f_r * channels, y_q = w->every * channels;
    const int64_t tasks = map->images * h->count;
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && tasks * w->count * channels > 20000)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t n = task / h->count, p = task % h->count;
        T *y_p = y + ((n * h->length + h->at + p * h->every) * w->length + w->at) * channels;
        for (int64_t q = 0; q < w->count; q++)
            for (int64_t c = 0; c < channels; c++)
                y_p[q * y_q + c] = bias ? bias[c] : 0;
        for (int64_t r = 0; r < h->taps; r++) {
            const int64_t row = h->origin + p * h->step + r * h->dilation;
            for (int64_t s = 0; s < w->taps && row >= 0 && row < h->size; s++) {
                int64_t q0, q1;
                FN(depthwise_range)(w, s, &q0, &q1);
                const int64_t column = w->origin + q0 * w->step + s * w->dilation;
                FN(depthwise_add)(q1 - q0, channels, x + ((n * h->size + row) * w->size + column) * channels, w->step * channels,
                                  filter + (h->first + r * h->gap) * f_r + (w->first + s * w->gap) * f_s, y_p + q0 * y_q, y_q);
            }
        }
    }
}

static void FN(depthwise)(const int64_t *sizes, const T *x, const T *filter, const T *bias, T *y, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    FN(depthwise_run)(&map, x, filter, bias, y, threads);
}

static void FN(depthwise_vjp_x)(const int64_t *sizes, const T *dy, const T *filter, T *dx, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    for (int64_t phase_h = 0; phase_h < MIN(z.stride_h, z.height); phase_h++)
        for (int64_t phase_w = 0; phase_w < MIN(z.stride_w, z.width); phase_w++) {
            const struct conv_map map = conv_map_gradient(&z, phase_h, phase_w);
            FN(depthwise_run)(&map, dy, filter, NULL, dx, threads);
        }
}

/* sum[c] = sum_k x[k x_k + c] dy[k y_k + c] */
static void FN(depthwise_dot)(int64_t count, int64_t lanes, const T *restrict x, int64_t x_k, const T *restrict dy, int64_t y_k,
                              T *restrict sum)
{
    for (int64_t k = 0; k < count; k++)
        for (int64_t l = 0; l < lanes; l++)
            sum[l] += x[k * x_k + l] * dy[k * y_k + l];
}

/* dfilter[r,s,c] = sum_npq dy[n,p,q,c] x[n, p u + r d - t, q v + s e - l, c]: each row of pixels a sum of its own. A task
 * is one row r of the filters, of up to LANES channels. */
static void FN(depthwise_vjp_filter)(const int64_t *sizes, const T *dy, const T *x, T *dfilter, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    const struct conv_axis *h = &map.h, *w = &map.w;
    const int64_t channels = z.groups, blocks = (channels + LANES - 1) / LANES, tasks = h->taps * blocks;
    memset(dfilter, 0, (size_t)(h->taps * w->taps * channels) * sizeof(T));
#pragma omp parallel for schedule(static)                                                                                        \
    num_threads((int)threads) if (threads > 1 && z.images * z.rows * z.columns * channels > 20000)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t r = task / blocks, c = task % blocks * LANES, lanes = MIN(channels - c, LANES);
        for (int64_t np = 0; np < z.images * h->count; np++) {
            const int64_t n = np / h->count, row = h->origin + np % h->count * h->step + r * h->dilation;
            for (int64_t s = 0; s < w->taps && row >= 0 && row < h->size; s++) {
                T sum[LANES] = {0}, *total = dfilter + (r * w->taps + s) * channels + c;
                int64_t q0, q1;
                FN(depthwise_range)(w, s, &q0, &q1);
                const int64_t column = w->origin + q0 * w->step + s * w->dilation;
                FN(depthwise_dot)(q1 - q0, lanes, x + ((n * h->size + row) * w->size + column) * channels + c, w->step * channels,
                                  dy + (np * w->count + q0) * channels + c, channels, sum);
                for (int64_t l = 0; l < lanes; l++)
                    total[l] += sum[l];
            }
        }
    }
}
#undef LANES
