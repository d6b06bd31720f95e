/* The gradient of the filters by the same algorithm:   dg = G^T [ sum_t (B^T d_t B) (.) (A dy_t A^T) ] G
 *
 * By the product rule of conv_winograd.inc.c: for each element e of a tile, dy (t, o) transposed times x (t, i), a sum over
 * all tiles t of all images. A task is a block of outputs, a block of channels and a chunk of the tiles: what it turns and
 * what it sums stay in the second cache. How many chunks there are depends on the sizes alone, never on the threads: the same
 * bits for any number of them. */

#define WINOGRAD_OUTPUTS (WINOGRAD_SIDE / MR * MR)
#define WINOGRAD_INPUTS (2 * NR)
#define WINOGRAD_X_ROW (WINOGRAD_INPUTS + VL)
#define WINOGRAD_Y_ROW (WINOGRAD_OUTPUTS + VL)
#define WINOGRAD_SPACE (TILE * (WINOGRAD_TILES * (WINOGRAD_X_ROW + WINOGRAD_Y_ROW) + WINOGRAD_OUTPUTS * WINOGRAD_INPUTS))

/* A y A^T: 2 x 2 in the corner of rows of 4 become 4 x 4. */
INLINE void FN(winograd_a)(vec *y, int step)
{
    const vec y0 = y[0], y1 = y[step];
    y[step] = y0 + y1, y[2 * step] = y0 - y1, y[3 * step] = -y1;
}

/* G^T u, in place: the first three of four vectors. */
INLINE void FN(winograd_gt)(vec *u, int step)
{
    const vec half = (vec){0} + (T)0.5, sum = half * (u[step] + u[2 * step]), difference = half * (u[step] - u[2 * step]);
    u[0] += sum, u[step] = difference, u[2 * step] = sum + u[3 * step];
}

/* A dy A^T of tiles lo..hi and some outputs, as (e, tile, output). */
static void FN(winograd_cotangents)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t outputs, const T *dy, T *turned,
                                    int64_t row, int64_t plane)
{
    const int64_t below = map->w.count * map->outer;
    for (int64_t t = lo; t < hi; t++, turned += row) {
        const struct conv_place at = conv_tile_place(map, t);
        const T *dy_pq = dy + ((at.n * map->h.count + at.p) * map->w.count + at.q) * map->outer;
        const int two = at.q + 1 < map->w.count, rows = at.p + 1 < map->h.count ? 2 : 1;
        for (int64_t o = 0; o < outputs; o += VL) {
            vec a[TILE] = {0};
            for (int r = 0; r < rows; r++) {
                a[4 * r] = FN(load)(dy_pq + r * below + o, outputs - o);
                if (two)
                    a[4 * r + 1] = FN(load)(dy_pq + r * below + map->outer + o, outputs - o);
            }
            TURN(FN(winograd_a), a, 2, 4);
#pragma GCC unroll 16
            for (int e = 0; e < TILE; e++)
                *(vec *)(turned + e * plane + o) = a[e];
        }
    }
}

/* G^T u G of one output's channels, as dfilter (tap, i): taps `inner` apart. */
static void FN(winograd_turn_back)(int64_t channels, const T *sums, int64_t plane, T *dfilter, int64_t inner)
{
    for (int64_t i = 0; i < channels; i += VL) {
        vec u[TILE];
#pragma GCC unroll 16
        for (int e = 0; e < TILE; e++)
            u[e] = *(const vec *)(sums + e * plane + i);
        TURN(FN(winograd_gt), u, 4, 3);
        for (int r = 0; r < 3; r++)
            for (int s = 0; s < 3; s++)
                FN(store)(dfilter + (3 * r + s) * inner + i, channels - i, u[4 * r + s]);
    }
}

