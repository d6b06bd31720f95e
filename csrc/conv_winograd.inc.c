/* Convolution with 3 x 3 filters at stride 1 by Winograd's minimal filtering F(2 x 2, 3 x 3).   8 N P Q O I flops, not 18.
 *
 *   Y = A^T [ sum_i (G g_i G^T) (.) (B^T d_i B) ] A          (.) element by element
 *
 * Lavin & Gray, "Fast algorithms for convolutional neural networks" (2015), section 4.1: four results side by side, a tile
 * of 2 x 2, read 4 x 4 pixels d of each channel i and share their products; the filters g are turned once. Each of the 16
 * elements e of a tile is then a matrix product of its own, over the channels: tiles (t, i) times filters (i, o).
 *
 * The rounding is that of a sum of a few more terms; an infinity in x makes all four results of a tile NaN or infinite.
 * Letters as in conv.inc.c. */

#define TILE 16 /* elements: 4 x 4 */
/* M t M^T of a tile t in rows of 4: each of its first columns is turned by M, then each of the first rows that this gives. */
#define TURN(M, t, columns, rows)                                                                                                \
    do {                                                                                                                         \
        _Pragma("GCC unroll 4") for (int s_ = 0; s_ < (columns); s_++) M((t) + s_, 4);                                           \
        _Pragma("GCC unroll 4") for (int r_ = 0; r_ < (rows); r_++) M((t) + 4 * r_, 1);                                          \
    } while (0)

/* Whether the products saved are worth the turning of filters, images and results. */
static int FN(conv_is_winograd)(const struct conv_sizes *z)
{
    const int square = z->filter_h == 3 && z->filter_w == 3 && z->stride_h == 1 && z->stride_w == 1 && z->dilation_h == 1 &&
                       z->dilation_w == 1 && z->groups == 1;
    return square && MIN(z->inner, z->outer) >= WINOGRAD_CHANNELS && MAX(z->inner, z->outer) <= WINOGRAD_MOST &&
           z->images * z->rows * z->columns >= WINOGRAD_PIXELS;
}

/* B^T d, in place, for four vectors `step` apart. */
INLINE void FN(winograd_bt)(vec *d, int step)
{
    const vec d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
    d[0] = d0 - d2, d[step] = d1 + d2, d[2 * step] = d2 - d1, d[3 * step] = d1 - d3;
}

/* A^T m, in place: the first two of four vectors. */
INLINE void FN(winograd_at)(vec *m, int step)
{
    const vec m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step];
    m[0] = m0 + m1 + m2, m[step] = m1 - m2 - m3;
}

/* G g, in place: four vectors of the first three. */
INLINE void FN(winograd_g)(vec *g, int step)
{
    const vec g0 = g[0], g1 = g[step], g2 = g[2 * step], half = (vec){0} + (T)0.5;
    g[step] = half * (g0 + g1 + g2), g[2 * step] = half * (g0 - g1 + g2), g[3 * step] = g2;
}

/* Channels i.. of the filters of outputs o.., as (e, panel of o, i, NR): of images' gradients the outputs are dense. */
static void FN(winograd_dense_outputs)(const struct conv_map *map, int64_t o, int64_t i, const T *filter, T *packed,
                                       int64_t plane)
{
    for (int64_t end = MIN(map->inner, i + VL); i < end; i++)
        for (int64_t v = 0; v < NV; v++) {
            const int64_t o_v = o + v * VL, n = map->outer - o_v;
            vec g[TILE] = {0};
            for (int64_t r = 0; n > 0 && r < 3; r++)
                for (int64_t s = 0; s < 3; s++)
                    g[4 * r + s] = FN(load)(filter + conv_tap(map, r, s) + i * map->f_i + o_v, n);
            TURN(FN(winograd_g), g, 3, 4);
            for (int64_t e = 0; e < TILE; e++)
                *(vec *)(packed + e * plane + i * NR + v * VL) = g[e];
        }
}

/* The same of filters whose channels are dense: squares of VL outputs and channels are turned on the way. */
static void FN(winograd_dense_channels)(const struct conv_map *map, int64_t o, int64_t i, const T *filter, T *packed,
                                        int64_t plane)
{
    const int64_t channels = MIN(VL, map->inner - i);
    for (int64_t v = 0; v < NV; v++) {
        vec square[TILE][VL] = {0};
        for (int64_t l = 0; l < MIN(VL, map->outer - o - v * VL); l++) {
            const T *f = filter + (o + v * VL + l) * map->f_o + i;
            vec g[TILE] = {0};
            for (int64_t r = 0; r < 3; r++)
                for (int64_t s = 0; s < 3; s++)
                    g[4 * r + s] = FN(load)(f + conv_tap(map, r, s), channels);
            TURN(FN(winograd_g), g, 3, 4);
            for (int e = 0; e < TILE; e++)
                square[e][l] = g[e];
        }
        for (int64_t e = 0; e < TILE; e++) {
            FN(transpose)(square[e]);
            for (int64_t l = 0; l < channels; l++)
                *(vec *)(packed + e * plane + (i + l) * NR + v * VL) = square[e][l];
        }
    }
}

/* The 4 x 4 pixels that the results p, q.. of an image read: `beside`, which is 0, outside the image. */
static void FN(winograd_window)(const struct conv_map *map, int64_t tile, const T *x, const T *beside, const T *d[TILE])
{
    const struct conv_place at = conv_tile_place(map, tile);
    for (int64_t r = 0; r < 4; r++)
        for (int64_t s = 0; s < 4; s++) {
            const int64_t h = map->h.origin + at.p + r, w = map->w.origin + at.q + s;
            const int inside = h >= 0 && h < map->h.size && w >= 0 && w < map->w.size;
            d[4 * r + s] = inside ? x + ((at.n * map->h.size + h) * map->w.size + w) * map->inner : beside;
        }
}

