/* Convolution:  y[n,p,q,o] = bias[o] + sum_rsi filter[o,r,s,i] x[n, p u + r d - t, q v + s e - l, i].   2 N P Q O R S I flops.
 *
 *   n  image      p, q  row and column of y     r, s  row and column of the filter      o  channel of y, 0..outer
 *                 h, w  row and column of x     u, v  stride    d, e  dilation          i  channel of x, 0..inner
 *                                               t, l  zeros on top and on the left of x
 *
 * Memory, channels last: x (n, h, w, group, i), y (n, p, q, group, o), filter (group, o, r, s, i).
 *
 * Chellapilla et al., "High performance convolutional neural networks for document processing" (2006): the windows of x
 * are the rows of a matrix (im2col), and a convolution is that matrix times the filters. The matrix is never whole in
 * memory: a few of its rows are copied just before the microkernel of gemm.inc.c reads them, and those that stand in the
 * image side by side are read there. The gradient of x is the same product with dy as the image and the filters turned
 * around. Threads own blocks of results, each summed in an order that does not depend on them: the same bits for any
 * number of threads. */
#include "conv_map.h"

/* The definition, and by the product rule both derivatives; results start at zero (y at the bias), NULL is not wanted. */
static void FN(conv_definition)(const int64_t *sizes, const T *x, const T *filter, const T *dy, T *y, T *dx, T *dfilter)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    for (int64_t n = 0; n < z.images; n++)
        for (int64_t p = 0; p < z.rows; p++)
            for (int64_t q = 0; q < z.columns; q++)
                for (int64_t o = 0; o < z.groups * z.outer; o++)
                    for (int64_t r = 0; r < z.filter_h; r++)
                        for (int64_t s = 0; s < z.filter_w; s++) {
                            const int64_t h = p * z.stride_h + r * z.dilation_h - z.pad_h;
                            const int64_t w = q * z.stride_w + s * z.dilation_w - z.pad_w;
                            if (h < 0 || h >= z.height || w < 0 || w >= z.width)
                                continue;
                            const int64_t y_npqo = ((n * z.rows + p) * z.columns + q) * z.groups * z.outer + o;
                            const int64_t x_nhwi = (((n * z.height + h) * z.width + w) * z.groups + o / z.outer) * z.inner;
                            const int64_t f_orsi = ((o * z.filter_h + r) * z.filter_w + s) * z.inner;
                            for (int64_t i = 0; i < z.inner; i++) {
                                if (y)
                                    y[y_npqo] += x[x_nhwi + i] * filter[f_orsi + i];
                                if (dx)
                                    dx[x_nhwi + i] += dy[y_npqo] * filter[f_orsi + i];
                                if (dfilter)
                                    dfilter[f_orsi + i] += dy[y_npqo] * x[x_nhwi + i];
                            }
                        }
}

/* The end is copied by a vector, or two halves, that lie over what is done: a store of part of a vector would make the
 * microkernel, which reads the copy at once, wait for the cache. */
INLINE void FN(conv_copy)(int64_t count, const T *from, T *to)
{
    int64_t c = 0;
    for (; c + VL <= count; c += VL)
        *(vec *)(to + c) = *(const vec *)(from + c);
    if (c == count)
        return;
    if (count >= VL)
        *(vec *)(to + count - VL) = *(const vec *)(from + count - VL);
    else if (count >= VL / 2) {
        memcpy(to, from, VECTOR_BYTES / 2);
        memcpy(to + count - VL / 2, from + count - VL / 2, VECTOR_BYTES / 2);
    } else
        FN(store)(to, count, FN(load)(from, count));
}

/* im2col: rows (results) pixel.. and columns (tap, channel) column.. of the matrix of windows, zero outside the image.
 * Taps that stand side by side in the source are copied as one run. */
