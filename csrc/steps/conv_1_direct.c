/* Convolution, step 1: the definition.   2 n p q o r s i operations, here and in every step.
 *
 * Seven loops, with the same faults as the matrix product's step 1: every multiply-add waits for the sum before it, the
 * filter is read down its columns, and the test for the border stands beside each run over the channels.
 *
 *     cycles >= n p q o r s i LATENCY
 *
 * LeCun et al., "Backpropagation applied to handwritten zip code recognition" (1989). */
#include "steps.h"

/* y_npqo, for output row p and column q of one image x */
static float at(const struct conv_sizes *z, const float *x, const float *filter, int64_t p, int64_t q, int64_t o)
{
    float sum = 0;
    for (int64_t r = 0; r < z->taps; r++)
        for (int64_t s = 0; s < z->taps; s++) {
            const int64_t h = p * z->stride + r - z->pad, w = q * z->stride + s - z->pad;
            if (h < 0 || h >= z->height || w < 0 || w >= z->width)
                continue;
            const float *x_hw = x + (h * z->width + w) * z->inner;
            const float *f_rs = filter + (r * z->taps + s) * z->inner * z->outer;
            for (int64_t i = 0; i < z->inner; i++)
                sum += x_hw[i] * f_rs[i * z->outer + o];
        }
    return sum;
}

void conv(const struct conv_sizes *z, const float *x, const float *filter, float *y, UNUSED float *space)
{
    for (int64_t n = 0; n < z->images; n++, x += z->height * z->width * z->inner)
        for (int64_t p = 0; p < z->rows; p++)
            for (int64_t q = 0; q < z->columns; q++)
                for (int64_t o = 0; o < z->outer; o++)
                    *y++ = at(z, x, filter, p, q, o);
}
