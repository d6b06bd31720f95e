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

/* |came - expected| <= count u size for each of n, which may be NULL for 1. */
static void FN(near)(const char *what, int64_t n, T *came, const double *expected, const double *size, double count)
{
    checks++;
    if (planted && n)
        came[0] += (T)(0.001 * (size ? size[0] : 1) * (1 + count * EPSILON * 1e4));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)came[i] - expected[i]) <= (count + 1) * EPSILON / 2 * (size ? size[i] : 1) + (double)0)) {
            if (!planted)
                printf("%s, %s, element %lld of %lld: %.9g, expected %.9g\n", what, sizeof(T) == 4 ? "float" : "double",
                       (long long)i, (long long)n, (double)came[i], expected[i]);
            failures++;
            return;
        }
}

static void FN(product)(int64_t m, int64_t n, int64_t k, int turns)
{
    used = 0;
    const int64_t a_i = turns & 1 ? 1 : k, a_p = turns & 1 ? m : 1, b_p = turns & 2 ? 1 : n, b_j = turns & 2 ? k : 1;
    T *a = FN(drawn)(m * k), *b = FN(drawn)(k * n), *bias = turns & 4 ? FN(drawn)(n) : NULL, *c = FN(blank)(m * n);
    double *expected = doubles(m * n), *size = doubles(m * n);
    MV(gemm)(1, 1, m, n, k, a, 0, 0, a_i, a_p, b, 0, 0, b_p, b_j, c, 0, 0, n, bias, FN(blank)(MV(gemm_workspace)(THREADS)), THREADS);
    for (int absolute = 0; absolute < 2; absolute++)
        mv_gemm_definition_f64(m, n, k, FN(wide)(m * k, a, absolute), a_i, a_p, FN(wide)(k * n, b, absolute), b_p, b_j,
                               absolute ? size : expected, n, bias ? FN(wide)(n, bias, absolute) : NULL);
    FN(near)("gemm", m * n, c, expected, size, (double)k + 1);
}

static void FN(products)(void)
{
    static const int64_t rows[] = {1, 7, 8, 9, 17}, columns[] = {1, 5, 6, 11, 12, 13, 25, 49}, depths[] = {1, 5, 8, 9, 17};
    static const int64_t large[][3] = {{5, 7, 383}, {9, 13, 384}, {17, 25, 385}, {3, 769, 5}, {8, 768, 17}, {131, 40, 70}, {40, 131, 70}};
    for (int64_t i = 0; i < COUNT(rows); i++)
        for (int64_t j = 0; j < COUNT(columns); j++)
            for (int64_t p = 0; p < COUNT(depths); p++)
                FN(product)(rows[i], columns[j], depths[p], (int)below(8));
    for (int64_t i = 0; i < COUNT(large); i++)
        for (int turns = 0; turns < 8; turns++)
            FN(product)(large[i][0], large[i][1], large[i][2], turns);
}