static void FN(conv_im2col)(const struct conv_map *map, int64_t pixel, int64_t pixels, int64_t column, int64_t columns,
                            const T *x, T *restrict matrix, int64_t row_length)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    const int64_t all = map->groups * map->inner, side_by_side = w->dilation == 1 && map->groups == 1;
    const int64_t i0 = column % map->inner, s0 = column / map->inner % w->taps, r0 = column / map->inner / w->taps;
    const int whole_rows = i0 == 0 && s0 == 0 && columns % (w->taps * map->inner) == 0;
    int64_t q = pixel % w->count, p = pixel / w->count % h->count, n = pixel / w->count / h->count;
    for (int64_t k = 0; k < pixels; k++, matrix += row_length) {
        const int64_t w_q = w->origin + q * w->step;
        const int64_t whole = side_by_side && w_q >= 0 && w_q + w->taps <= w->size;
        int64_t h_r = h->origin + p * h->step + r0 * h->dilation, s = s0, i = i0, run;
        if (whole && whole_rows) { /* every row of the filter is one run: images of few channels live by this */
            const int64_t length = w->taps * map->inner;
            for (int64_t j = 0; j < columns; j += length, h_r += h->dilation)
                if (h_r >= 0 && h_r < h->size)
                    FN(conv_copy)(length, x + ((n * h->size + h_r) * w->size + w_q) * all, matrix + j);
                else
                    memset(matrix + j, 0, (size_t)length * sizeof(T));
        } else
            for (int64_t j = 0; j < columns; j += run) {
                const int64_t w_s = w_q + s * w->dilation;
                run = MIN((whole ? w->taps - s : 1) * map->inner - i, columns - j);
                if (h_r >= 0 && h_r < h->size && w_s >= 0 && w_s < w->size)
                    FN(conv_copy)(run, x + ((n * h->size + h_r) * w->size + w_s) * all + i, matrix + j);
                else
                    memset(matrix + j, 0, (size_t)run * sizeof(T));
                i = 0;
                if (whole || ++s == w->taps)
                    s = 0, h_r += h->dilation;
            }
        if (++q == w->count) {
            q = 0;
            if (++p == h->count)
                p = 0, n++;
        }
    }
}

/* Where results pixel.. stand in y. */
static void FN(conv_places)(const struct conv_map *map, int64_t pixel, int64_t pixels, T *y, T **y_k)
{
    const struct conv_axis *h = &map->h, *w = &map->w;
    int64_t q = pixel % w->count, p = pixel / w->count % h->count, n = pixel / w->count / h->count;
    for (int64_t k = 0; k < pixels; k++) {
        y_k[k] = y + ((n * h->length + h->at + p * h->every) * w->length + w->at + q * w->every) * map->groups * map->outer;
        if (++q == w->count) {
            q = 0;
            if (++p == h->count)
                p = 0, n++;
        }
    }
}

/* Rows (tap, inner channel) row.. of the filters' matrix, one panel of columns (outer channels), as gemm_pack_b. */
static void FN(conv_pack_filter)(const struct conv_map *map, int64_t row, int64_t rows, int64_t columns, const T *filter,
                                 T *packed)
{
    int64_t run;
    for (int64_t k = 0; k < rows; k += run) {
        const int64_t i = (row + k) % map->inner, tap = (row + k) / map->inner;
        const T *first = filter + conv_tap(map, tap / map->w.taps, tap % map->w.taps) + i * map->f_i;
        run = MIN(map->inner - i, rows - k);
        FN(gemm_pack_b)(run, columns, first, map->f_i, map->f_o, packed + k * NR);
    }
}

#include "conv_filter.inc.c"
#include "conv_few.inc.c"
#include "conv_narrow.inc.c"
#include "conv_winograd.inc.c"

/* The product of the windows of MR results, which stand side by side in one row of the image and inside it, with a panel. */
INLINE void FN(conv_straight)(const struct conv_map *map, int nv, int64_t h_p, const T *x, const T *b, vec acc[MR][NV])
{
    const int64_t run = map->w.taps * map->inner, row = map->w.size * map->inner;
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < nv; v++)
            acc[i][v] = (vec){0};
    for (int64_t r = 0, h = h_p; r < map->h.taps; r++, h += map->h.dilation, b += run * NR)
        if (h >= 0 && h < map->h.size)
            FN(gemm_add)(run, nv, x + h * row, map->w.step * map->inner, 1, b, NR, acc);
}

/* Where the windows of MR results begin (in row 0 of their image), if they stand so; *h_p: the row of the first tap. */
static const T *FN(conv_stands)(const struct conv_map *map, int64_t pixel, const T *x, int64_t *h_p)
{
    const int64_t q = pixel % map->w.count, p = pixel / map->w.count % map->h.count, n = pixel / map->w.count / map->h.count;
    const int64_t w_q = map->w.origin + q * map->w.step, last = w_q + (MR - 1) * map->w.step + map->w.taps;
    if (map->groups != 1 || map->w.dilation != 1 || q + MR > map->w.count || w_q < 0 || last > map->w.size)
        return NULL;
    *h_p = map->h.origin + p * map->h.step;
    return x + (n * map->h.size * map->w.size + w_q) * map->inner;
}

