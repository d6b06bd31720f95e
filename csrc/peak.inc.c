/* The machine's own limit: multiply-adds on registers alone, a tile of MR x NV independent accumulators as in gemm.inc.c,
 * so that every multiply-add unit is busy and no memory is touched. No kernel can be faster. */

/* out has one element for each thread; returns the floating-point operations that were done. */
static double FN(peak)(int64_t rounds, T *out, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t thread = 0; thread < threads; thread++) {
        vec acc[MR][NV], factor = FN(splat)((T)0.5), term = FN(splat)(out[thread]);
        for (int i = 0; i < MR; i++)
            for (int v = 0; v < NV; v++)
                acc[i][v] = term + (T)(i * NV + v); /* all different, or the compiler would compute equal ones once */
        for (int64_t round = 0; round < rounds; round++)
#pragma GCC unroll 16
            for (int i = 0; i < MR; i++)
                for (int v = 0; v < NV; v++)
                    acc[i][v] = acc[i][v] * factor + term;
        vec sum = {0};
        for (int i = 0; i < MR; i++)
            for (int v = 0; v < NV; v++)
                sum += acc[i][v];
        out[thread] = FN(sum_lanes)(sum); /* the compiler may not leave out what is stored */
    }
    return 2.0 * (double)(rounds * threads) * MR * NV * (double)VL;
}

/* The memory's limit: c = a + factor b (McCalpin, STREAM, 1995), 3 n elements moved, two operations for each. */
static void FN(triad)(int64_t n, const T *a, const T *b, T factor, T *c, int64_t threads)
{
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1)
    for (int64_t i = 0; i < n; i++)
        c[i] = a[i] + factor * b[i];
}
