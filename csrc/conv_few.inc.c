/* The gradient of an image of few channels:  dx = col2im(dy filter). Letters as in conv.inc.c.
 *
 * As a product over windows it would leave most of each vector empty: a photograph has three channels. So dy times the
 * filters is taken first, (pixels, outer) (outer, (tap, channel)), and its rows are added to the windows they come from;
 * taps side by side in the image are one run. Each image is one thread's. */

/* Whether x has so few channels, and the filters so few columns, that this way is the shorter one. */
static int FN(conv_few)(const struct conv_sizes *z)
{
    const int64_t columns = z->filter_h * z->filter_w * z->inner;
    return z->groups == 1 && z->filter_h * z->filter_w > 1 && z->inner <= VL / 2 && columns <= GEMM_NC(NR) && z->outer <= GEMM_KC;
}

static int64_t FN(conv_few_workspace)(int64_t threads)
{
    return GEMM_KC * GEMM_NC(NR) + threads * (GEMM_ROWS * GEMM_NC(NR) + GEMM_KC * MR);
}

INLINE void FN(conv_add)(int64_t count, const T *from, T *to)
{
    for (int64_t c = 0; c < count; c += VL)
        FN(store)(to + c, count - c, FN(load)(to + c, count - c) + FN(load)(from + c, count - c));
}

/* One result's row of columns (r, s, i) is added to its window; dx: the image. */
static void FN(conv_col2im)(const struct conv_sizes *z, int64_t p, int64_t q, const T *columns, T *dx)
{
    const int64_t h_p = p * z->stride_h - z->pad_h, w_q = q * z->stride_w - z->pad_w, run = z->dilation_w == 1 ? z->filter_w : 1;
    for (int64_t r = 0; r < z->filter_h; r++) {
        const int64_t h = h_p + r * z->dilation_h;
        if (h < 0 || h >= z->height)
            continue;
        for (int64_t s = 0; s < z->filter_w; s += run) {
            const int64_t w = w_q + s * z->dilation_w, first = MAX(0, -w), last = MIN(run, z->width - w);
            if (first < last)
                FN(conv_add)((last - first) * z->inner, columns + ((r * z->filter_w + s) + first) * z->inner,
                             dx + (h * z->width + w + first) * z->inner);
        }
    }
}

static void FN(conv_scatter)(const struct conv_sizes *z, const T *dy, const T *filter, T *dx, T *packed, int64_t threads)
{
    const int64_t n = z->filter_h * z->filter_w * z->inner, k = z->outer, size = z->height * z->width * z->inner;
    FN(gemm_pack_panels)(k, n, filter, n, 1, packed);
    if (2.0 * (double)(z->images * z->rows * z->columns) * (double)n * (double)k < SERIAL_FLOPS)
        threads = 1;
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t image = 0; image < z->images; image++) {
        T *columns = packed + GEMM_KC * GEMM_NC(NR) + THREAD * (GEMM_ROWS * GEMM_NC(NR) + GEMM_KC * MR);
        T *packed_a = columns + GEMM_ROWS * GEMM_NC(NR), *dx_n = dx + image * size;
        const T *dy_n = dy + image * z->rows * z->columns * k;
        memset(dx_n, 0, (size_t)size * sizeof(T));
        for (int64_t lo = 0; lo < z->rows * z->columns; lo += GEMM_ROWS) {
            const int64_t pixels = MIN(GEMM_ROWS, z->rows * z->columns - lo);
            FN(gemm_panels)(pixels, n, k, dy_n + lo * k, k, 1, packed, NR, k, columns, n, NULL, 1, packed_a);
            for (int64_t i = 0; i < pixels; i++)
                FN(conv_col2im)(z, (lo + i) / z->columns, (lo + i) % z->columns, columns + i * n, dx_n);
        }
    }
}