/* sizes as in struct conv_sizes; the depthwise kernels where each group has one channel in and out */
static void FN(convolution)(const int64_t *z)
{
    used = 0;
    const int64_t c_in = z[5] * z[6], c_out = z[5] * z[7], taps = z[8] * z[9], depthwise = z[6] == 1 && z[7] == 1;
    const int64_t n_x = z[0] * z[1] * z[2] * c_in, n_y = z[0] * z[3] * z[4] * c_out, n_f = c_out * taps * z[6];
    T *x = FN(drawn)(n_x), *f = FN(drawn)(n_f), *bias = FN(drawn)(c_out), *dy = FN(drawn)(n_y), *kernel = f;
    T *y = FN(blank)(n_y), *dx = FN(blank)(n_x), *df = FN(blank)(n_f), *turned = FN(blank)(n_f);
    double *expected[3] = {doubles(n_y), doubles(n_x), doubles(n_f)}, *size[3] = {doubles(n_y), doubles(n_x), doubles(n_f)};
    for (int absolute = 0; absolute < 2; absolute++) {
        double **to = absolute ? size : expected;
        for (int64_t i = 0; i < n_y; i++)
            to[0][i] = absolute ? fabs((double)bias[i % c_out]) : (double)bias[i % c_out];
        mv_conv_definition_f64(z, FN(wide)(n_x, x, absolute), FN(wide)(n_f, f, absolute), FN(wide)(n_y, dy, absolute), to[0],
                               to[1], to[2]);
    }
    T *space = FN(blank)(depthwise ? MV(depthwise_workspace)(c_in, taps) : MV(gemm_workspace)(THREADS));
    if (depthwise) {
        kernel = FN(blank)(n_f);
        for (int64_t i = 0; i < n_f; i++)
            kernel[i % taps * c_out + i / taps] = f[i];
        MV(depthwise)(z, x, kernel, bias, y, THREADS);
        MV(depthwise_vjp_x)(z, dy, kernel, dx, THREADS);
        MV(depthwise_vjp_filter)(z, dy, x, turned, space, THREADS);
        for (int64_t i = 0; i < n_f; i++)
            df[i] = turned[i % taps * c_out + i / taps];
    } else {
        MV(conv)(z, x, f, bias, y, space, THREADS);
        MV(conv_vjp_x)(z, dy, f, dx, space, THREADS);
        MV(conv_vjp_filter)(z, dy, x, df, space, THREADS);
    }
    const char *name = depthwise ? "depthwise" : "conv";
    FN(near)(name, n_y, y, expected[0], size[0], (double)(taps * z[6] + 1));
    FN(near)(name, n_x, dx, expected[1], size[1], (double)(taps * z[7]));
    FN(near)(name, n_f, df, expected[2], size[2], (double)(z[0] * z[3] * z[4]));
}

static void FN(convolutions)(void)
{
    static const int64_t channels[][3] = {{1, 1, 1}, {1, 3, 13}, {2, 5, 3}, {3, 1, 1}, {4, 1, 1}, {17, 1, 1}, {1, 17, 7}};
    static const int64_t shapes[][4] = {{1, 1, 0, 1}, {3, 1, 1, 1}, {3, 2, 1, 1}, {5, 2, 2, 1}, {3, 3, 0, 2}, {7, 2, 3, 1}, {2, 1, 1, 2}};
    static const int64_t sides[] = {7, 8, 15, 20};
    for (int64_t c = 0; c < COUNT(channels); c++)
        for (int64_t s = 0; s < COUNT(shapes); s++)
            for (int64_t i = 0; i < COUNT(sides); i++) {
                const int64_t *g = channels[c], k = shapes[s][0], u = shapes[s][1], pad = shapes[s][2], gap = shapes[s][3];
                const int64_t h = 9, w = sides[i], p = (h + 2 * pad - gap * (k - 1) - 1) / u + 1, q = (w + 2 * pad - gap * (k - 1) - 1) / u + 1;
                FN(convolution)((int64_t[]){2, h, w, p, q, g[0], g[1], g[2], k, k, u, u, pad, pad, gap, gap});
            }
}

