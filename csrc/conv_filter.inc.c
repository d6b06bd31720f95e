/* The gradient of the filters:  dfilter = dy^T im2col(x), a sum over all pixels of all images. Letters as in conv.inc.c.
 *
 * The filters are cut into blocks of columns (tap, inner channel); where that gives too few pieces of work, the pixels are
 * cut too, and each chunk of them has a sum of its own. How many there are depends on the sizes alone, never on the
 * threads: the same bits for any number of them. */

#define FILTER_COLUMNS (MAX(GEMM_NC(NR) / (2 * NR), 1) * NR)
#define FILTER_TASKS 16

/* How many sums of its own each filter has. */
static int64_t FN(conv_chunks)(const struct conv_map *map)
{
    const int64_t columns = FILTER_COLUMNS, blocks = map->groups * ((map->f_o + columns - 1) / columns);
    const int64_t pixels = map->images * map->h.count * map->w.count;
    return MAX(1, MIN(FILTER_TASKS / blocks, pixels / (2 * GEMM_KC)));
}

static int64_t FN(conv_filter_workspace)(const struct conv_sizes *z, int64_t threads)
{
    const struct conv_map map = conv_map_forward(z);
    const int64_t chunks = FN(conv_chunks)(&map), columns = FILTER_COLUMNS;
    return (chunks > 1 ? chunks * map.groups * map.outer * map.f_o : 0) +
           threads * (GEMM_KC * (columns + MR) + GEMM_PACK * columns);
}

/* Columns j0..j1 of the windows of pixels pixel.. as panels (kc, NR); `few` holds those of GEMM_PACK pixels on the way. */
static void FN(conv_pack_windows)(const struct conv_map *map, int64_t pixel, int64_t kc, int64_t j0, int64_t j1, const T *x,
                                  T *packed, T *few)
{
    const int64_t width = (j1 - j0 + NR - 1) / NR * NR;
    for (int64_t k0 = 0; k0 < kc; k0 += GEMM_PACK) {
        const int64_t pixels = MIN(GEMM_PACK, kc - k0);
        FN(conv_im2col)(map, pixel + k0, pixels, j0, j1 - j0, x, few, width);
        for (int64_t j = 0; j < width; j += NR)
            for (int64_t k = 0; k < pixels; k++)
                for (int v = 0; v < NV; v++)
                    *(vec *)(packed + j * kc + (k0 + k) * NR + v * VL) = *(const vec *)(few + k * width + j + v * VL);
    }
}

/* Columns j0..j1 of one group's dfilter, summed over pixels lo..hi. */
static void FN(conv_filter_block)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t j0, int64_t j1, const T *dy,
                                  const T *x, T *dfilter, T *packed_b, T *packed_a, T *few)
{
    const int64_t block = conv_block(hi - lo, GEMM_KC), all = map->groups * map->outer, row = map->f_o;
    const int64_t width = (j1 - j0 + NR - 1) / NR * NR;
    memset(few, 0, (size_t)(GEMM_PACK * width) * sizeof(T)); /* the columns behind the last stay 0 */
    for (int64_t k0 = lo; k0 < hi; k0 += block) {
        const int64_t kc = MIN(hi - k0, block);
        FN(conv_pack_windows)(map, k0, kc, j0, j1, x, packed_b, few);
        for (int64_t o = 0; o < map->outer; o += MR) {
            const int64_t rows = MIN(MR, map->outer - o);
            FN(gemm_pack_a)(rows, kc, dy + k0 * all + o, 1, all, packed_a);
            for (int64_t j = j0; j < j1; j += NR)
                FN(gemm_tile)(kc, rows, MIN(NR, j1 - j), packed_a, 1, MR, packed_b + (j - j0) * kc, NR, dfilter + o * row + j,
                              row, NULL, k0 == lo);
        }
    }
}

/* dfilter = the sum of the chunks' own, in their order. */
static void FN(conv_add_chunks)(int64_t chunks, int64_t size, const T *partial, T *dfilter, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t e = 0; e < size; e += VL) {
        vec sum = FN(load)(partial + e, size - e);
        for (int64_t chunk = 1; chunk < chunks; chunk++)
            sum += FN(load)(partial + chunk * size + e, size - e);
        FN(store)(dfilter + e, size - e, sum);
    }
}
