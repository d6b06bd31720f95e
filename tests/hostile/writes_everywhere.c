/* Writes over all memory that it can reach. must: died outside */
#include "steps.h"

void gemm(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c, float *space,
          int64_t threads)
{
    for (volatile float *p = c;; p--)
        *p = a[0] * b[0] + (float)(m + n + k + threads) + (space == c);
}
