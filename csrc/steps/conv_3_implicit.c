/* Convolution, step 3: the matrix is never whole.   MR of its rows, for as many taps as make KC columns, are copied just before
 * the tile of the matrix product reads them, and overwritten by the next.
 *
 * Step 2 wrote a matrix many times as large as x to memory, and fetched it back. MR rows of KC numbers, 4 MR KC bytes, stay in
 * the first cache: only x, y and the filters, read again for each NC outputs, come from afar. The copying itself is left: one
 * number for each 2 o operations.
 *
 *     memory: 4 (n h w i + 2 (blocks of taps) n p q o) bytes;   first cache: 8 n p q r s i bytes for each NC outputs
 *
 * This is what csrc/conv.inc.c does, for any strides, dilations and groups, and for the gradients. Here a block is whole taps,
 * so that more than KC channels in make a longer block; there blocks end anywhere.
 *
 * Chetlur et al., "cuDNN: efficient primitives for deep learning" (2014), section 3. */
#include "gemm_6_packed.c" /* gives tile(), store(), pack() */

/* Taps t0..t1 of the windows of results pixel..pixel + MR, each a row; zero outside the image and after the last pixel. */
static void windows(const struct conv_sizes *z, const float *x, int64_t pixel, int64_t t0, int64_t t1, float *row)
{
    const size_t bytes = (size_t)z->inner * sizeof(float);
    for (int64_t m = pixel; m < pixel + MR; m++) {
        const int64_t q = m % z->columns, p = m / z->columns % z->rows, n = m / z->columns / z->rows;
        for (int64_t t = t0; t < t1; t++, row += z->inner) {
            const int64_t h = p * z->stride + t / z->taps - z->pad, w = q * z->stride + t % z->taps - z->pad;
            if (n >= z->images || h < 0 || h >= z->height || w < 0 || w >= z->width)
                memset(row, 0, bytes);
            else
                memcpy(row, x + ((n * z->height + h) * z->width + w) * z->inner, bytes);
        }
    }
}

int64_t conv_space(const struct conv_sizes *z)
{
    return MAX(KC, z->inner) * (NC + MR);
}

void conv(const struct conv_sizes *z, const float *x, const float *filter, float *y, float *space)
{
    const int64_t m = z->images * z->rows * z->columns, taps = z->taps * z->taps, step = MAX(1, KC / MAX(1, z->inner));
    float *rows = space + MAX(KC, z->inner) * NC;
    for (int64_t o = 0; o < z->outer; o += NC)
        for (int64_t t = 0; t < taps; t += step) {
            const int64_t last = MIN(taps, t + step), k = (last - t) * z->inner, nc = MIN(NC, z->outer - o);
            pack(k, nc, filter + t * z->inner * z->outer + o, z->outer, space);
            for (int64_t i = 0; i < m; i += MR) {
                windows(z, x, i, t, last, rows);
                for (int64_t j = 0; j < nc; j += NR) {
                    vec sum[MR][NV];
                    tile(k, rows, k, space + j * k, sum);
                    store(sum, MIN(MR, m - i), MIN(NR, nc - j), y + i * z->outer + o + j, z->outer, t == 0);
                }
            }
        }
}
