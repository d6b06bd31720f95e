/* Step 1: the definition.   c_ij = sum_p a_ip b_pj.   2 m n k floating-point operations, here and in every step.
 *
 * Two things wait. The multiply-add: each one needs the sum that the one before it made, so there is one in every LATENCY
 * cycles (4 on most processors) on one number, where the machine could begin two in every cycle on VL numbers each.
 * And the memory: p walks down a column of B, so each number comes with a cache line of its own, of which 15/16 are not
 * used; once B's column of lines (64 k bytes) is larger than a cache, the next column fetches all of them again.
 *
 *     cycles >= m n k LATENCY,   or  m n k lines of 64 bytes where B does not stay in a cache
 *
 * Drepper, "What every programmer should know about memory" (2007), section 6.2.1. */
#include "steps.h"

void gemm(int64_t m, int64_t n, int64_t k, const float *a, const float *b, float *c, UNUSED float *space, UNUSED int64_t threads)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            float sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * k + p] * b[p * n + j];
            c[i * n + j] = sum;
        }
}
