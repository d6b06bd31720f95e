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
 * memory: a few of its rows, or of its columns, are copied just before the microkernel of gemm.inc.c reads them. The
 * gradient of x is the same product with dy as the image and the filters turned around. Threads own blocks of results,
 * each summed in an order that does not depend on them: the same bits for any number of threads. */

#ifndef MV_CONV
#define MV_CONV

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

/* The length of equal blocks, none above `largest`, that a reduction over k is cut into. */
static inline int64_t conv_block(int64_t k, int64_t largest)
{
    const int64_t blocks = (k + largest - 1) / largest;
    return blocks ? (k + blocks - 1) / blocks : 1;
}

/* The part of a task: rows i0..i1 and columns j0..j1 of the (m, n) product of one group. */
struct conv_task {
    int64_t group, i0, i1, j0, j1;
};

/* A group is cut along its longer side where there are fewer groups than threads; little work is left to one thread. */
static inline int64_t conv_slices(int64_t groups, int64_t m, int64_t n, int64_t k, int64_t mr, int64_t nr, int64_t *threads)
{
    if (2.0 * (double)groups * (double)m * (double)n * (double)k < SERIAL_FLOPS)
        *threads = 1;
    return groups >= *threads ? 1 : MIN(*threads, m > n ? (m + mr - 1) / mr : (n + nr - 1) / nr);
}

static inline struct conv_task conv_task(int64_t task, int64_t slices, int64_t m, int64_t n, int64_t mr, int64_t nr)
{
    const int64_t unit = m > n ? mr : nr, longer = MAX(m, n), blocks = (longer + unit - 1) / unit, s = task % slices;
    const int64_t lo = blocks * s / slices * unit, hi = MIN(longer, blocks * (s + 1) / slices * unit);
    return m > n ? (struct conv_task){task / slices, lo, hi, 0, n} : (struct conv_task){task / slices, 0, m, lo, hi};
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
        const int64_t r = map->h.first + tap / map->w.taps * map->h.gap, s = map->w.first + tap % map->w.taps * map->w.gap;
        run = MIN(map->inner - i, rows - k);
        FN(gemm_pack_b)(run, columns, filter + r * map->f_r + s * map->f_s + i * map->f_i, map->f_i, map->f_o, packed + k * NR);
    }
}

/* rows x columns of the product of a (MR, k) and a panel of b go to y_k[row] + o, as gemm_tile has it. */
INLINE void FN(conv_tile)(int64_t k, int64_t rows, int64_t columns, const T *a, const T *b, T *const *y_k, int64_t o,
                          const T *bias, int first)
{
    vec acc[MR][NV];
    if (columns <= HALF_NV * VL)
        FN(gemm_micro)(k, HALF_NV, a, k, 1, b, NR, acc);
    else
        FN(gemm_micro)(k, NV, a, k, 1, b, NR, acc);
    for (int64_t i = 0; i < rows; i++)
        FN(gemm_store_row)(acc[i], columns, y_k[i] + o, bias ? bias + o : NULL, first);
}

/* Results lo..hi, outer channels o_lo..o_hi, of one group. */
static void FN(conv_slice)(const struct conv_map *map, int64_t lo, int64_t hi, int64_t o_lo, int64_t o_hi, const T *x,
                           const T *filter, const T *bias, T *y, T *packed_b, T *packed_a)
{
    const int64_t k = map->h.taps * map->w.taps * map->inner, block = conv_block(k, GEMM_KC), nc = GEMM_NC(NR);
    for (int64_t o0 = o_lo; o0 < o_hi; o0 += nc)
        for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += block) {
            const int64_t o1 = MIN(o_hi, o0 + nc), kc = MIN(k - k0, block);
            for (int64_t o = o0; o < o1; o += NR)
                FN(conv_pack_filter)(map, k0, kc, MIN(NR, o1 - o), filter + o * map->f_o, packed_b + (o - o0) * kc);
            for (int64_t pixel = lo; pixel < hi; pixel += MR) {
                const int64_t rows = MIN(MR, hi - pixel);
                T *y_k[MR];
                FN(conv_places)(map, pixel, rows, y, y_k);
                if (kc)
                    FN(conv_im2col)(map, pixel, rows, k0, kc, x, packed_a, kc);
                if (rows < MR)
                    memset(packed_a + rows * kc, 0, (size_t)((MR - rows) * kc) * sizeof(T));
                for (int64_t o = o0; o < o1; o += NR)
                    FN(conv_tile)(kc, rows, MIN(NR, o1 - o), packed_a, packed_b + (o - o0) * kc, y_k, o, bias, k0 == 0);
            }
        }
}