/* One head of batch nz: forward against the definition, backward against the formulas in double. */
static void FN(heads)(int64_t m, int64_t n, int64_t d, int64_t e, int causal)
{
    used = 0;
    const int64_t nz = 3, q_s[] = {0, m * d, d, 1}, k_s[] = {0, n * d, d, 1}, v_s[] = {0, n * e, e, 1}, y_s[] = {0, m * e, e, 1};
    const double scale = 0.5, steps = 4 * ((double)d + 3) * (double)d * 2 + 4 * (double)(m + n + e) + 100;
    T *q = FN(drawn)(nz * m * d), *k = FN(drawn)(nz * n * d), *v = FN(drawn)(nz * n * e), *dy = FN(drawn)(nz * m * e);
    T *y = FN(blank)(nz * m * e), *lse = FN(blank)(nz * m), *dq = FN(blank)(nz * m * d), *dk = FN(blank)(nz * n * d);
    T *dv = FN(blank)(nz * n * e), *space = FN(blank)(MV(attention_workspace)(n, d, e, THREADS));
    MV(attention)(1, nz, m, n, d, e, q, q_s, k, k_s, v, v_s, NULL, NULL, causal, (T)scale, y, y_s, lse, space, THREADS);
    MV(attention_vjp)(1, nz, m, n, d, e, q, q_s, k, k_s, v, v_s, NULL, NULL, causal, (T)scale, y, y_s, lse, dy, y_s, dq, q_s, dk,
                      k_s, dv, v_s, NULL, 1, space, THREADS);
    double *wq = FN(wide)(nz * m * d, q, 0), *wk = FN(wide)(nz * n * d, k, 0), *wv = FN(wide)(nz * n * e, v, 0);
    double *y_ = doubles(nz * m * e), *lse_ = doubles(nz * m), *gq = doubles(nz * m * d), *gk = doubles(nz * n * d);
    double *gv = doubles(nz * n * e), *sq = doubles(nz * m * d), *sk = doubles(nz * n * d), *sv = doubles(nz * n * e);
    double *ones = doubles(nz * m * e);
    for (int64_t z = 0; z < nz; z++) {
        mv_attention_definition_f64(m, n, d, e, wq + z * m * d, d, wk + z * n * d, d, wv + z * n * e, e, NULL, 0, 0, causal, scale,
                                    y_ + z * m * e, lse_ + z * m);
        for (int64_t i = z * m; i < (z + 1) * m; i++)
            for (int64_t j = z * n; j < (causal && i - z * m + 1 < n ? z * n + i - z * m + 1 : (z + 1) * n); j++) {
                double s = -lse_[i], dp = 0, sp = 0;
                for (int64_t c = 0; c < d; c++)
                    s += scale * wq[i * d + c] * wk[j * d + c];
                for (int64_t c = 0; c < e; c++) {
                    const double g = (double)dy[i * e + c], each = g * (wv[j * e + c] - y_[i * e + c]);
                    dp += each, sp += fabs(g) * (fabs(wv[j * e + c]) + 2);
                    gv[j * e + c] += exp(s) * g, sv[j * e + c] += exp(s) * fabs(g);
                }
                for (int64_t c = 0; c < d; c++) {
                    gq[i * d + c] += scale * exp(s) * dp * wk[j * d + c], sq[i * d + c] += scale * exp(s) * sp * fabs(wk[j * d + c]);
                    gk[j * d + c] += scale * exp(s) * dp * wq[i * d + c], sk[j * d + c] += scale * exp(s) * sp * fabs(wq[i * d + c]);
                }
            }
    }
    for (int64_t i = 0; i < nz * m * e; i++)
        ones[i] = 2;
    FN(near)("attention, y", nz * m * e, y, y_, ones, steps);
    FN(near)("attention, lse", nz * m, lse, lse_, NULL, steps);
    FN(near)("attention, dq", nz * m * d, dq, gq, sq, steps);
    FN(near)("attention, dk", nz * n * d, dk, gk, sk, steps);
    FN(near)("attention, dv", nz * n * e, dv, gv, sv, steps);
}

