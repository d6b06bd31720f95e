/* What a convolution is a sum over: the sizes, and where each result stands and reads. Letters as in conv.inc.c. */
#ifndef MV_CONV_MAP_H
#define MV_CONV_MAP_H

#include "simd.h"

/* As kernels/conv.py sends them. inner and outer are channels of one group. */
struct conv_sizes {
    int64_t images, height, width, rows, columns, groups, inner, outer, filter_h, filter_w;
    int64_t stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

/* One axis of a product over windows: result k, which stands at `at + k every` of `length`, is a sum over taps j of the
 * source at `origin + k step + j dilation` (zero outside 0..size) times the filter at `first + j gap`. */
struct conv_axis {
    int64_t count, at, every, length, taps, first, gap, size, origin, step, dilation;
};

/* A product over windows: from `inner` channels of the source to `outer` of the result, in each group; f_x is the stride
 * of the filter along x (group, row, column, inner channel, outer channel). */
struct conv_map {
    struct conv_axis h, w;
    int64_t images, groups, inner, outer, f_g, f_r, f_s, f_i, f_o;
};

/* y[p] = sum_r filter[r] x[p u + r d - t] */
static inline struct conv_axis conv_axis_forward(int64_t size, int64_t count, int64_t taps, int64_t stride, int64_t pad,
                                                 int64_t dilation)
{
    return (struct conv_axis){.count = count,
                              .every = 1,
                              .length = count,
                              .taps = taps,
                              .gap = 1,
                              .size = size,
                              .origin = -pad,
                              .step = stride,
                              .dilation = dilation};
}

/* dx[h] = sum of filter[r] dy[p] over all p u + r d - t = h. The rows h = a, a + u, a + 2 u, .. meet the same taps r,
 * those with a + t - r d divisible by u, and the rows of dy under them move by one: a convolution for each phase a < u.
 * The taps are counted from the last, so that the source index grows with them as it does forward. */
static inline struct conv_axis conv_axis_gradient(int64_t phase, int64_t size, int64_t count, int64_t taps, int64_t stride,
                                                  int64_t pad, int64_t dilation)
{
    struct conv_axis axis = {.count = (size - phase + stride - 1) / stride,
                             .at = phase,
                             .every = stride,
                             .length = size,
                             .size = count,
                             .step = 1,
                             .dilation = 1};
    int64_t last = taps - 1, gap = 1;
    while (last >= 0 && (phase + pad - last * dilation) % stride != 0)
        last--;
    if (last < 0)
        return axis; /* no tap ever reads these rows: their gradient is 0 */
    while (gap <= last && gap * dilation % stride != 0)
        gap++;
    axis.taps = last / gap + 1, axis.first = last, axis.gap = -gap;
    axis.origin = (phase + pad - last * dilation) / stride, axis.dilation = axis.taps > 1 ? gap * dilation / stride : 1;
    return axis;
}

static inline struct conv_map conv_map_forward(const struct conv_sizes *z)
{
    return (struct conv_map){.h = conv_axis_forward(z->height, z->rows, z->filter_h, z->stride_h, z->pad_h, z->dilation_h),
                             .w = conv_axis_forward(z->width, z->columns, z->filter_w, z->stride_w, z->pad_w, z->dilation_w),
                             .images = z->images,
                             .groups = z->groups,
                             .inner = z->inner,
                             .outer = z->outer,
                             .f_g = z->outer * z->filter_h * z->filter_w * z->inner,
                             .f_r = z->filter_w * z->inner,
                             .f_s = z->inner,
                             .f_i = 1,
                             .f_o = z->filter_h * z->filter_w * z->inner};
}

static inline struct conv_map conv_map_gradient(const struct conv_sizes *z, int64_t phase_h, int64_t phase_w)
{
    struct conv_map map = conv_map_forward(z);
    map.h = conv_axis_gradient(phase_h, z->height, z->rows, z->filter_h, z->stride_h, z->pad_h, z->dilation_h);
    map.w = conv_axis_gradient(phase_w, z->width, z->columns, z->filter_w, z->stride_w, z->pad_w, z->dilation_w);
    map.inner = z->outer, map.outer = z->inner, map.f_i = map.f_o, map.f_o = 1;
    return map;
}

/* Where tap (r, s) of the filters stands, in the order in which the map meets them. */
static inline int64_t conv_tap(const struct conv_map *map, int64_t r, int64_t s)
{
    return (map->h.first + r * map->h.gap) * map->f_r + (map->w.first + s * map->w.gap) * map->f_s;
}

/* How many tiles of 2 x 2 results there are, and where one begins: image, row and column. */
static inline int64_t conv_tiles(const struct conv_map *map)
{
    return map->images * ((map->h.count + 1) / 2) * ((map->w.count + 1) / 2);
}

struct conv_place {
    int64_t n, p, q;
};

static inline struct conv_place conv_tile_place(const struct conv_map *map, int64_t tile)
{
    const int64_t across = (map->w.count + 1) / 2, down = (map->h.count + 1) / 2;
    return (struct conv_place){.n = tile / across / down, .p = tile / across % down * 2, .q = tile % across * 2};
}

/* The length of equal blocks, none above `largest`, that a reduction over k is cut into. */
static inline int64_t conv_block(int64_t k, int64_t largest)
{
    const int64_t blocks = (k + largest - 1) / largest;
    return blocks ? (k + blocks - 1) / blocks : 1;
}

/* Whether each result comes of the one pixel at its own place: then the windows are the image itself, and nothing is copied. */
static inline int conv_is_product(const struct conv_map *map)
{
    const struct conv_axis *axes[] = {&map->h, &map->w};
    for (int i = 0; i < 2; i++)
        if (axes[i]->taps != 1 || axes[i]->origin != 0 || axes[i]->every != 1 || axes[i]->size != axes[i]->count)
            return 0;
    return 1;
}

#endif
