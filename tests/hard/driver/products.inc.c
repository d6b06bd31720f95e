/* Kernels of sums of products: gemm, conv, depthwise, attention. */

static void FN(product)(int64_t m, int64_t n, int64_t k, int turns)
{
    used = 0;
    const int64_t a_i = turns & 1 ? 1 : k, a_p = turns & 1 ? m : 1, b_p = turns & 2 ? 1 : n, b_j = turns & 2 ? k : 1;
    T *a = FN(drawn)(m * k), *b = FN(drawn)(k * n), *bias = turns & 4 ? FN(drawn)(n) : NULL, *c = FN(blank)(m * n);
    double *expected = doubles(m * n), *size = doubles(m * n);
    MV(gemm)(1, 1, m, n, k, a, 0, 0, a_i, a_p, b, 0, 0, b_p, b_j, c, 0, 0, n, bias, FN(blank)(MV(gemm_workspace)(THREADS)),
             THREADS);
    for (int absolute = 0; absolute < 2; absolute++)
        mv_gemm_definition_f64(m, n, k, FN(wide)(m * k, a, absolute), a_i, a_p, FN(wide)(k * n, b, absolute), b_p, b_j,
                               absolute ? size : expected, n, bias ? FN(wide)(n, bias, absolute) : NULL);
    FN(near)("gemm", m * n, c, expected, size, (double)k + 1);
}

static void FN(products)(void)
{
    static const int64_t rows[] = {1, 7, 8, 9, 17}, columns[] = {1, 5, 6, 11, 12, 13, 25, 49}, depths[] = {1, 5, 8, 9, 17};
    static const int64_t large[][3] = {{5, 7, 383},  {9, 13, 384},  {17, 25, 385}, {3, 769, 5},
                                       {8, 768, 17}, {131, 40, 70}, {40, 131, 70}};
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
    T *space = FN(blank)(depthwise ? MV(depthwise_workspace)(c_in, taps) : MV(conv_workspace)(z, THREADS));
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
    static const int64_t channels[][3] = {{1, 1, 1}, {1, 3, 13}, {2, 5, 3}, {3, 1, 1}, {4, 1, 1}, {17, 1, 1}, {1, 17, 7}, {8, 2, 2}};
    static const int64_t shapes[][4] = {{1, 1, 0, 1}, {3, 1, 1, 1}, {3, 2, 1, 1}, {5, 2, 2, 1},
                                        {3, 3, 0, 2}, {7, 2, 3, 1}, {2, 1, 1, 2}};
    static const int64_t sides[] = {7, 8, 15, 20};
    for (int64_t c = 0; c < COUNT(channels); c++)
        for (int64_t s = 0; s < COUNT(shapes); s++)
            for (int64_t i = 0; i < COUNT(sides); i++) {
                const int64_t *g = channels[c], k = shapes[s][0], u = shapes[s][1], pad = shapes[s][2], gap = shapes[s][3];
                const int64_t h = 9, w = sides[i], p = (h + 2 * pad - gap * (k - 1) - 1) / u + 1,
                              q = (w + 2 * pad - gap * (k - 1) - 1) / u + 1;
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
        mv_attention_definition_f64(m, n, d, e, wq + z * m * d, d, wk + z * n * d, d, wv + z * n * e, e, NULL, 0, 0, causal,
                                    scale, y_ + z * m * e, lse_ + z * m);
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
                    gq[i * d + c] += scale * exp(s) * dp * wk[j * d + c],
                        sq[i * d + c] += scale * exp(s) * sp * fabs(wk[j * d + c]);
                    gk[j * d + c] += scale * exp(s) * dp * wq[i * d + c],
                        sk[j * d + c] += scale * exp(s) * sp * fabs(wq[i * d + c]);
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
