/* Exponentials, the logistic function and the normal distribution on whole vectors, without branches; checked against
 * libm in the tests.
 *
 * The polynomials are Chebyshev fits: exp on |r| <= log(2) / 2; 2 artanh(s) / s in s^2 for 0 <= s <= 1/3; and
 * Q(t) = exp(x^2 / 2) (1 - Phi(x)) for x >= 0, which t = (x - k) / (x + k) maps onto [-1, 1) so that one polynomial serves
 * from 0 to infinity. */

#if T_IS_F32
#define EXPONENT_BIAS 127
#define MANTISSA_BITS 23
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number */
#define EXP_LOWEST -87.3f       /* below: 0 */
#define EXP_ZERO -110.0f        /* exp of it is 0, also among the subnormal numbers */
#define SIGN_BIT INT32_MIN
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define NORMAL_K 4
#define NORMAL_ZERO 13.27f /* exp(-x^2 / 2) rounds to 2^-127 */
static const float FN(exp_poly)[] = {1.000000000e+00f, 1.000000038e+00f, 5.000000047e-01f, 1.666641551e-01f,
                                     4.166635290e-02f, 8.375126398e-03f, 1.394110843e-03f};
static const float FN(artanh_poly)[] = {2.000000008e+00f, 6.666632164e-01f, 4.002459523e-01f, 2.796515775e-01f, 2.815777836e-01f};
static const float FN(normal_poly)[] = {9.441064304e-02f,  -1.703977057e-01f, 1.243791243e-01f, -7.170775574e-02f,
                                        3.086637931e-02f,  -8.489855057e-03f, 5.007467318e-04f, 6.325987261e-04f,
                                        -1.740618522e-04f, -3.740907930e-05f, 1.704454138e-05f};
#else
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define ROUND_MAGIC 6755399441055744.0
#define EXP_LOWEST -708.3
#define EXP_ZERO -760.0
#define SIGN_BIT INT64_MIN
#define LN2_HIGH 6.93145751953125e-1
#define LN2_LOW 1.42860682030941723212e-6
#define NORMAL_K 5
#define NORMAL_ZERO 37.66
static const double FN(exp_poly)[] = {1.0,
                                      1.0,
                                      5.00000000000001887e-01,
                                      1.66666666666666796e-01,
                                      4.16666666664880989e-02,
                                      8.33333333331960115e-03,
                                      1.38888889523147751e-03,
                                      1.98412698900471131e-04,
                                      2.48014854823284939e-05,
                                      2.75572409185789696e-06,
                                      2.76326396390410286e-07,
                                      2.51100376059637769e-08};
static const double FN(artanh_poly)[] = {
    2.00000000000000000e+00, 6.66666666666825725e-01, 3.99999999952875995e-01, 2.85714291116571595e-01, 2.22221908613462832e-01,
    1.81828598004739106e-01, 1.53636762488916334e-01, 1.35913054855798937e-01, 9.88078904876478620e-02, 1.77807638261133022e-01};
static const double FN(normal_poly)[] = {
    7.69193049750062918e-02, -1.43457555264011966e-01, 1.16068811886003320e-01,  -8.08838772641270604e-02,
    4.78553522841692058e-02, -2.34139004877027442e-02, 8.99137055060219952e-03,  -2.37884435655169721e-03,
    2.19550737544113399e-04, 1.34276842401870794e-04,  -6.04274826336320843e-05, 9.61310220063380750e-07,
    6.64442184654631774e-06, -1.27008701501063612e-06, -6.75083047016006722e-07, 2.43365851227333716e-07,
    7.71184431100808601e-08, -3.91872221835531614e-08, -1.10089844632217330e-08, 5.69929444828537272e-09,
    1.83420952981851987e-09, -5.71643268869704523e-10, -2.33665525824556848e-10};
#endif
#define TERMS(poly) ((int)(sizeof(poly) / sizeof(poly[0])))