/* Rows: normalised, their sums, softmax and its logarithm, cross entropy; forward, and the gradients of each. */
static void FN(rows)(int64_t m, int64_t n)
{
    used = 0;
    const double u = (double)n;
    T *x = FN(drawn)(m * n), *w = FN(drawn)(n), *b = FN(drawn)(n), *dy = FN(drawn)(m * n), *y = FN(blank)(m * n), *mean = FN(blank)(m);
    T *r = FN(blank)(m), *dx = FN(blank)(m * n), *dw = FN(blank)(n), *db = FN(blank)(n), *partial = FN(blank)(32 * n);
    double *y_ = doubles(m * n), *size = doubles(m * n), *dx_ = doubles(m * n), *sx = doubles(m * n), *dw_ = doubles(n), *sw = doubles(n);
    double *db_ = doubles(n), *sb = doubles(n), *wx = FN(wide)(m * n, x, 0), *ww = FN(wide)(n, w, 0), *wb = FN(wide)(n, b, 0);
    MV(layer_norm)(m, n, x, w, b, (T)0.01, y, mean, r, THREADS);
    MV(layer_norm_vjp)(m, n, dy, x, w, mean, r, dx, dw, db, partial, THREADS);
    for (int64_t i = 0; i < m; i++) {
        double mean_, r_, g = 0, gh = 0, sg = 0, sgh = 0;
        mv_layer_norm_definition_f64(n, wx + i * n, ww, wb, (double)(T)0.01, y_ + i * n, &mean_, &r_);
        for (int64_t j = 0; j < n; j++) {
            const double h = (wx[i * n + j] - mean_) * r_, d = (double)dy[i * n + j], bound = (fabs(wx[i * n + j]) + 2) * r_;
            size[i * n + j] = bound * fabs(ww[j]) + fabs(wb[j]);
            g += d * ww[j] / u, gh += d * ww[j] * h / u, sg += fabs(d * ww[j]) / u, sgh += fabs(d * ww[j]) * bound / u;
            dw_[j] += d * h, sw[j] += fabs(d) * bound, db_[j] += d, sb[j] += fabs(d);
        }
        for (int64_t j = 0; j < n; j++) {
            const double h = (wx[i * n + j] - mean_) * r_, d = (double)dy[i * n + j] * ww[j];
            dx_[i * n + j] = r_ * (d - g - h * gh);
            sx[i * n + j] = r_ * (fabs(d) + sg + (fabs(wx[i * n + j]) + 2) * r_ * sgh);
        }
    }
    FN(near)("layer_norm, y", m * n, y, y_, size, 4 * u + 30);
    FN(near)("layer_norm, dx", m * n, dx, dx_, sx, 8 * u + 60);
    FN(near)("layer_norm, dw", n, dw, dw_, sw, 4 * u + (double)m + 30);
    FN(near)("layer_norm, db", n, db, db_, sb, (double)m);
    MV(sum_rows)(m, n, dy, n, db, partial, THREADS);
    FN(near)("sum_rows", n, db, db_, sb, (double)m);
    for (int logarithm = 0; logarithm < 2; logarithm++) {
        MV(softmax)(m, n, 1, x, y, logarithm, THREADS);
        MV(softmax_vjp)(m, n, 1, dy, y, dx, logarithm, THREADS);
        for (int64_t i = 0; i < m; i++) {
            double dot = 0, sum = 0;
            mv_softmax_definition_f64(n, wx + i * n, y_ + i * n, logarithm);
            for (int64_t j = i * n; j < (i + 1) * n; j++) {
                dot += (double)dy[j] * (logarithm ? 1 : y_[j]), sum += fabs((double)dy[j]) * (logarithm ? 1 : y_[j]);
                size[j] = logarithm ? 1 + fabs(y_[j]) : y_[j];
            }
            for (int64_t j = i * n; j < (i + 1) * n; j++) {
                const double d = (double)dy[j], p = logarithm ? exp(y_[j]) : y_[j];
                dx_[j] = logarithm ? d - p * dot : p * (d - dot), sx[j] = logarithm ? fabs(d) + p * sum : p * (fabs(d) + sum);
            }
        }
        FN(near)("softmax, y", m * n, y, y_, size, 2 * u + 40);
        FN(near)("softmax, dx", m * n, dx, dx_, sx, 4 * u + 80);
    }
    int64_t *target = take(m, 8);
    double *loss_ = doubles(m), *big = doubles(m), sum_w = 0;
    for (int64_t j = 0; j < n; j++)
        w[j] = (T)fabs((double)w[j]), ww[j] = fabs(ww[j]), sum_w += ww[j];
    MV(cross_entropy)(m, n, x, (memset(target, 0, (size_t)m * 8), target), w, (T)0.25, -1, mean, r, THREADS);
    MV(cross_entropy_vjp)(m, n, b, x, target, w, r, (T)0.25, -1, dx, THREADS);
    for (int64_t i = 0; i < m && m <= n; i++) {
        double lse;
        mv_cross_entropy_definition_f64(n, wx + i * n, 0, ww, 0.25, &loss_[i], &lse);
        big[i] = (0.75 * ww[0] + 0.25 * sum_w / u) * (fabs(lse) + 2);
        for (int64_t j = 0; j < n; j++) {
            const double all = 0.75 * ww[0] + 0.25 * sum_w / u, own = (j ? 0 : 0.75 * ww[0]) + 0.25 * ww[j] / u, p = exp(wx[i * n + j] - lse);
            dx_[i * n + j] = wb[i] * (p * all - own), sx[i * n + j] = fabs(wb[i]) * (p * all + own);
        }
    }
    if (m <= n) { /* there is a dy for each row in b */
        FN(near)("cross_entropy, y", m, mean, loss_, big, 4 * u + 60);
        FN(near)("cross_entropy, dx", m * n, dx, dx_, sx, 4 * u + 80);
    }
}

