/* Convolution in groups narrower than a vector (ResNeXt's have 4, 8 and 16 channels). Letters as in conv.inc.c.
 *
 *   y[o] += filter[o,r,s,i] x[g(o), i]      over i of o's own group: a lane o needs the lane i of its group
 *
 * A product for each group would leave most of each vector empty. Here a vector holds the channels of several groups, and
 * for each i one permutation gives every lane its group's x_i: 2 N P Q R S O I flops, every lane at work, and one
 * permutation for each multiply-add. MR results at a time share each vector of the filters. */

#define NARROW_TAPS 49
#define NARROW_CHUNKS ((int64_t)16)

static int FN(conv_is_narrow)(const struct conv_sizes *z)
{
    return z->groups > 1 && z->inner == z->outer && VL % z->inner == 0 && z->groups * z->inner % VL == 0 &&
           z->filter_h * z->filter_w <= NARROW_TAPS;
}

static int64_t FN(conv_narrow_workspace)(const struct conv_sizes *z)
{
    const int64_t channels = z->groups * z->inner;
    return channels + NARROW_CHUNKS * channels * z->filter_h * z->filter_w * z->inner; /* zeros; filters, or sums of them */
}

/* x[lanes] */
INLINE vec FN(pick)(vec x, ivec lanes)
{
#ifdef __clang__
    vec y;
    for (int l = 0; l < VL; l++)
        y[l] = x[lanes[l]];
    return y;
#else
    return __builtin_shuffle(x, lanes);
#endif
}

/* The first lane of each lane's group. */
INLINE ivec FN(narrow_lanes)(int64_t width)
{
    ivec lanes;
    for (int l = 0; l < VL; l++)
        lanes[l] = l / (int)width * (int)width;
    return lanes;
}

/* Filters (group, o, r, s, i) as (tap, i, channel o), the taps in the order in which the map meets them. */
static void FN(narrow_pack)(const struct conv_map *map, const T *filter, T *packed)
{
    for (int64_t r = map->h.first, n = 0; n < map->h.taps; n++, r += map->h.gap)
        for (int64_t s = map->w.first, m = 0; m < map->w.taps; m++, s += map->w.gap)
            for (int64_t i = 0; i < map->inner; i++)
                for (int64_t g = 0; g < map->groups; g++)
                    for (int64_t o = 0; o < map->outer; o++)
                        *packed++ = filter[g * map->f_g + r * map->f_r + s * map->f_s + i * map->f_i + o * map->f_o];
}

/* Where the windows of MR results read, x_tk (tap, result): `beside`, which is 0, outside the image and behind the last. */
static void FN(narrow_windows)(const struct conv_map *map, int64_t pixel, int64_t pixels, const T *x, const T *beside,
                               const T **x_tk)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    const int64_t channels = map->groups * map->inner;
    int64_t q = pixel % w->count, p = pixel / w->count % h->count, n = pixel / w->count / h->count;
    for (int64_t k = 0; k < MR; k++) {
        for (int64_t r = 0, t = k; r < h->taps; r++)
            for (int64_t s = 0; s < w->taps; s++, t += MR) {
                const int64_t h_r = h->origin + p * h->step + r * h->dilation, w_s = w->origin + q * w->step + s * w->dilation;
                const int inside = k < pixels && h_r >= 0 && h_r < h->size && w_s >= 0 && w_s < w->size;
                x_tk[t] = inside ? x + ((n * h->size + h_r) * w->size + w_s) * channels : beside;
            }
        if (++q == w->count) {
            q = 0;
            if (++p == h->count)
                p = 0, n++;
        }
    }
}

/* VL channels, from c on, of `rows` results. */
INLINE void FN(narrow_tile)(const struct conv_map *map, int64_t rows, int64_t c, const T *const *x_tk, const T *packed,
                            const T *bias, T *const *y_k)
{
    const int64_t channels = map->groups * map->inner, taps = map->h.taps * map->w.taps;
    const ivec first = FN(narrow_lanes)(map->inner);
    vec acc[MR], x[MR];
    for (int k = 0; k < MR; k++)
        acc[k] = bias ? *(const vec *)(bias + c) : (vec){0};
    for (int64_t t = 0; t < taps; t++, x_tk += MR) {
        for (int k = 0; k < MR; k++)
            x[k] = *(const vec *)(x_tk[k] + c);
        ivec lanes = first;
        for (int64_t i = 0; i < map->inner; i++, packed += channels, lanes += 1) {
            const vec f = *(const vec *)(packed + c);
#pragma GCC unroll 16
            for (int k = 0; k < MR; k++)
                acc[k] += FN(pick)(x[k], lanes) * f;
        }
    }
    for (int64_t k = 0; k < rows; k++)
        *(vec *)(y_k[k] + c) = acc[k];
}

