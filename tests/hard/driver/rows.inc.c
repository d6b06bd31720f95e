/* Kernels on rows and on single elements. */

/* x + dy, normalised in one pass, has the bits of its sum normalised afterwards; so have the gradients, x added to dx. */
static void FN(sums_of_rows)(int64_t m, int64_t n)
{
    used = 0;
    T *x = FN(drawn)(m * n), *dy = FN(drawn)(m * n), *w = FN(drawn)(n), *b = FN(drawn)(n), *s = FN(blank)(m * n);
    T *y[2], *dx[2], *mean = FN(blank)(m), *r = FN(blank)(m), *dw = FN(blank)(n), *db = FN(blank)(n), *partial = FN(blank)(32 * n);
    for (int64_t i = 0; i < m * n; i++)
        s[i] = x[i] + dy[i];
    const double *sum = FN(wide)(m * n, s, 0);
    for (int joined = 0; joined < 2; joined++) {
        y[joined] = FN(blank)(m * n), dx[joined] = FN(blank)(m * n);
        MV(layer_norm)(m, n, joined ? x : s, joined ? dy : NULL, w, b, (T)0.01, joined ? s : NULL, y[joined], mean, r, THREADS);
        MV(layer_norm_vjp)(m, n, joined ? x : NULL, dy, s, w, mean, r, dx[joined], dw, db, partial, THREADS);
        FN(near)("add_layer_norm, s", m * n, s, sum, NULL, -1);
    }
    for (int64_t i = 0; i < m * n; i++)
        dx[0][i] += x[i];
    FN(near)("add_layer_norm, y", m * n, y[1], FN(wide)(m * n, y[0], 0), NULL, -1);
    FN(near)("add_layer_norm, dx", m * n, dx[1], FN(wide)(m * n, dx[0], 0), NULL, -1);
}

/* Rows: normalised, their sums, softmax and its logarithm, cross entropy; forward, and the gradients of each. */
static void FN(rows)(int64_t m, int64_t n)
{
    used = 0;
    const double u = (double)n;
    T *x = FN(drawn)(m * n), *w = FN(drawn)(n), *b = FN(drawn)(n), *dy = FN(drawn)(m * n), *y = FN(blank)(m * n),
      *mean = FN(blank)(m);
    T *r = FN(blank)(m), *dx = FN(blank)(m * n), *dw = FN(blank)(n), *db = FN(blank)(n), *partial = FN(blank)(32 * n);
    double *y_ = doubles(m * n), *size = doubles(m * n), *dx_ = doubles(m * n), *sx = doubles(m * n), *dw_ = doubles(n),
           *sw = doubles(n);
    double *db_ = doubles(n), *sb = doubles(n), *wx = FN(wide)(m * n, x, 0), *ww = FN(wide)(n, w, 0), *wb = FN(wide)(n, b, 0);
    MV(layer_norm)(m, n, x, NULL, w, b, (T)0.01, NULL, y, mean, r, THREADS);
    MV(layer_norm_vjp)(m, n, NULL, dy, x, w, mean, r, dx, dw, db, partial, THREADS);
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
    memset(target, 0, (size_t)m * 8);
    MV(cross_entropy)(m, n, x, target, w, (T)0.25, -1, mean, r, THREADS);
    MV(cross_entropy_vjp)(m, n, b, x, target, w, r, (T)0.25, -1, dx, THREADS);
    for (int64_t i = 0; i < m && m <= n; i++) {
        double lse;
        mv_cross_entropy_definition_f64(n, wx + i * n, 0, ww, 0.25, &loss_[i], &lse);
        big[i] = (0.75 * ww[0] + 0.25 * sum_w / u) * (fabs(lse) + 2);
        for (int64_t j = 0; j < n; j++) {
            const double all = 0.75 * ww[0] + 0.25 * sum_w / u, own = (j ? 0 : 0.75 * ww[0]) + 0.25 * ww[j] / u,
                         p = exp(wx[i * n + j] - lse);
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
        x[i] = (T)below(99), added[i] = 0;
    MV(copy)(3, plan, x, y, THREADS);
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
        const double first = 0.9 * (double)m[i] + 0.1 * (double)g[i],
                     second = 0.99 * (double)v[i] + 0.01 * (double)g[i] * (double)g[i];
        p_[i] = 0.95 * (double)p[i] - 0.125 * first / (sqrt(second) / 0.5 + 0.25);
    }
    const T *const grads[] = {g};
    MV(adamw)(1, (T *const[]){p}, grads, (T *const[]){m}, (T *const[]){v}, &n, (T)0.9, (T)0.99, (T)0.95, (T)0.125, (T)0.5,
              (T)0.25, THREADS);
    FN(near)("adamw", n, p, p_, NULL, 32);
}
