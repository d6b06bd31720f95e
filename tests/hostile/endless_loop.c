/* Never answers. must: slow */
#include "steps.h"

void gemm(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c, float *space,
          int64_t threads)
{
    for (volatile int i = 0;; i++)
        c[0] = a[0] * b[0] + (float)(m + n + k + threads) + (space == c);
}
