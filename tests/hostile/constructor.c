/* Ends the process with success when the library is opened. must: died */
#include "steps.h"
#include <unistd.h>

__attribute__((constructor)) static void begin(void)
{
    _exit(0);
}

void gemm(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c, float *space,
          int64_t threads)
{
    c[0] = a[0] * b[0] + (float)(m + n + k + threads) + (space == c);
}
