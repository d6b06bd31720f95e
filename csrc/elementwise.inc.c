/* Functions of one argument, element by element: the activations, and the slopes that go with them.
 *
 *   y_i = f(x_i),   dx_i = dy_i f'(x_i);   a and b are the function's settings, where it has any
 *
 * Forward reads one array and writes one, the VJP reads two and writes one. The piecewise linear functions wait for memory;
 * the others make 20 to 45 operations an element, one or two of them divisions. */

#define CHUNK ((int64_t)4096) /* elements of one task */

#if T_IS_F32 /* once for both types; minivision/kernels/elementwise.py has the same order */
enum pointwise { RELU, LEAKY_RELU, HARDTANH, HARDSIGMOID, HARDSWISH, SIGMOID, TANH, SILU, GELU, GELU_TANH, ELU, SOFTPLUS, MISH };
#endif

/* The definition, one element, with the C library in double. */
static double FN(pointwise_formula)(int64_t f, double x, double a, double b)
{
    switch (f) {
    case RELU:
        return x <= 0 ? 0 : x;
    case LEAKY_RELU: /* a: slope */
        return x > 0 ? x : a * x;
    case HARDTANH: /* a, b: bounds */
        return x < a ? a : x > b ? b : x;
    case HARDSIGMOID:
        return FN(pointwise_formula)(HARDTANH, x + 3, 0, 6) / 6;
    case HARDSWISH: /* Howard et al. 2019 */
        return x * FN(pointwise_formula)(HARDTANH, x + 3, 0, 6) / 6;
    case SIGMOID:
        return 1 / (1 + exp(-x));
    case TANH:
        return tanh(x);
    case SILU: /* Ramachandran et al. 2017; a: beta */
        return x * (1 / (1 + exp(-a * x)));
    case GELU: /* Hendrycks & Gimpel 2016: x Phi(x), Phi the normal distribution */
        return x * 0.5 * erfc(x * -0.70710678118654752440);
    case GELU_TANH: /* the same, eq. 3: (1 + tanh u) / 2 = sigmoid(2 u) */
        return x * (1 / (1 + exp(-1.59576912160573071176 * (x + 0.044715 * x * x * x))));
    case ELU: /* Clevert et al. 2016; a: alpha */
        return x <= 0 ? a * expm1(x) : x;
    case SOFTPLUS: /* a: beta, b: threshold */
        return a * x > b ? x : log1p(exp(a * x)) / a;
    default: /* MISH: Misra 2019 */
        return x * tanh(log1p(exp(x)));
    }
}

static void FN(pointwise_definition)(int64_t f, int64_t n, const T *x, T a, T b, T *y)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = (T)FN(pointwise_formula)(f, (double)x[i], (double)a, (double)b);
}

#define GELU_LINEAR ((T)1.59576912160573071176) /* 2 sqrt(2 / pi) */
#define GELU_CUBIC ((T)(1.59576912160573071176 * 0.044715))
#define MISH_LINEAR (T_IS_F32 ? 30 : 60) /* beyond, tanh(softplus(x)) is 1; exp(2 * 60) is no problem yet */

/* f(x) by vectors; f is a constant wherever this is inlined. */
INLINE vec FN(pointwise_value)(int64_t f, vec x, T a, T b)
{
    const vec z = a * x;
    vec e;
    switch (f) {
    case RELU:
        return (vec)(~(ivec)(x <= 0) & (ivec)x);
    case LEAKY_RELU:
        return FN(select)((ivec)(x > 0), x, z);
    case HARDTANH:
        return FN(at_most)(FN(at_least)(x, a), b);
    case HARDSIGMOID:
        return FN(at_most)(FN(at_least)(x + 3, 0), 6) * (T)(1.0 / 6.0);
    case HARDSWISH:
        return FN(at_most)(FN(at_least)(x + 3, 0), 6) * (T)(1.0 / 6.0) * x;
    case SIGMOID:
        return FN(vsigmoid)(x, &e);
    case TANH: /* -m / (m + 2),  m = exp(-2 |x|) - 1, with the sign of x */
        e = FN(vexpm1_down)(FN(minus_abs)(x) * 2);
        return FN(with_sign)(e / (e + 2), x);
    case SILU:
        return x * FN(vsigmoid)(z, &e);
    case GELU:
        return x * FN(vnormal)(x, &e);
    case GELU_TANH:
        return x * FN(vsigmoid)(x * (GELU_LINEAR + GELU_CUBIC * x * x), &e);
    case ELU:
        return FN(select)((ivec)(x <= 0), a * FN(vexpm1_down)(x), x);
    case SOFTPLUS: /* max(z, 0) + log(1 + exp(-|z|)) */
        e = FN(vlog1p_unit)(FN(vexp_gradual)(FN(minus_abs)(z)));
        return FN(select)((ivec)(z > b), x, FN(select)(FN(sign)(z), e, z + e) / a);
    default: /* MISH: x n / (n + 2),  n = e (e + 2),  e = exp x */
        e = FN(vexp_gradual)(FN(at_most)(x, MISH_LINEAR));
        return x * (e * (e + 2) / (e * (e + 2) + 2));
    }
}

