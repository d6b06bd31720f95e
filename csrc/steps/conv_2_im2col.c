/* Convolution, step 2: a matrix product.   Each window of x becomes a row of a matrix (n p q, r s i), which meets the filters as
 * a matrix (r s i, o): all that was won for the product is won here.
 *
 * Step 1 could not be vectorised along its sums. What waits now is memory: the matrix holds every number of x about
 * (taps / stride)^2 times, is written once and read once, and does not fit a cache.
 *
 *     matrix = 4 n p q r s i bytes, twice through memory;   for each number of it 2 o operations
 *
 * Chellapilla, Puri & Simard, "High performance convolutional neural networks for document processing" (2006). */
#include "gemm_6_packed.c" /* gives gemm() */

/* The window of x under output row p and column q as (r, s, i), zero outside the image. */
static void window(const struct conv_sizes *z, const float *x, int64_t p, int64_t q, float *row)
{
    const size_t bytes = (size_t)z->inner * sizeof(float);
    for (int64_t r = 0; r < z->taps; r++)
        for (int64_t s = 0; s < z->taps; s++, row += z->inner) {
            const int64_t h = p * z->stride + r - z->pad, w = q * z->stride + s - z->pad;
            if (h < 0 || h >= z->height || w < 0 || w >= z->width)
                memset(row, 0, bytes);
            else
                memcpy(row, x + (h * z->width + w) * z->inner, bytes);
        }
}

int64_t conv_space(const struct conv_sizes *z)
{
    return gemm_space(1) + z->images * z->rows * z->columns * z->taps * z->taps * z->inner;
}

void conv(const struct conv_sizes *z, const float *x, const float *filter, float *y, float *space)
{
    const int64_t k = z->taps * z->taps * z->inner;
    float *matrix = space + gemm_space(1), *row = matrix;
    for (int64_t n = 0; n < z->images; n++, x += z->height * z->width * z->inner)
        for (int64_t p = 0; p < z->rows; p++)
            for (int64_t q = 0; q < z->columns; q++, row += k)
                window(z, x, p, q, row);
    gemm(z->images * z->rows * z->columns, z->outer, k, matrix, filter, y, space, 1);
}