/* Rows o_lo..o_hi and columns j_lo..j_hi (tap, i) of one group's dfilter = dy^T im2col(x), summed over blocks of pixels. */
static void FN(conv_slice_filter)(const struct conv_map *map, int64_t o_lo, int64_t o_hi, int64_t j_lo, int64_t j_hi, const T *dy,
                                  const T *x, T *dfilter, T *packed_b, T *packed_a)
{
    const int64_t pixels = map->images * map->h.count * map->w.count, block = conv_block(pixels, GEMM_KC), nc = GEMM_NC(NR);
    const int64_t all = map->groups * map->outer, row = map->f_o;
    for (int64_t j0 = j_lo; j0 < j_hi; j0 += nc)
        for (int64_t k0 = 0; k0 < pixels; k0 += block) {
            const int64_t j1 = MIN(j_hi, j0 + nc), kc = MIN(pixels - k0, block);
            for (int64_t j = j0; j < j1; j += NR) {
                T *panel = packed_b + (j - j0) * kc;
                if (j1 - j < NR)
                    memset(panel, 0, (size_t)(kc * NR) * sizeof(T));
                FN(conv_im2col)(map, k0, kc, j, MIN(NR, j1 - j), x, panel, NR);
            }
            for (int64_t o = o_lo; o < o_hi; o += MR) {
                const int64_t rows = MIN(MR, o_hi - o);
                FN(gemm_pack_a)(rows, kc, dy + k0 * all + o, 1, all, packed_a);
                for (int64_t j = j0; j < j1; j += NR)
                    FN(gemm_tile)(kc, rows, MIN(NR, j1 - j), packed_a, 1, MR, packed_b + (j - j0) * kc, NR, dfilter + o * row + j,
                                  row, NULL, k0 == 0);
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
    const int64_t slices = conv_slices(map->groups, m, n, k, MR, NR, &threads);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < map->groups * slices; task++) {
        const struct conv_task t = conv_task(task, slices, m, n, MR, NR);
        T *packed_b = workspace + THREAD * GEMM_KC * (GEMM_NC(NR) + MR), *packed_a = packed_b + GEMM_KC * GEMM_NC(NR);
        FN(conv_slice)(map, t.i0, t.i1, t.j0, t.j1, x + t.group * map->inner, filter + t.group * map->f_g,
                       bias ? bias + t.group * n : NULL, y + t.group * n, packed_b, packed_a);
    }
}

/* y = im2col(x) filter^T + bias */
static void FN(conv)(const int64_t *sizes, const T *x, const T *filter, const T *bias, T *y, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    FN(conv_run)(&map, x, filter, bias, y, workspace, threads);
}

/* dx = im2col(dy) filter, phase by phase */
static void FN(conv_vjp_x)(const int64_t *sizes, const T *dy, const T *filter, T *dx, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    for (int64_t phase_h = 0; phase_h < MIN(z.stride_h, z.height); phase_h++)
        for (int64_t phase_w = 0; phase_w < MIN(z.stride_w, z.width); phase_w++) {
            const struct conv_map map = conv_map_gradient(&z, phase_h, phase_w);
            FN(conv_run)(&map, dy, filter, NULL, dx, workspace, threads);
        }
}

/* dfilter = dy^T im2col(x) */
static void FN(conv_vjp_filter)(const int64_t *sizes, const T *dy, const T *x, T *dfilter, T *workspace, int64_t threads)
{
    struct conv_sizes z;
    memcpy(&z, sizes, sizeof z);
    const struct conv_map map = conv_map_forward(&z);
    const int64_t pixels = z.images * z.rows * z.columns, m = z.outer, n = map.f_o;
    if (conv_is_product(&map)) {
        FN(gemm)(1, z.groups, m, n, pixels, dy, 0, m, 1, z.groups * m, x, 0, n, z.groups * n, 1, dfilter, 0, map.f_g, n, NULL,
                 workspace, threads);
        return;
    }
    const int64_t slices = conv_slices(z.groups, m, n, pixels, MR, NR, &threads);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < z.groups * slices; task++) {
        const struct conv_task t = conv_task(task, slices, m, n, MR, NR);
        T *packed_b = workspace + THREAD * GEMM_KC * (GEMM_NC(NR) + MR), *packed_a = packed_b + GEMM_KC * GEMM_NC(NR);
        FN(conv_slice_filter)(&map, t.i0, t.i1, t.j0, t.j1, dy + t.group * m, x + t.group * z.inner, dfilter + t.group * map.f_g,
                              packed_b, packed_a);
    }
}