/* One task: outputs o.., channels i.. and tiles lo..hi. space: turned tiles (e, tile, channel) of x, of dy; sums (e, o, i). */
static void FN(winograd_filter_block)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t o, int64_t i, const T *dy,
                                      const T *x, const T *beside, T *dfilter, T *space)
{
    const int64_t outputs = MIN(map->outer - o, WINOGRAD_OUTPUTS), channels = MIN(map->inner - i, WINOGRAD_INPUTS);
    const int64_t x_plane = WINOGRAD_TILES * WINOGRAD_X_ROW, y_plane = WINOGRAD_TILES * WINOGRAD_Y_ROW;
    const int64_t plane = WINOGRAD_OUTPUTS * WINOGRAD_INPUTS;
    T *x_e = space, *y_e = x_e + TILE * x_plane, *sums = y_e + TILE * y_plane;
    memset(space, 0, (size_t)(TILE * (x_plane + y_plane)) * sizeof(T)); /* the microkernel reads behind the last channel */
    for (int64_t t = lo; t < hi; t += WINOGRAD_TILES) {
        const int64_t tiles = MIN(hi - t, WINOGRAD_TILES);
        FN(winograd_images)(map, t, t + tiles, channels, x + i, beside, x_e, WINOGRAD_X_ROW, x_plane);
        FN(winograd_cotangents)(map, t, t + tiles, outputs, dy + o, y_e, WINOGRAD_Y_ROW, y_plane);
        for (int64_t e = 0; e < TILE; e++)
            for (int64_t j = 0; j < channels; j += NR)
                for (int64_t k = 0; k < outputs; k += MR)
                    FN(gemm_tile)(tiles, MR, NR, y_e + e * y_plane + k, 1, WINOGRAD_Y_ROW, x_e + e * x_plane + j, WINOGRAD_X_ROW,
                                  sums + e * plane + k * WINOGRAD_INPUTS + j, WINOGRAD_INPUTS, NULL, t == lo);
    }
    for (int64_t k = 0; k < outputs; k++)
        FN(winograd_turn_back)(channels, sums + k * WINOGRAD_INPUTS, plane, dfilter + (o + k) * map->f_o + i, map->inner);
}

/* How many sums of its own each filter has. */
static int64_t FN(winograd_chunks)(const struct conv_map *map, int64_t blocks)
{
    return MAX(1, MIN(FILTER_TASKS / blocks, conv_tiles(map) / (2 * WINOGRAD_TILES)));
}

static int64_t FN(winograd_blocks)(const struct conv_map *map)
{
    return ((map->outer + WINOGRAD_OUTPUTS - 1) / WINOGRAD_OUTPUTS) * ((map->inner + WINOGRAD_INPUTS - 1) / WINOGRAD_INPUTS);
}

static void FN(winograd_filter)(const struct conv_map *map, const T *dy, const T *x, T *dfilter, T *workspace, int64_t threads)
{
    const int64_t tiles = conv_tiles(map), blocks = FN(winograd_blocks)(map), chunks = FN(winograd_chunks)(map, blocks);
    const int64_t across = (map->inner + WINOGRAD_INPUTS - 1) / WINOGRAD_INPUTS, size = map->outer * map->f_o;
    T *partial = chunks > 1 ? workspace : dfilter, *beside = workspace + (chunks > 1 ? chunks * size : 0);
    memset(beside, 0, (size_t)WINOGRAD_INPUTS * sizeof(T));
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < blocks * chunks; task++) {
        const int64_t chunk = task / blocks, o = task % blocks / across * WINOGRAD_OUTPUTS, i = task % across * WINOGRAD_INPUTS;
        FN(winograd_filter_block)(map, tiles * chunk / chunks, tiles * (chunk + 1) / chunks, o, i, dy, x, beside,
                                  partial + chunk * size, beside + WINOGRAD_INPUTS + THREAD * WINOGRAD_SPACE);
    }
    if (chunks > 1)
        FN(conv_add_chunks)(chunks, size, partial, dfilter, threads);
}

static int64_t FN(winograd_filter_workspace)(const struct conv_sizes *z, int64_t threads)
{
    const struct conv_map map = conv_map_forward(z);
    return FN(winograd_chunks)(&map, FN(winograd_blocks)(&map)) * map.outer * map.f_o + WINOGRAD_INPUTS +
           threads * WINOGRAD_SPACE;
}
