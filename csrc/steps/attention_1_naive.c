/* Attention, step 1: the definition.   y = softmax(q k^T / sqrt(d)) v, the scores of all heads as one array (h, m, n).
 *
 *     4 h m n d operations and h m n exponentials;   the scores, 4 h m n bytes, go through memory six times
 *
 * Two things wait. Each score is a sum over d whose every multiply-add needs the one before it (as the matrix product's
 * step 1): LATENCY cycles for each. And the array of scores is written, read for the largest, the exponentials, the sum and
 * the quotients, and read for the product; it grows with the square of the sequence.
 *
 * Vaswani et al., "Attention is all you need" (2017), eq. 1. */
#include "steps.h"

static void softmax(int64_t n, float *s)
{
    float top = -INFINITY, total = 0;
    for (int64_t j = 0; j < n; j++)
        top = MAX(top, s[j]);
    for (int64_t j = 0; j < n; j++)
        s[j] = expf(s[j] - top);
    for (int64_t j = 0; j < n; j++)
        total += s[j];
    for (int64_t j = 0; j < n; j++)
        s[j] /= total;
}

int64_t attention_space(int64_t heads, int64_t m, int64_t n, UNUSED int64_t d)
{
    return heads * m * n;
}

void attention(int64_t heads, int64_t m, int64_t n, int64_t d, const float *restrict q, const float *restrict k,
               const float *restrict v, float *restrict y, float *restrict scores)
{
    const float scale = 1 / sqrtf((float)d);
    memset(y, 0, (size_t)(heads * m * d) * sizeof(float));
    for (int64_t row = 0; row < heads * m; row++) /* row: a query i of a head h */
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t c = 0; c < d; c++)
                sum += q[row * d + c] * k[(row / m * n + j) * d + c];
            scores[row * n + j] = scale * sum;
        }
    for (int64_t row = 0; row < heads * m; row++)
        softmax(n, scores + row * n);
    for (int64_t row = 0; row < heads * m; row++)
        for (int64_t j = 0; j < n; j++)
            for (int64_t c = 0; c < d; c++)
                y[row * d + c] += scores[row * n + j] * v[(row / m * n + j) * d + c];
}
