/* exp and the normal distribution on whole vectors, without branches; checked against long-double libm in the tests.
 *
 * The polynomials are Chebyshev fits: exp on |r| <= log(2) / 2, and Q(t) = exp(x^2 / 2) (1 - Phi(x)) for x >= 0, which
 * t = (x - k) / (x + k) maps onto [-1, 1) so that one polynomial serves from 0 to infinity. */

#if T_IS_F32
#define EXPONENT_BIAS 127
#define MANTISSA_BITS 23
#define ROUND_MAGIC 12582912.0f /* 1.5 * 2^23: adding it rounds to a whole number */
#define EXP_LOWEST -87.3f       /* below: 0 */
#define LN2_HIGH 0.693359375f
#define LN2_LOW -2.12194440e-4f
#define NORMAL_K 4
static const float FN(exp_poly)[] = {1.000000000e+00f, 1.000000038e+00f, 5.000000047e-01f, 1.666641551e-01f,
                                     4.166635290e-02f, 8.375126398e-03f, 1.394110843e-03f};
static const float FN(normal_poly)[] = {9.441064304e-02f,  -1.703977057e-01f, 1.243791243e-01f, -7.170775574e-02f,
                                        3.086637931e-02f,  -8.489855057e-03f, 5.007467318e-04f, 6.325987261e-04f,
                                        -1.740618522e-04f, -3.740907930e-05f, 1.704454138e-05f};
#else
#define EXPONENT_BIAS 1023
#define MANTISSA_BITS 52
#define ROUND_MAGIC 6755399441055744.0
#define EXP_LOWEST -708.3
#define LN2_HIGH 6.93145751953125e-1
#define LN2_LOW 1.42860682030941723212e-6
#define NORMAL_K 5
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

/* exp(x) for x <= 88 (float) or 709 (double); 0 where the result would be subnormal; NaN stays NaN.
 * x = n log 2 + r, |r| <= log(2) / 2 (Cody & Waite's two-part log 2), exp x = 2^n exp r. */
INLINE vec FN(vexp)(vec x)
{
    vec n = (x * (T)1.4426950408889634 + ROUND_MAGIC) - ROUND_MAGIC;
    vec r = (x - n * LN2_HIGH) - n * LN2_LOW;
    ivec power = (__builtin_convertvector(n, ivec) + EXPONENT_BIAS) << MANTISSA_BITS;
    vec y = FN(horner)(FN(exp_poly), TERMS(FN(exp_poly)), r) * (vec)power;
    return FN(select)((ivec)(x < EXP_LOWEST), (vec){0}, y);
}

/* Phi(x), the normal distribution, and gauss = exp(-x^2 / 2), which its density shares. */
INLINE vec FN(vnormal)(vec x, vec *gauss)
{
    const vec zero = {0};
    vec size = FN(select)((ivec)(x < 0), zero - x, x);
    size = FN(select)((ivec)(size > 40), FN(splat)(40), size);
    *gauss = FN(vexp)(size * size * (T)-0.5);
    vec tail = *gauss * FN(horner)(FN(normal_poly), TERMS(FN(normal_poly)), (size - NORMAL_K) / (size + NORMAL_K));
    return FN(select)((ivec)(x < 0), tail, 1 - tail);
}

/* Loads and stores of the last, partial vector of a row. */
INLINE vec FN(load)(const T *p, int64_t n)
{
    return n >= VL ? *(const vec *)p : FN(load_part)(p, n);
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
#undef EXP_LOWEST
#undef LN2_HIGH
#undef LN2_LOW
#undef NORMAL_K
#undef TERMS