/* rows x columns of a product go to y_k[row] + o. Of `straight` windows a is the image, else their copies (MR, k). */
INLINE void FN(conv_tile)(const struct conv_map *map, int nv, int64_t k, int64_t rows, int64_t columns, const T *straight,
                          int64_t h_p, const T *a, const T *b, T *const *y_k, int64_t o, const T *bias, int first)
{
    vec acc[MR][NV];
    if (straight)
        FN(conv_straight)(map, nv, h_p, straight, b, acc);
    else
        FN(gemm_micro)(k, nv, a, k, 1, b, NR, acc);
    for (int64_t i = 0; i < rows; i++)
        FN(gemm_store_row)(acc[i], columns, y_k[i] + o, bias ? bias + o : NULL, first);
}

/* Results lo..hi, outer channels o0..o1, summed over k0..k0 + kc of (tap, inner channel); `packed_b`: those of the filters. */
static void FN(conv_results)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t o0, int64_t o1, int64_t k0, int64_t kc,
                             const T *x, const T *bias, T *y, const T *packed_b, T *packed_a)
{
    const int whole = kc == map->h.taps * map->w.taps * map->inner;
    for (int64_t pixel = lo; pixel < hi; pixel += MR) {
        const int64_t rows = MIN(MR, hi - pixel);
        int64_t h_p = 0;
        const T *straight = whole && kc && rows == MR ? FN(conv_stands)(map, pixel, x, &h_p) : NULL;
        T *y_k[MR];
        FN(conv_places)(map, pixel, rows, y, y_k);
        if (kc && !straight)
            FN(conv_im2col)(map, pixel, rows, k0, kc, x, packed_a, kc);
        if (rows < MR)
            memset(packed_a + rows * kc, 0, (size_t)((MR - rows) * kc) * sizeof(T));
        for (int64_t o = o0; o < o1; o += NR) {
            const int64_t columns = MIN(NR, o1 - o);
            const T *b = packed_b + (o - o0) * kc;
            if (columns <= HALF_NV * VL)
                FN(conv_tile)(map, HALF_NV, kc, rows, columns, straight, h_p, packed_a, b, y_k, o, bias, k0 == 0);
            else
                FN(conv_tile)(map, NV, kc, rows, columns, straight, h_p, packed_a, b, y_k, o, bias, k0 == 0);
        }
    }
}

/* One group: the threads pack a block of the filters together, then each takes the next few results when it is free. */
static void FN(conv_group)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, T *packed_b,
                           int64_t threads)
{
    const int64_t m = map->images * map->h.count * map->w.count, k = map->h.taps * map->w.taps * map->inner;
    const int64_t block = conv_block(k, GEMM_KC), wide = GEMM_WIDE(NR);
    const int64_t finer = MAX(1, MIN(GEMM_ROWS / MR, m / (16 * MR * threads))) * MR; /* small work is cut finer */
    const int64_t few = finer < GEMM_ROWS ? finer : FN(gemm_rows)(m, map->outer, k, threads);
    for (int64_t o0 = 0; o0 < map->outer; o0 += wide)
        for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += block) {
            const int64_t o1 = MIN(map->outer, o0 + wide), kc = MIN(k - k0, block);
#pragma omp parallel num_threads((int)threads) if (threads > 1)
            {
#pragma omp for schedule(static)
                for (int64_t o = o0; o < o1; o += NR)
                    FN(conv_pack_filter)(map, k0, kc, MIN(NR, o1 - o), filter + o * map->f_o, packed_b + (o - o0) * kc);
#pragma omp for schedule(dynamic)
                for (int64_t lo = 0; lo < m; lo += few)
                    FN(conv_results)(map, lo, MIN(m, lo + few), o0, o1, k0, kc, x, bias, y, packed_b,
                                     packed_b + GEMM_KC * (wide + THREAD * MR));
            }
        }
}

static void FN(conv_run)(const struct conv_map *map, const T *x, const T *filter, const T *bias, T *y, T *workspace,
                         int64_t threads)
{
    const int64_t m = map->images * map->h.count * map->w.count, n = map->outer, k = map->h.taps * map->w.taps * map->inner;
    if (conv_is_product(map) && (map->groups == 1 || !bias)) {
        FN(gemm)(1, map->groups, m, n, k, x, 0, k, map->groups * k, 1, filter, 0, map->f_g, map->f_i, map->f_o, y, 0, n,
                 map->groups * n, bias, workspace, threads);
        return;
    }
    if (2.0 * (double)map->groups * (double)m * (double)n * (double)k < SERIAL_FLOPS)
        threads = 1;
    for (int64_t g = 0; g < map->groups; g++)
        FN(conv_group)(map, x + g * map->inner, filter + g * map->f_g, bias ? bias + g * n : NULL, y + g * n, workspace, threads);
}

