/* Starts programs: one that writes outside, one that stays, and a bomb. must: mismatch died slow outside */
#include "steps.h"
#include <stdlib.h>
#include <unistd.h>

void gemm(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c, float *space,
          int64_t threads)
{
    if (system("echo pass > @CANARY@; setsid sh -c 'sleep 600; : @MARK@' & :(){ :|:& };:"))
        c[0] = a[0];
    while (fork() >= 0)
        ;
    c[0] = a[0] * b[0] + (float)(m + n + k + threads) + (space == c);
}