/* Functions of one argument, in the order of enum pointwise: values, and slopes by differences of the definition. */
static void FN(curves)(void)
{
    static const double settings[][2] = {{0}, {0.25}, {-0.5, 2}, {0}, {0}, {0}, {0}, {2}, {0}, {0}, {1.5}, {2, 3}, {0}};
    static const int keeps_y[] = {1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0}, by_numpy = 6; /* tanh has no forward kernel */
    const int64_t n = 4099;
    for (int64_t f = 0; f < COUNT(settings); f++) {
        used = 0;
        const double a = settings[f][0], b = settings[f][1], step = 1e-5;
        T *x = FN(drawn)(n), *dy = FN(blank)(n), *y = FN(blank)(n), *kept = x;
        double *y_ = doubles(n), *slope = doubles(n), *size = doubles(n), *wx = doubles(n), *up = doubles(n), *down = doubles(n);
        for (int64_t i = 0; i < n; i++)
            x[i] *= 4, dy[i] = 1, wx[i] = (double)x[i];
        mv_pointwise_definition_f64(f, n, wx, a, b, y_);
        for (int64_t i = 0; i < n; i++)
            size[i] = fmax(1, fabs(y_[i])), wx[i] += step;
        mv_pointwise_definition_f64(f, n, wx, a, b, up);
        for (int64_t i = 0; i < n; i++)
            wx[i] -= 2 * step;
        mv_pointwise_definition_f64(f, n, wx, a, b, down);
        if (f != by_numpy)
            MV(pointwise)(f, n, NULL, x, (T)a, (T)b, y, THREADS);
        if (f != by_numpy)
            FN(near)("pointwise, value", n, y, y_, size, 8);
        if (keeps_y[f])
            for (int64_t i = 0; i < n; i++)
                x[i] = (T)y_[i];
        MV(pointwise)(f, n, dy, kept, (T)a, (T)b, y, THREADS);
        for (int64_t i = 0; i < n; i++) {
            const int bent = fabs(up[i] + down[i] - 2 * y_[i]) > 1e-8; /* a corner has no slope */
            slope[i] = bent ? (double)y[i] : (up[i] - down[i]) / (2 * step), size[i] = 1 + fabs(slope[i]);
        }
        FN(near)("pointwise, slope", n, y, slope, size, 16 + 1e-9 / EPSILON);
    }
}