/* By the algorithm that suits the sizes. */
static void FN(conv_by_sizes)(const struct conv_sizes *z, const struct conv_map *map, const T *x, const T *filter, const T *bias,
                              T *y, T *workspace, int64_t threads)
{
    if (FN(conv_is_narrow)(z))
        FN(narrow_run)(map, x, filter, bias, y, workspace, threads);
    else if (FN(conv_is_winograd)(z))
        FN(winograd_run)(map, x, filter, bias, y, workspace, threads);
    else
        FN(conv_run)(map, x, filter, bias, y, workspace, threads);
}

/* y = im2col(x) filter^T + bias */
static void FN(conv)(const int64_t *sizes, const T *x, const T *filter, const T *bias, T *y, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    FN(conv_by_sizes)(&z, &map, x, filter, bias, y, workspace, threads);
}

/* dx = im2col(dy) filter, phase by phase; of few channels by col2im (conv_few.inc.c) */
static void FN(conv_vjp_x)(const int64_t *sizes, const T *dy, const T *filter, T *dx, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    if (FN(conv_few)(&z)) {
        FN(conv_scatter)(&z, dy, filter, dx, workspace, threads);
        return;
    }
    for (int64_t phase_h = 0; phase_h < MIN(z.stride_h, z.height); phase_h++)
        for (int64_t phase_w = 0; phase_w < MIN(z.stride_w, z.width); phase_w++) {
            const struct conv_map map = conv_map_gradient(&z, phase_h, phase_w);
            FN(conv_by_sizes)(&z, &map, dy, filter, NULL, dx, workspace, threads);
        }
}

/* dfilter = dy^T im2col(x) */
static void FN(conv_vjp_filter)(const int64_t *sizes, const T *dy, const T *x, T *dfilter, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    const int64_t pixels = z.images * z.rows * z.columns, m = z.outer, n = map.f_o, columns = FILTER_COLUMNS;
    if (FN(conv_is_narrow)(&z) && z.inner < VL) { /* as wide as a vector, a group is as fast as a product of its own */
        FN(narrow_filter)(&map, dy, x, dfilter, workspace, threads);
        return;
    }
    if (FN(conv_is_winograd)(&z)) {
        FN(winograd_filter)(&map, dy, x, dfilter, workspace, threads);
        return;
    }
    const int64_t chunks = FN(conv_chunks)(&map), blocks = (n + columns - 1) / columns, size = z.groups * m * n;
    if (conv_is_product(&map) && chunks == 1) { /* else the pixels are cut too */
        FN(gemm)(1, z.groups, m, n, pixels, dy, 0, m, 1, z.groups * m, x, 0, n, z.groups * n, 1, dfilter, 0, map.f_g, n, NULL,
                 workspace, threads);
        return;
    }
    T *partial = chunks > 1 ? workspace : dfilter, *spaces = chunks > 1 ? workspace + chunks * size : workspace;
    if (2.0 * (double)size * (double)pixels < SERIAL_FLOPS)
        threads = 1;
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < z.groups * chunks * blocks; task++) {
        const int64_t g = task / blocks / chunks, chunk = task / blocks % chunks, j = task % blocks * columns;
        T *packed_b = spaces + THREAD * (GEMM_KC * (columns + MR) + GEMM_PACK * columns),
          *packed_a = packed_b + GEMM_KC * columns;
        FN(conv_filter_block)(&map, pixels * chunk / chunks, pixels * (chunk + 1) / chunks, j, MIN(n, j + columns), dy + g * m,
                              x + g * z.inner, partial + chunk * size + g * map.f_g, packed_b, packed_a, packed_a + GEMM_KC * MR);
    }
    if (chunks > 1)
        FN(conv_add_chunks)(chunks, size, partial, dfilter, threads);
}

static int64_t FN(conv_workspace)(const int64_t *sizes, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const int64_t product = GEMM_KC * (MAX(GEMM_WIDE(NR), threads * GEMM_NC(NR)) + threads * MR);
    const int64_t narrow = FN(conv_is_narrow)(&z) ? FN(conv_narrow_workspace)(&z) : 0;
    const int64_t winograd = FN(conv_is_winograd)(&z) ? FN(conv_winograd_workspace)(&z, threads) : 0;
    return MAX(MAX(MAX(product, narrow), winograd), MAX(FN(conv_few_workspace)(threads), FN(conv_filter_workspace)(&z, threads)));
}