static void FN(narrow_run)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, T *workspace,
                           int64_t threads)
{
    const int64_t m = map->images * map->h.count * map->w.count, channels = map->groups * map->inner;
    T *beside = workspace, *packed = workspace + channels;
    memset(beside, 0, (size_t)channels * sizeof(T));
    FN(narrow_pack)(map, filter, packed);
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t pixel = 0; pixel < m; pixel += MR) {
        const int64_t rows = MIN(MR, m - pixel);
        const T *x_tk[NARROW_TAPS * MR];
        T *y_k[MR];
        FN(narrow_windows)(map, pixel, rows, x, beside, x_tk);
        FN(conv_places)(map, pixel, rows, y, y_k);
        for (int64_t c = 0; c < channels; c += VL)
            FN(narrow_tile)(map, rows, c, x_tk, packed, bias, y_k);
    }
}

/* sums (i, channel) += the products of `rows` results with their windows under one tap, VL channels. */
INLINE void FN(narrow_dot)(int width, int64_t rows, int64_t channels, const T *const *x_k, int64_t c, const T *dy, T *sums)
{
    vec acc[VECTOR_BYTES / sizeof(T)] = {{0}};
    const ivec first = FN(narrow_lanes)(width);
    for (int64_t k = 0; k < rows; k++) {
        const vec x = *(const vec *)(x_k[k] + c), dy_k = *(const vec *)(dy + k * channels);
        ivec lanes = first;
#pragma GCC unroll 16
        for (int i = 0; i < width; i++, lanes += 1)
            acc[i] += FN(pick)(x, lanes) * dy_k;
    }
    for (int i = 0; i < width; i++)
        *(vec *)(sums + i * channels) += acc[i];
}

/* Compiled for each width, so that the sums stay in registers. */
static void FN(narrow_dot_any)(int64_t width, int64_t rows, int64_t channels, const T *const *x_k, int64_t c, const T *dy,
                               T *sums)
{
    if (width == 2)
        FN(narrow_dot)(2, rows, channels, x_k, c, dy, sums);
    else if (width == 4)
        FN(narrow_dot)(4, rows, channels, x_k, c, dy, sums);
    else if (width == 8)
        FN(narrow_dot)(8, rows, channels, x_k, c, dy, sums);
    else
        FN(narrow_dot)((int)width, rows, channels, x_k, c, dy, sums);
}

/* dfilter is summed over chunks of results whose borders do not depend on the threads. */
static void FN(narrow_filter)(const struct conv_map *map, const T *dy, const T *x, T *dfilter, T *workspace, int64_t threads)
{
    const int64_t m = map->images * map->h.count * map->w.count, channels = map->groups * map->inner;
    const int64_t width = map->inner, taps = map->h.taps * map->w.taps, length = channels * taps * width;
    T *beside = workspace, *partial = workspace + channels;
    memset(workspace, 0, (size_t)(channels + NARROW_CHUNKS * length) * sizeof(T));
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t chunk = 0; chunk < NARROW_CHUNKS; chunk++) {
        const int64_t hi = m * (chunk + 1) / NARROW_CHUNKS;
        for (int64_t pixel = m * chunk / NARROW_CHUNKS; pixel < hi; pixel += MR) {
            const int64_t rows = MIN(MR, hi - pixel);
            const T *x_tk[NARROW_TAPS * MR];
            FN(narrow_windows)(map, pixel, rows, x, beside, x_tk);
            for (int64_t t = 0; t < taps; t++)
                for (int64_t c = 0; c < channels; c += VL)
                    FN(narrow_dot_any)(width, rows, channels, x_tk + t * MR, c, dy + pixel * channels + c,
                                       partial + chunk * length + t * width * channels + c);
        }
    }
    for (int64_t c = 0; c < channels; c++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t i = 0; i < width; i++) {
                T sum = 0;
                for (int64_t chunk = 0; chunk < NARROW_CHUNKS; chunk++)
                    sum += partial[chunk * length + (t * width + i) * channels + c];
                dfilter[(c * taps + t) * width + i] = sum;
            }
}
#undef NARROW_TAPS
#undef NARROW_CHUNKS