/* B^T d B of tiles lo..hi and some channels, as (e, tile, channel): planes of rows `row` long. */
static void FN(winograd_images)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t channels, const T *x, const T *beside,
                                T *turned, int64_t row, int64_t plane)
{
    for (int64_t t = lo; t < hi; t++, turned += row) {
        const T *from[TILE];
        FN(winograd_window)(map, t, x, beside, from);
        for (int64_t i = 0; i < channels; i += VL) {
            vec d[TILE];
#pragma GCC unroll 16
            for (int e = 0; e < TILE; e++)
                d[e] = FN(load)(from[e] + i, channels - i);
            TURN(FN(winograd_bt), d, 4, 4);
#pragma GCC unroll 16
            for (int e = 0; e < TILE; e++)
                *(vec *)(turned + e * plane + i) = d[e];
        }
    }
}

/* y = A^T m A + bias of tiles lo..hi, outputs o.. of one panel; m (e, tile, NR). */
static void FN(winograd_results)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t o, const T *products, int64_t plane,
                                 const T *bias, T *y)
{
    const int64_t columns = MIN(NR, map->outer - o);
    for (int64_t t = lo; t < hi; t++, products += NR) {
        const struct conv_place at = conv_tile_place(map, t);
        T *y_pq = y + ((at.n * map->h.count + at.p) * map->w.count + at.q) * map->outer + o;
        const int right = at.q + 1 < map->w.count, below = at.p + 1 < map->h.count;
        for (int64_t j = 0; j < columns; j += VL) {
            const int64_t rest = columns - j;
            vec m[TILE], start = {0};
            if (bias)
                start = FN(load)(bias + o + j, rest);
#pragma GCC unroll 16
            for (int e = 0; e < TILE; e++)
                m[e] = *(const vec *)(products + e * plane + j);
            TURN(FN(winograd_at), m, 4, 2);
            T *y_j = y_pq + j, *next = y_j + map->w.count * map->outer;
            FN(store)(y_j, rest, m[0] + start);
            if (right)
                FN(store)(y_j + map->outer, rest, m[1] + start);
            if (below)
                FN(store)(next, rest, m[4] + start);
            if (below && right)
                FN(store)(next + map->outer, rest, m[5] + start);
        }
    }
}

/* Tiles that a thread turns and multiplies at a time: a few rows of microkernels, as far as the second cache holds them. */
static int64_t FN(winograd_block)(int64_t channels)
{
    return MR * MAX(1, MIN(WINOGRAD_ROWS, WINOGRAD_BYTES / (TILE * MR * channels * (int64_t)sizeof(T))));
}

/* A row of turned tiles: whole vectors, and one more, so that rows do not stand a power of two apart. */
static int64_t FN(winograd_row)(int64_t channels)
{
    return (channels + VL - 1) / VL * VL + VL;
}

static void FN(winograd_run)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, T *workspace,
                             int64_t threads)
{
    const int64_t tiles = conv_tiles(map), block = FN(winograd_block)(map->inner), row = FN(winograd_row)(map->inner);
    const int64_t panels = (map->outer + NR - 1) / NR, plane = panels * NR * map->inner, pieces = (map->inner + VL - 1) / VL;
    T *beside = workspace, *filters = beside + map->inner, *spaces = filters + TILE * plane;
    memset(beside, 0, (size_t)map->inner * sizeof(T));
#pragma omp parallel num_threads((int)threads) if (threads > 1)
    {
        T *turned = spaces + THREAD * TILE * block * (row + NR), *products = turned + TILE * block * row;
#pragma omp for schedule(static)
        for (int64_t piece = 0; piece < panels * pieces; piece++) {
            const int64_t o = piece / pieces * NR, i = piece % pieces * VL;
            T *panel = filters + o * map->inner;
            if (map->f_i == 1)
                FN(winograd_dense_channels)(map, o, i, filter, panel, plane);
            else
                FN(winograd_dense_outputs)(map, o, i, filter, panel, plane);
        }
#pragma omp for schedule(dynamic)
        for (int64_t lo = 0; lo < tiles; lo += block) {
            const int64_t hi = MIN(tiles, lo + block), rows = (hi - lo + MR - 1) / MR * MR;
            FN(winograd_images)(map, lo, hi, map->inner, x, beside, turned, row, block * row);
            for (int64_t e = 0; e < TILE && hi - lo < rows; e++) /* what the last microkernel reads behind the last tile */
                memset(turned + (e * block + hi - lo) * row, 0, (size_t)((rows - (hi - lo)) * row) * sizeof(T));
            for (int64_t o = 0; o < map->outer; o += NR) {
                for (int64_t e = 0; e < TILE; e++)
                    for (int64_t t = 0; t < rows; t += MR)
                        FN(gemm_tile)(map->inner, MR, NR, turned + (e * block + t) * row, row, 1,
                                      filters + e * plane + o * map->inner, NR, products + (e * block + t) * NR, NR, NULL, 1);
                FN(winograd_results)(map, lo, hi, o, products, block * NR, bias, y);
            }
        }
    }
}

#include "conv_winograd_filter.inc.c"

static int64_t FN(conv_winograd_workspace)(const struct conv_sizes *z, int64_t threads)
{
    const int64_t most = MAX(z->inner, z->outer), wide = (most + NR - 1) / NR * NR,
                  block = MAX(FN(winograd_block)(z->inner), FN(winograd_block)(z->outer));
    const int64_t forward = most + TILE * wide * most + threads * TILE * block * (FN(winograd_row)(most) + NR);
    return MAX(forward, FN(winograd_filter_workspace)(z, threads));
}