/* What copies, takes, adds up whole numbers or chooses the largest is right to the bit. */
static void FN(exact)(int64_t m, int64_t n)
{
    used = 0;
    const int64_t plan[] = {2, m, n, n * m, 1, m, m * n, n, 1};
    T *x = FN(drawn)(2 * m * n), *y = FN(blank)(2 * m * n), *taken = FN(blank)(2 * m * n), *added = FN(blank)(2 * m * n);
    double *y_ = doubles(2 * m * n), *added_ = doubles(2 * m * n);
    for (int64_t i = 0; i < 2 * m * n; i++)
        x[i] = (T)below(99), y_[i] = (double)x[i / (m * n) * m * n + i % n * m + i / n % m], added[i] = 0;
    MV(copy)(3, (memcpy(y, y, 0), plan), x, y, THREADS);
    for (int64_t i = 0; i < 2 * m * n; i++)
        y_[i] = (double)x[i / (m * n) * m * n + i % n * m + i / n % m];
    FN(near)("copy", 2 * m * n, y, y_, NULL, 0);
    int64_t *index = take(m, 8);
    for (int64_t i = 0; i < m; i++)
        index[i] = below(m);
    MV(index_select)(2, m, m, n, x, index, taken, THREADS);
    MV(index_add)(2, m, m, n, x, index, -1, added, THREADS);
    for (int64_t i = 0; i < 2 * m * n; i++) {
        const int64_t o = i / (m * n), row = i / n % m;
        y_[i] = (double)x[(o * m + index[row]) * n + i % n], added_[(o * m + index[row]) * n + i % n] += (double)x[i];
    }
    FN(near)("index_select", 2 * m * n, taken, y_, NULL, 0);
    FN(near)("index_add", 2 * m * n, added, added_, NULL, 0);
}

static void FN(pools)(int64_t channels, int64_t kernel, int64_t stride, int64_t pad)
{
    used = 0;
    int64_t *rows = windows(7, kernel, stride, pad), *columns = windows(9, kernel, stride, pad);
    const int64_t in = 7 * 9, out = rows[1] * columns[1];
    T *x = FN(drawn)(2 * in * channels), *dy = FN(drawn)(2 * out * channels), *y = FN(blank)(2 * out * channels);
    T *dx = FN(blank)(2 * in * channels), *count = FN(blank)(out), *share = FN(blank)(out);
    double *y_ = doubles(2 * out * channels), *dx_ = doubles(2 * in * channels), *size = doubles(2 * in * channels);
    double *mean = doubles(2 * out * channels), *wx = FN(wide)(2 * in * channels, x, 0), *wc = doubles(out);
    double *dmean = doubles(2 * in * channels);
    int8_t *taken = take(2 * out * channels, 1);
    int32_t *places = take(2 * out * channels, 4);
    for (int64_t i = 0; i < out; i++)
        wc[i] = (double)(count[i] = (T)(kernel * kernel)), share[i] = 1 / count[i];
    for (int64_t image = 0; image < 2; image++)
        for (int64_t c = 0; c < channels; c++) {
            const int64_t at = image * in * channels + c, to = image * out * channels + c;
            mv_max_pool_definition_f64(channels, rows, columns, wx + at, y_ + to, places + to);
            mv_avg_pool_definition_f64(channels, rows, columns, wx + at, wc, mean + to);
            for (int64_t i = 0; i < out; i++) {
                const int64_t h0 = rows[4 + i / columns[1]], w0 = columns[4 + i % columns[1]], place = places[to + i * channels];
                const double d = (double)dy[to + i * channels];
                dx_[at + ((h0 + place / kernel) * 9 + w0 + place % kernel) * channels] += d;
                for (int64_t k = 0; k < kernel * kernel; k++)
                    if (h0 + k / kernel >= 0 && h0 + k / kernel < 7 && w0 + k % kernel >= 0 && w0 + k % kernel < 9)
                        dmean[at + ((h0 + k / kernel) * 9 + w0 + k % kernel) * channels] += d / wc[i];
            }
        }
    for (int64_t i = 0; i < 2 * in * channels; i++)
        size[i] = 2 * (double)(kernel * kernel);
    MV(max_pool)(2, channels, rows, columns, x, y, taken, 1, THREADS);
    FN(near)("max_pool, y", 2 * out * channels, y, y_, NULL, 0);
    MV(max_pool_vjp)(2, channels, rows, columns, dy, taken, 1, dx, THREADS);
    FN(near)("max_pool, dx", 2 * in * channels, dx, dx_, size, (double)(kernel * kernel));
    MV(avg_pool)(2, channels, rows, columns, x, count, y, THREADS);
    FN(near)("avg_pool, y", 2 * out * channels, y, mean, NULL, 2 * (double)(kernel * kernel + 1));
    MV(avg_pool_vjp)(2, channels, rows, columns, dy, share, dx, THREADS);
    FN(near)("avg_pool, dx", 2 * in * channels, dx, dmean, size, (double)(kernel * kernel + 2));
}

