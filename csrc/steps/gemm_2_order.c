/* Step 2: the order of the loops.   Row i of C is a sum of rows of B:  c_i = sum_p a_ip b_p.
 *
 * Step 1 waited for its own sums and for columns of B. With j innermost no multiply-add needs the one before it, and
 * memory is walked along: every line is used whole, and the compiler turns VL of the columns into one vector (`restrict`
 * says that writing C does not change B; without it every load would have to wait for the store before).
 *
 * What waits now is the way between registers and the first cache: each vector of C is loaded and stored once for every p,
 * three trips (b, c in, c out) for one multiply-add.
 *
 *     trips to the first cache = 3 m n k / VL;   B, 4 k n bytes, comes m times from wherever it stays
 *
 * Dongarra, Gustavson & Karp, "Implementing linear algebra algorithms for dense matrices on a vector pipeline machine"
 * (1984), who wrote down all six orders. */
#include "steps.h"

void gemm(int64_t m, int64_t n, int64_t k, const float *restrict a, const float *restrict b, float *restrict c,
          UNUSED float *space, UNUSED int64_t threads)
{
    memset(c, 0, (size_t)(m * n) * sizeof(float));
    for (int64_t i = 0; i < m; i++)
        for (int64_t p = 0; p < k; p++)
            for (int64_t j = 0; j < n; j++)
                c[i * n + j] += a[i * k + p] * b[p * n + j];
}
