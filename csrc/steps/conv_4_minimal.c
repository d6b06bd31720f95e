/* Convolution, step 4: fewer products.   Four results side by side, 2 x 2, read 4 x 4 pixels; the filters are turned once, the
 * pixels once for each tile, and then 16 products for each pair of channels make what took 36.
 *
 *     y = A^T [ sum over i of (G f_i G^T) (.) (B^T x_i B) ] A          (.) element by element
 *
 * Step 3 came as near to the peak of multiply-adds as copying lets it; what is left is to do without some of them. Each of the 16
 * elements e is a matrix product over the channels, of MR tiles at a time; turning costs additions alone.
 *
 *     multiply-adds: 4 n p q i o, not 9;   first cache: 8 n p q (2 i + 2 o) bytes more
 *
 * This is what csrc/conv_winograd.inc.c does, and for the gradients too. Other filters and strides are left to step 3.
 *
 * Lavin & Gray, "Fast algorithms for convolutional neural networks" (2015), section 4.1, after S. Winograd (1980). */
#include "steps.h"
#define conv conv_any
#define conv_space conv_any_space
#include "conv_3_implicit.c"
#undef conv
#undef conv_space

enum { TILE = 16 }; /* 4 x 4 */

/* turned (e, i, o) = G f G^T of filters f (r, s, i, o), one after the other */
static void turn_filters(int64_t size, const float *filter, float *turned)
{
    static const float G[4][3] = {{1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
    for (int64_t f = 0; f < size; f++)
        for (int e = 0; e < TILE; e++) {
            float sum = 0;
            for (int r = 0; r < 3; r++)
                for (int s = 0; s < 3; s++)
                    sum += G[e / 4][r] * G[e % 4][s] * filter[(3 * r + s) * size + f];
            turned[e * size + f] = sum;
        }
}

/* One row or column of B^T x B, and of A^T m A (of which two are left), elements `step` apart. */
INLINE void turn_pixels(vec *x, int step)
{
    const vec x0 = x[0], x1 = x[step], x2 = x[2 * step], x3 = x[3 * step];
    x[0] = x0 - x2, x[step] = x1 + x2, x[2 * step] = x2 - x1, x[3 * step] = x1 - x3;
}

INLINE void turn_products(vec *m, int step)
{
    m[0] += m[step] + m[2 * step], m[step] -= m[2 * step] + m[3 * step];
}

/* A tile of x, VL channels wherever they stand, to the 16 planes. Whole vectors: the next tile overwrites what is too much. */
static void pixels(const struct conv_sizes *z, const float *x, int64_t n, int64_t h, int64_t w, float *to, int64_t plane)
{
    for (int64_t i = 0; i < z->inner; i += VL) {
        vec d[TILE] = {0};
        for (int k = 0; k < TILE; k++)
            if (h + k / 4 >= 0 && h + k / 4 < z->height && w + k % 4 >= 0 && w + k % 4 < z->width)
                memcpy(d + k, x + ((n * z->height + h + k / 4) * z->width + w + k % 4) * z->inner + i,
                       (size_t)MIN(VL, z->inner - i) * sizeof(float));
        for (int s = 0; s < 4; s++)
            turn_pixels(d + s, 4);
        for (int r = 0; r < 4; r++)
            turn_pixels(d + 4 * r, 1);
        for (int e = 0; e < TILE; e++)
            *(vec *)(to + e * plane + i) = d[e];
    }
}

/* A tile of 2 x 2 results, NR outputs, of the 16 planes of products; those beside the image are left out. */
static void results(const struct conv_sizes *z, int64_t n, int64_t p, int64_t q, int64_t o, const float *products, float *y)
{
    for (int64_t j = o; j < MIN(z->outer, o + NR); j += VL, products += VL) {
        vec m[TILE];
        for (int e = 0; e < TILE; e++)
            m[e] = *(const vec *)(products + e * MR * NR);
        for (int s = 0; s < 4; s++)
            turn_products(m + s, 4);
        for (int r = 0; r < 2 && p + r < z->rows; r++) {
            turn_products(m + 4 * r, 1);
            for (int s = 0; s < 2 && q + s < z->columns; s++)
                memcpy(y + ((n * z->rows + p + r) * z->columns + q + s) * z->outer + j, m + 4 * r + s,
                       (size_t)MIN(VL, z->outer - j) * sizeof(float));
        }
    }
}

int64_t conv_space(const struct conv_sizes *z)
{
    const int64_t panels = (z->outer + NR - 1) / NR * NR;
    return MAX(conv_any_space(z), TILE * (z->inner * (panels + z->outer + MR) + VL + MR * NR));
}

void conv(const struct conv_sizes *z, const float *x, const float *filter, float *y, float *space)
{
    const int64_t panels = (z->outer + NR - 1) / NR * NR * z->inner, size = z->inner * z->outer, plane = MR * z->inner + VL;
    const int64_t down = (z->rows + 1) / 2, across = (z->columns + 1) / 2, tiles = z->images * down * across;
    float *packed = space, *turned = packed + TILE * panels, *rows = turned + TILE * size, *products = rows + TILE * plane;
    if (z->taps != 3 || z->stride != 1) {
        conv_any(z, x, filter, y, space);
        return;
    }
    turn_filters(size, filter, turned);
    for (int64_t e = 0; e < TILE; e++)
        pack(z->inner, z->outer, turned + e * size, z->outer, packed + e * panels);
    for (int64_t first = 0; first < tiles; first += MR) {
        const int64_t count = MIN(MR, tiles - first);
        for (int64_t m = 0, t = first; m < count; m++, t++)
            pixels(z, x, t / across / down, t / across % down * 2 - z->pad, t % across * 2 - z->pad, rows + m * z->inner, plane);
        for (int64_t o = 0; o < z->outer; o += NR) {
            for (int64_t e = 0; e < TILE; e++) {
                vec sum[MR][NV];
                tile(z->inner, rows + e * plane, z->inner, packed + e * panels + o * z->inner, sum);
                store(sum, MR, NR, products + e * MR * NR, NR, 1);
            }
            for (int64_t m = 0, t = first; m < count; m++, t++)
                results(z, t / across / down, t / across % down * 2, t % across * 2, o, products + m * NR, y);
        }
    }
}