/* a where the mask's bits are set, b where they are not */
INLINE vec FN(select)(ivec mask, vec a, vec b)
{
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

INLINE vec FN(vmax)(vec a, vec b)
{
    return FN(select)((ivec)(a > b), a, b);
}

INLINE vec FN(splat)(T x)
{
    return x - (vec){0};
}

INLINE vec FN(horner)(const T *c, int terms, vec x)
{
    vec y = FN(splat)(c[terms - 1]);
#pragma GCC unroll 32
    for (int i = terms - 2; i >= 0; i--)
        y = y * x + c[i];
    return y;
}

/* All bits of an element where x has its sign bit set: for select. */
INLINE ivec FN(sign)(vec x)
{
    return (ivec)x >> (8 * sizeof(T) - 1);
}

INLINE vec FN(minus_abs)(vec x)
{
    return (vec)((ivec)x | SIGN_BIT);
}

/* The size of x with the sign of y. */
INLINE vec FN(with_sign)(vec x, vec y)
{
    return (vec)(((ivec)x & ~SIGN_BIT) | ((ivec)y & SIGN_BIT));
}

/* x, or bound where x is larger; NaN stays NaN. */
INLINE vec FN(at_most)(vec x, T bound)
{
    return FN(select)((ivec)(x > bound), FN(splat)(bound), x);
}

/* x, or bound where x is smaller; NaN stays NaN. */
INLINE vec FN(at_least)(vec x, T bound)
{
    return FN(select)((ivec)(x < bound), FN(splat)(bound), x);
}

/* x = n log 2 + r, |r| <= log(2) / 2 (Cody & Waite's two-part log 2). Returns r, and n plus the exponent's bias in the low
 * bits of an integer, where adding ROUND_MAGIC leaves it: shifted to the exponent's place it is 2^n. */
INLINE vec FN(reduced)(vec x, ivec *biased)
{
    const vec z = x * (T)1.4426950408889634 + (ROUND_MAGIC + EXPONENT_BIAS), n = z - (ROUND_MAGIC + EXPONENT_BIAS);
    *biased = (ivec)z;
    return (x - n * LN2_HIGH) - n * LN2_LOW;
}

/* exp(x) for -88 < x <= 88 (float) or -709 < x <= 709 (double); NaN stays NaN. */
INLINE vec FN(vexp_within)(vec x)
{
    ivec biased;
    const vec r = FN(reduced)(x, &biased);
    return FN(horner)(FN(exp_poly), TERMS(FN(exp_poly)), r) * (vec)(biased << MANTISSA_BITS);
}

/* exp(x) for x <= 88 (float) or 709 (double); 0 where the result would be subnormal; NaN stays NaN. */
INLINE vec FN(vexp)(vec x)
{
    return FN(select)((ivec)(x < EXP_LOWEST), (vec){0}, FN(vexp_within)(x));
}

/* The same with subnormal results too: 2^n in two halves. */
INLINE vec FN(vexp_gradual)(vec x)
{
    ivec biased;
    const vec r = FN(reduced)(FN(at_least)(x, EXP_ZERO), &biased);
    const ivec half = (biased - (ivec)FN(splat)(ROUND_MAGIC + EXPONENT_BIAS)) >> 1;
    const vec y = FN(horner)(FN(exp_poly), TERMS(FN(exp_poly)), r) * (vec)((half + EXPONENT_BIAS) << MANTISSA_BITS);
    return y * (vec)((biased - half) << MANTISSA_BITS);
}

/* exp(x) - 1 for x <= 0, right to the last digits near 0:  2^n (exp r - 1) + (2^n - 1). */
INLINE vec FN(vexpm1_down)(vec x)
{
    ivec biased;
    const vec r = FN(reduced)(FN(at_least)(x, EXP_LOWEST), &biased);
    const vec power = (vec)(biased << MANTISSA_BITS);
    return r * FN(horner)(FN(exp_poly) + 1, TERMS(FN(exp_poly)) - 1, r) * power + (power - 1);
}

/* log(1 + u) for 0 <= u <= 1:  2 artanh(s),  s = u / (2 + u). */
INLINE vec FN(vlog1p_unit)(vec u)
{
    const vec s = u / (u + 2);
    return s * FN(horner)(FN(artanh_poly), TERMS(FN(artanh_poly)), s * s);
}

/* 1 / (1 + exp(-x)), and rest = 1 / (1 + exp(x)), which is 1 minus that without cancellation. */
INLINE vec FN(vsigmoid)(vec x, vec *rest)
{
    const vec e = FN(vexp_gradual)(FN(minus_abs)(x)), large = 1 / (e + 1), small = e * large;
    *rest = FN(select)(FN(sign)(x), large, small);
    return FN(select)(FN(sign)(x), small, large);
}

/* Phi(x), the normal distribution, and gauss = exp(-x^2 / 2), which its density shares. */
INLINE vec FN(vnormal)(vec x, vec *gauss)
{
    const vec size = FN(at_most)((vec)((ivec)x & ~SIGN_BIT), NORMAL_ZERO);
    *gauss = FN(vexp_within)(size * size * (T)-0.5);
    const vec tail = *gauss * FN(horner)(FN(normal_poly), TERMS(FN(normal_poly)), (size - NORMAL_K) / (size + NORMAL_K));
    return FN(select)(FN(sign)(x), tail, 1 - tail);
}

/* Loads and stores of the last, partial vector of a row. */
INLINE vec FN(load)(const T *p, int64_t n)
{
    return n >= VL ? *(const vec *)p : FN(load_part)(p, n);
}

/* A whole vector, read once however often it is used. */
INLINE vec FN(load_once)(const T *p)
{
    vec x = *(const vec *)p;
    HOLD_VEC(x);
    return x;
}

INLINE void FN(store)(T *p, int64_t n, vec x)
{
    if (n >= VL)
        *(vec *)p = x;
    else
        FN(store_part)(p, n, x);
}

INLINE T FN(sum_lanes)(vec x)
{
    T sum = 0;
    for (int i = 0; i < VL; i++)
        sum += x[i];
    return sum;
}

INLINE T FN(max_lanes)(vec x)
{
    T top = x[0];
    for (int i = 1; i < VL; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}

#undef EXPONENT_BIAS
#undef MANTISSA_BITS
#undef ROUND_MAGIC
#undef SIGN_BIT
#undef EXP_LOWEST
#undef EXP_ZERO
#undef LN2_HIGH
#undef LN2_LOW
#undef NORMAL_K
#undef NORMAL_ZERO
#undef TERMS
