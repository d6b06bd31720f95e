/* Copies into another order:  y[b, i, j] = x[b, i, j]  where x and y stand on memory with strides of their own.
 *
 *   b  any outer axes      i  rows, 0..m      j  columns, 0..n: y_j = 1, so y is written along j
 *   x_i, x_j, y_i          strides in elements
 *
 * Two reads and writes of 2 m n elements. Where x runs along j, too, rows are copied whole. Where it runs along i, as in a
 * transpose, squares of VL x VL elements are read along i, turned in registers and written along j, so that both sides
 * touch whole cache lines. Windows of an image (Liu et al. 2021, section 3.2) are rows at computed places. */

#ifdef MV_SMALL_BLOCKS
#define COPY_ROWS VL
#define COPY_COLUMNS (2 * VL)
#else
#define COPY_ROWS ((int64_t)64)    /* rows of one task */
#define COPY_COLUMNS ((int64_t)32) /* columns that are turned before the next rows: whole lines of y soon */
#endif
#define COPY_CALL 512 /* elements of a row that is worth a call of memcpy */
#define LANES (VECTOR_BYTES / (T_IS_F32 ? 4 : 8))

/* the elements of a and b by turns: the first halves (LOW), the second halves (HIGH) */
#if LANES == 2
#define LOW 0, 2
#define HIGH 1, 3
#elif LANES == 4
#define LOW 0, 4, 1, 5
#define HIGH 2, 6, 3, 7
#elif LANES == 8
#define LOW 0, 8, 1, 9, 2, 10, 3, 11
#define HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#endif
#ifdef __clang__
#define BY_TURNS(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define BY_TURNS(a, b, ...) __builtin_shuffle(a, b, (ivec){__VA_ARGS__})
#endif

/* The definition. */
static void FN(copy_definition)(int64_t m, int64_t n, const T *x, int64_t x_i, int64_t x_j, T *y, int64_t y_i)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            y[i * y_i + j] = x[i * x_i + j * x_j];
}

/* A square whose columns are x's vectors: log2(VL) rounds of a perfect shuffle of its rows turn it (Stone 1971). */
INLINE void FN(copy_turned)(const T *x, int64_t x_j, T *y, int64_t y_i)
{
    vec from[LANES], to[LANES];
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++)
        from[j] = *(const vec *)(x + j * x_j);
#pragma GCC unroll 4
    for (int round = 1; round < LANES; round *= 2) {
#pragma GCC unroll 8
        for (int k = 0; k < LANES / 2; k++) {
            to[2 * k] = BY_TURNS(from[k], from[k + LANES / 2], LOW);
            to[2 * k + 1] = BY_TURNS(from[k], from[k + LANES / 2], HIGH);
        }
#pragma GCC unroll 16
        for (int k = 0; k < LANES; k++)
            from[k] = to[k];
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++)
        *(vec *)(y + i * y_i) = from[i];
}

/* m rows where x runs along i: whole squares turned, the rest by the definition. */
INLINE void FN(copy_squares)(int64_t m, int64_t n, const T *x, int64_t x_j, T *y, int64_t y_i)
{
    const int64_t whole_m = m - m % VL, whole_n = n - n % VL;
    for (int64_t block = 0; block < whole_n; block += COPY_COLUMNS)
        for (int64_t i = 0; i < whole_m; i += VL)
            for (int64_t j = block; j < MIN(whole_n, block + COPY_COLUMNS); j += VL)
                FN(copy_turned)(x + i + j * x_j, x_j, y + i * y_i + j, y_i);
    FN(copy_definition)(whole_m, n - whole_n, x + whole_n * x_j, 1, x_j, y + whole_n, y_i);
    FN(copy_definition)(m - whole_m, n, x + whole_m, 1, x_j, y + whole_m * y_i, y_i);
}

INLINE void FN(copy_rows)(int64_t m, int64_t n, const T *x, int64_t x_i, int64_t x_j, T *y, int64_t y_i)
{
    if (x_j == 1 && n < COPY_CALL && n % VL == 0)
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j += VL)
                *(vec *)(y + i * y_i + j) = *(const vec *)(x + i * x_i + j);
    else if (x_j == 1)
        for (int64_t i = 0; i < m; i++)
            memcpy(y + i * y_i, x + i * x_i, (size_t)n * sizeof(T));
    else if (x_i == 1)
        FN(copy_squares)(m, n, x, x_j, y, y_i);
    else
        FN(copy_definition)(m, n, x, x_i, x_j, y, y_i);
}