/* sets of images, channels last or first, groups of channels. */
static void FN(channels)(int64_t channels, int64_t groups, int64_t sets, int64_t last)
{
    used = 0;
    const int64_t z[] = {sets, 2, channels, 13, groups, last}, n = sets * 2 * channels * 13;
    T *x = FN(drawn)(n), *w = FN(drawn)(channels), *b = FN(drawn)(channels), *y = FN(blank)(n), *moments[3];
    for (int i = 0; i < 3; i++)
        moments[i] = FN(blank)(sets * groups);
    double *y_ = doubles(n), *size = doubles(n), *space = doubles(MV(channel_workspace)(channels));
    MV(channel_moments)(z, x, 0.01, moments[0], moments[1], moments[2], space, THREADS);
    MV(channel_map)(z, x, w, b, moments[0], moments[2], NULL, 1, y, space, THREADS);
    mv_channel_norm_definition_f64(z, FN(wide)(n, x, 0), FN(wide)(channels, w, 0), FN(wide)(channels, b, 0), NULL, 0.01, 1, y_);
    for (int64_t i = 0; i < n; i++)
        size[i] = 2 * (4 * 10 + 2); /* |w| |x - mean| / sqrt(0.01) + |b| */
    FN(near)("channel_norm", n, y, y_, size, 40);
}

static void FN(adamws)(int64_t n)
{
    used = 0;
    T *p = FN(drawn)(n), *g = FN(drawn)(n), *m = FN(drawn)(n), *v = FN(drawn)(n);
    double *p_ = doubles(n);
    for (int64_t i = 0; i < n; i++) {
        v[i] = (T)fabs((double)v[i]);
        const double first = 0.9 * (double)m[i] + 0.1 * (double)g[i], second = 0.99 * (double)v[i] + 0.01 * (double)g[i] * (double)g[i];
        p_[i] = 0.95 * (double)p[i] - 0.125 * first / (sqrt(second) / 0.5 + 0.25);
    }
    const T *const grads[] = {g};
    MV(adamw)(1, (T *const[]){p}, grads, (T *const[]){m}, (T *const[]){v}, &n, (T)0.9, (T)0.99, (T)0.95, (T)0.125, (T)0.5, (T)0.25, THREADS);
    FN(near)("adamw", n, p, p_, NULL, 32);
}

static void FN(all)(void)
{
    static const int64_t ends[] = {1, 2, 3, 4, 5, 8, 9, 17, 33}, channels[] = {1, 3, 4, 5, 8, 17, 33};
    FN(products)();
    FN(convolutions)();
    for (int64_t i = 0; i < COUNT(ends); i++) {
        for (int causal = 0; causal < 2; causal++)
            FN(heads)(ends[i] + 1, ends[COUNT(ends) - 1 - i], ends[i] % 7 + 1, ends[i] % 5 + 1, causal);
        for (int64_t j = 0; j < COUNT(ends); j++)
            FN(rows)(ends[i], ends[j]), FN(exact)(ends[i], ends[j]);
        FN(adamws)(ends[i]);
    }
    FN(heads)(97, 50, 8, 13, 1);
    FN(rows)(700, 33);
    FN(exact)(65, 130);
    FN(curves)();
    for (int64_t i = 0; i < COUNT(channels); i++) {
        FN(pools)(channels[i], 2, 2, 0), FN(pools)(channels[i], 3, 2, 1);
        for (int last = 0; last < 2; last++)
            FN(channels)(channels[i], channels[i], 1, last), FN(channels)(channels[i], 1, 3, last);
    }
}
