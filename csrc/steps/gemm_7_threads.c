/* Step 7: a slice for each thread.   The larger of m and n is cut at tiles; each thread does step 6 on a slice of its own.
 *
 * One core's multiply-add units are busy in step 6; what is left are the other cores. A thread packs its own B, in a space
 * of its own, and waits for nobody before the end. Nothing is summed across threads, so that every number of C comes from the
 * same sums in the same order: the same bits for any number of threads. On one thread this is step 6; on
 * two, a small product would be over before the second wakes, and is better left to one.
 *
 *     time = step 6's / threads, plus what waking them costs (microseconds), plus B packed once for each slice of rows
 *
 * Smith, van de Geijn, Smelyanskiy, Hammond & Van Zee, "Anatomy of high-performance many-threaded matrix multiplication"
 * (2014): which of the loops to share. */
#define gemm gemm_alone
#define gemm_space gemm_alone_space
#include "gemm_6_packed.c" /* gives slice() */
#undef gemm
#undef gemm_space

int64_t gemm_space(int64_t threads)
{
    return threads * gemm_alone_space(1);
}

void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, float *space, int64_t threads)
{
    const int64_t longer = MAX(m, n), unit = m > n ? MR : NR, tiles = (longer + unit - 1) / unit;
#pragma omp parallel for num_threads((int)threads) if (threads > 1)
    for (int64_t t = 0; t < threads; t++) {
        const int64_t lo = tiles * t / threads * unit, hi = MIN(longer, tiles * (t + 1) / threads * unit);
        float *own = space + t * gemm_alone_space(1);
        if (m > n)
            slice(hi - lo, n, k, a + lo * k, b, c + lo * n, n, own);
        else
            slice(m, hi - lo, k, a, b + lo, c + lo, n, own);
    }
}