/* plan: the sizes of the axes (b.., i, j), their strides in x, their strides in y; y_j = 1 */
static void FN(copy)(int64_t axes, const int64_t *plan, const T *x, T *y, int64_t threads)
{
    const int64_t *x_s = plan + axes, *y_s = x_s + axes;
    const int64_t m = plan[axes - 2], n = plan[axes - 1], blocks = (m + COPY_ROWS - 1) / COPY_ROWS;
    int64_t tasks = blocks;
    for (int64_t k = 0; k < axes - 2; k++)
        tasks *= plan[k];
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && tasks / blocks * m * n > SERIAL_ELEMENTS)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t i = task % blocks * COPY_ROWS;
        const T *x_b = x + i * x_s[axes - 2];
        T *y_b = y + i * y_s[axes - 2];
        int64_t b = task / blocks;
        for (int64_t k = axes - 3; k >= 0; b /= plan[k], k--) {
            x_b += b % plan[k] * x_s[k];
            y_b += b % plan[k] * y_s[k];
        }
        FN(copy_rows)(MIN(COPY_ROWS, m - i), n, x_b, x_s[axes - 2], x_s[axes - 1], y_b, y_s[axes - 2]);
    }
}

/* ------------------------------------------------------------------------------------------------ windows of an image
 *
 *   y[n, p, q, i, j, :] = x[n, (p r + i + down) mod h, (q s + j + across) mod w, :]
 *
 * sizes: n h w c, the window r s, the shift down across (0 <= down < h, 0 <= across < w); x (n,h,w,c) and y dense. */
struct FN(windows) {
    int64_t n, h, w, c, r, s, down, across;
};

/* One row of pixels of all windows beside each other; a window that the border cuts is two stretches. */
INLINE void FN(windows_row)(const struct FN(windows) * g, int64_t row, const T *from, T *to, int to_image)
{
    const int64_t n = row / g->h, p = row % g->h / g->r, i = row % g->r;
    const int64_t line = (n * g->h + (row % g->h + g->down) % g->h) * g->w;
    for (int64_t q = 0; q < g->w / g->s; q++) {
        const int64_t begin = (q * g->s + g->across) % g->w, first = MIN(g->s, g->w - begin);
        const int64_t window = (((n * (g->h / g->r) + p) * (g->w / g->s) + q) * g->r + i) * g->s;
        const int64_t places[2][2] = {{window, line + begin}, {window + first, line}};
        memcpy(to + places[0][to_image] * g->c, from + places[0][!to_image] * g->c, (size_t)(first * g->c) * sizeof(T));
        memcpy(to + places[1][to_image] * g->c, from + places[1][!to_image] * g->c, (size_t)((g->s - first) * g->c) * sizeof(T));
    }
}

static void FN(window_partition)(const int64_t *sizes, const T *x, T *y, int64_t threads)
{
    const struct FN(windows) *g = (const struct FN(windows) *)sizes;
#pragma omp parallel for schedule(static)                                                                                        \
    num_threads((int)threads) if (threads > 1 && g->n * g->h * g->w * g->c > SERIAL_ELEMENTS)
    for (int64_t row = 0; row < g->n * g->h; row++)
        FN(windows_row)(g, row, x, y, 0);
}

static void FN(window_reverse)(const int64_t *sizes, const T *y, T *x, int64_t threads)
{
    const struct FN(windows) *g = (const struct FN(windows) *)sizes;
#pragma omp parallel for schedule(static)                                                                                        \
    num_threads((int)threads) if (threads > 1 && g->n * g->h * g->w * g->c > SERIAL_ELEMENTS)
    for (int64_t row = 0; row < g->n * g->h; row++)
        FN(windows_row)(g, row, y, x, 1);
}

#undef COPY_ROWS
#undef COPY_COLUMNS
#undef COPY_CALL
#undef LANES
#undef LOW
#undef HIGH
#undef BY_TURNS
