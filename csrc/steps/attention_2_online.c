/* Attention, step 2: one pass, no array of scores.   Of the keys so far a query keeps the largest score t, the sum l of
 * exp(s - t), and y = sum of exp(s - t) v. A larger score t' multiplies l and y by exp(t - t'); at the end y is divided by l.
 *
 * Step 1 kept all scores and went over them six times. Here nothing is kept but t, l and the row of y.
 *
 *     4 h m n d operations and h m n exponentials as before;   memory: q and y once, k and v m times, from a cache
 *
 * It is hardly faster than step 1, and that is the lesson: the scores cost memory, but time went into sums that wait for
 * themselves, and they still do. Saving bytes pays once the arithmetic is fast: step 3.
 *
 * Milakov & Gimelshein, "Online normalizer calculation for softmax" (2018), algorithm 3; carried over to attention by Rabe &
 * Staats, "Self-attention does not need O(n^2) memory" (2021). */
#include "steps.h"

/* y (d) for one query q (d) */
static void query(int64_t n, int64_t d, const float *restrict q, const float *restrict k, const float *restrict v,
                  float *restrict y)
{
    float top = -INFINITY, total = 0;
    memset(y, 0, (size_t)d * sizeof(float));
    for (int64_t j = 0; j < n; j++) {
        float sum = 0;
        for (int64_t c = 0; c < d; c++)
            sum += q[c] * k[j * d + c];
        const float score = sum / sqrtf((float)d);
        if (score > top) {
            const float shrink = expf(top - score);
            for (int64_t c = 0; c < d; c++)
                y[c] *= shrink;
            total *= shrink;
            top = score;
        }
        const float weight = expf(score - top);
        total += weight;
        for (int64_t c = 0; c < d; c++)
            y[c] += weight * v[j * d + c];
    }
    for (int64_t c = 0; c < d; c++)
        y[c] /= total;
}

void attention(int64_t heads, int64_t m, int64_t n, int64_t d, const float *q, const float *k, const float *v, float *y,
               UNUSED float *space)
{
    for (int64_t row = 0; row < heads * m; row++) /* row: a query i of a head h */
        query(n, d, q + row * d, k + row / m * n * d, v + row / m * n * d, y + row * d);
}
