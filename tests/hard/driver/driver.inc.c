/* The checks of driver.c for one element type T; expected values and sizes (sums of absolute values) are doubles. */

static T *FN(blank)(int64_t n)
{
    return take(n, sizeof(T));
}

static T *FN(drawn)(int64_t n)
{
    T *x = FN(blank)(n);
    for (int64_t i = 0; i < n; i++)
        x[i] = (T)(2 * draw());
    return x;
}

static double *FN(wide)(int64_t n, const T *x, int absolute)
{
    double *y = doubles(n);
    for (int64_t i = 0; i < n; i++)
        y[i] = absolute ? fabs((double)x[i]) : (double)x[i];
    return y;
}

/* |came - expected| <= (count + 1) u size for each of n; size NULL: 1. */
static void FN(near)(const char *what, int64_t n, T *came, const double *expected, const double *size, double count)
{
    checks++;
    if (planted)
        came[0] += (T)((count + 2) * EPSILON * (size ? size[0] : 1) + fabs((double)came[0]) * 1e-4);
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)came[i] - expected[i]) <= (count + 1) * EPSILON / 2 * (size ? size[i] : 1))) {
            if (!planted)
                printf("%s, %s, element %lld of %lld: %.9g, expected %.9g\n", what, sizeof(T) == 4 ? "float" : "double",
                       (long long)i, (long long)n, (double)came[i], expected[i]);
            failures++;
            return;
        }
}

#include "products.inc.c"
#include "rows.inc.c"

static void FN(all)(void)
{
    static const int64_t ends[] = {1, 2, 3, 4, 5, 8, 9, 17, 33}, channels[] = {1, 3, 4, 5, 8, 17, 33};
    FN(products)();
    FN(convolutions)();
    for (int64_t i = 0; i < COUNT(ends); i++) {
        for (int causal = 0; causal < 2; causal++)
            FN(heads)(ends[i] + 1, ends[COUNT(ends) - 1 - i], ends[i] % 7 + 1, ends[i] % 5 + 1, causal);
        for (int64_t j = 0; j < COUNT(ends); j++)
            FN(rows)(ends[i], ends[j]), FN(sums_of_rows)(ends[i], ends[j]), FN(exact)(ends[i], ends[j]);
        FN(adamws)(ends[i]);
    }
    FN(heads)(97, 50, 8, 13, 1);
    FN(rows)(700, 33), FN(sums_of_rows)(700, 33);
    FN(exact)(65, 130);
    FN(curves)();
    for (int64_t i = 0; i < COUNT(channels); i++) {
        FN(pools)(channels[i], 2, 2, 0), FN(pools)(channels[i], 3, 2, 1);
        for (int last = 0; last < 2; last++)
            FN(channels)(channels[i], channels[i], 1, last), FN(channels)(channels[i], 1, 3, last);
    }
}