/* dy f'; k is what the forward pass kept: y for relu, hardtanh, sigmoid and tanh, else x. */
INLINE vec FN(pointwise_gradient)(int64_t f, vec dy, vec k, T a, T b)
{
    const vec z = a * k;
    vec e, s;
    switch (f) {
    case RELU:
        return (vec)(~(ivec)(k <= 0) & (ivec)dy);
    case LEAKY_RELU:
        return FN(select)((ivec)(k > 0), dy, a * dy);
    case HARDTANH:
        return (vec)(~((ivec)(k <= a) | (ivec)(k >= b)) & (ivec)dy);
    case HARDSIGMOID:
        return (vec)((ivec)(k > -3) & (ivec)(k < 3) & (ivec)(dy * (T)(1.0 / 6.0)));
    case HARDSWISH:
        s = FN(select)((ivec)(k < 3), dy * (k * (T)(1.0 / 3.0) + (T)0.5), dy);
        return (vec)(~(ivec)(k <= -3) & (ivec)s);
    case SIGMOID:
        return dy * k * (1 - k);
    case TANH:
        return dy * (1 - k * k);
    case SILU: /* e = 1 - s */
        s = FN(vsigmoid)(z, &e);
        return dy * s * (1 + z * e);
    case GELU: /* Phi(x) + x phi(x) */
        s = FN(vnormal)(k, &e);
        return dy * (s + k * e * (T)0.39894228040143267794);
    case GELU_TANH: /* the slope of x sigmoid(v):  s + x s (1 - s) v' */
        s = FN(vsigmoid)(k * (GELU_LINEAR + GELU_CUBIC * k * k), &e);
        return dy * (s + k * s * e * (GELU_LINEAR + 3 * GELU_CUBIC * k * k));
    case ELU:
        return FN(select)((ivec)(k <= 0), a * FN(vexp_gradual)(FN(at_most)(k, 0)) * dy, dy);
    case SOFTPLUS:
        return FN(select)((ivec)(z > b), dy, FN(vsigmoid)(z, &e) * dy);
    default: /* MISH: (n + 4 x e (1 + e) / (n + 2)) / (n + 2) */
        e = FN(vexp_gradual)(FN(at_most)(k, MISH_LINEAR));
        s = 1 / (e * (e + 2) + 2);
        s = e * (e + 2) * s + 4 * k * (e * s) * ((e + 1) * s);
        return FN(select)((ivec)(k > MISH_LINEAR), dy, s * dy);
    }
}

/* y = f(x), or where dy is given y = dy f' of what is kept in x; n elements. */
INLINE void FN(pointwise_run)(int64_t f, int64_t n, const T *dy, const T *x, T a, T b, T *y)
{
    const int64_t whole = n - n % VL;
    if (dy) {
        for (int64_t i = 0; i < whole; i += VL)
            *(vec *)(y + i) = FN(pointwise_gradient)(f, FN(load_once)(dy + i), FN(load_once)(x + i), a, b);
        const vec dy_i = FN(load)(dy + whole, n - whole), x_i = FN(load)(x + whole, n - whole);
        FN(store)(y + whole, n - whole, FN(pointwise_gradient)(f, dy_i, x_i, a, b));
    } else {
        for (int64_t i = 0; i < whole; i += VL)
            *(vec *)(y + i) = FN(pointwise_value)(f, FN(load_once)(x + i), a, b);
        FN(store)(y + whole, n - whole, FN(pointwise_value)(f, FN(load)(x + whole, n - whole), a, b));
    }
}

/* One task: here f becomes a constant, so that each function has a loop of its own. */
static void FN(pointwise_chunk)(int64_t f, int64_t n, const T *dy, const T *x, T a, T b, T *y)
{
    switch (f) {
    case RELU:
        FN(pointwise_run)(RELU, n, dy, x, a, b, y);
        break;
    case LEAKY_RELU:
        FN(pointwise_run)(LEAKY_RELU, n, dy, x, a, b, y);
        break;
    case HARDTANH:
        FN(pointwise_run)(HARDTANH, n, dy, x, a, b, y);
        break;
    case HARDSIGMOID:
        FN(pointwise_run)(HARDSIGMOID, n, dy, x, a, b, y);
        break;
    case HARDSWISH:
        FN(pointwise_run)(HARDSWISH, n, dy, x, a, b, y);
        break;
    case SIGMOID:
        FN(pointwise_run)(SIGMOID, n, dy, x, a, b, y);
        break;
    case TANH:
        FN(pointwise_run)(TANH, n, dy, x, a, b, y);
        break;
    case SILU:
        FN(pointwise_run)(SILU, n, dy, x, a, b, y);
        break;
    case GELU:
        FN(pointwise_run)(GELU, n, dy, x, a, b, y);
        break;
    case GELU_TANH:
        FN(pointwise_run)(GELU_TANH, n, dy, x, a, b, y);
        break;
    case ELU:
        FN(pointwise_run)(ELU, n, dy, x, a, b, y);
        break;
    case SOFTPLUS:
        FN(pointwise_run)(SOFTPLUS, n, dy, x, a, b, y);
        break;
    default:
        FN(pointwise_run)(MISH, n, dy, x, a, b, y);
    }
}

/* y = f(x), or where dy is given y = dy f'. After the first few elements y stands on whole vectors (and so do arrays from the
 * same allocator): one that straddles two cache lines costs up to twice the time. */
static void FN(pointwise)(int64_t f, int64_t n, const T *dy, const T *x, T a, T b, T *y, int64_t threads)
{
    const int64_t head = MIN(n, (int64_t)((0 - (uintptr_t)y) % VECTOR_BYTES / sizeof(T)));
    FN(pointwise_chunk)(f, head, dy, x, a, b, y);
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && n > SERIAL_ELEMENTS)
    for (int64_t i = head; i < n; i += CHUNK)
        FN(pointwise_chunk)(f, MIN(CHUNK, n - i), dy ? dy + i : NULL, x + i, a, b, y + i);
}

#undef GELU_LINEAR
#undef GELU_CUBIC
#undef MISH_LINEAR
#undef CHUNK
