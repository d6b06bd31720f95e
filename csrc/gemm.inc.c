/* Matrix product:  C = A B + bias.   2 m n k floating-point operations.
 *
 *   z      batch (two axes y, z outside)      i  row of C, 0..m      j  column of C, 0..n      p  reduction, 0..k
 *   a_ip   where A's (i, p) stands            a_i, a_p  its strides; a transposed operand is a swapped pair of strides
 *
 * Goto & van de Geijn, "Anatomy of high-performance matrix multiplication" (2008): keep a tile of C in registers, a
 * panel of B in the first cache and a block of B in the second. Each thread owns a slice of the larger of m and n, packs
 * its own block of B and never waits for another. Every c_ij is summed in the same order by one thread: the same bits
 * for any number of threads. */

#define NR ((int64_t)(NV * VL))
#define HALF_NV ((NV + 1) / 2)
#define AHEAD 24

/* The definition. */
static void FN(gemm_definition)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_i, int64_t a_p, const T *b, int64_t b_p,
                                int64_t b_j, T *c, int64_t c_i, const T *bias)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            T sum = bias ? bias[j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += a[i * a_i + p * a_p] * b[p * b_p + j * b_j];
            c[i * c_i + j] = sum;
        }
}

/* acc += A (MR, k) B (k, nv VL): the whole tile stays in registers; each b is loaded once, each a broadcast once. B is asked
 * for AHEAD rows before it is used: it comes from the second cache. */
INLINE void FN(gemm_add)(int64_t k, int nv, const T *restrict a, int64_t a_i, int64_t a_p, const T *restrict b, int64_t b_p,
                         vec acc[MR][NV])
{
    for (int64_t p = 0; p < k; p++, a += a_p, b += b_p) {
        vec b_p_[NV];
        for (int v = 0; v < nv; v++)
            __builtin_prefetch(b + AHEAD * b_p + v * VL);
        for (int v = 0; v < nv; v++)
            b_p_[v] = *(const vec *)(b + v * VL);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) {
            vec a_ip = a[i * a_i] - (vec){0};
            for (int v = 0; v < nv; v++)
                acc[i][v] += a_ip * b_p_[v];
        }
    }
}

/* acc = A B */
INLINE void FN(gemm_micro)(int64_t k, int nv, const T *restrict a, int64_t a_i, int64_t a_p, const T *restrict b, int64_t b_p,
                           vec acc[MR][NV])
{
    for (int i = 0; i < MR; i++)
        for (int v = 0; v < nv; v++)
            acc[i][v] = (vec){0};
    FN(gemm_add)(k, nv, a, a_i, a_p, b, b_p, acc);
}

/* One row of the tile goes to C: set (with bias) at the first block of p, added at the later ones. */
INLINE void FN(gemm_store_row)(const vec *acc, int64_t columns, T *c, const T *bias, int first)
{
    for (int64_t j = 0; j < columns; j += VL, acc++) {
        const int64_t n = columns - j;
        vec start = {0};
        if (!first)
            start = FN(load)(c + j, n);
        else if (bias)
            start = FN(load)(bias + j, n);
        FN(store)(c + j, n, *acc + start);
    }
}

/* rows x columns of the product of a and a panel of b go to C. A panel with few columns costs as little as they need. */
INLINE void FN(gemm_tile)(int64_t k, int64_t rows, int64_t columns, const T *a, int64_t a_i, int64_t a_p, const T *b, int64_t b_p,
                          T *c, int64_t c_i, const T *bias, int first)
{
    vec acc[MR][NV];
    if (rows == MR && columns == NR) {
        FN(gemm_micro)(k, NV, a, a_i, a_p, b, b_p, acc);
        for (int i = 0; i < MR; i++)
            FN(gemm_store_row)(acc[i], NR, c + i * c_i, bias, first);
        return;
    }
    if (columns <= HALF_NV * VL)
        FN(gemm_micro)(k, HALF_NV, a, a_i, a_p, b, b_p, acc);
    else
        FN(gemm_micro)(k, NV, a, a_i, a_p, b, b_p, acc);
    for (int64_t i = 0; i < rows; i++)
        FN(gemm_store_row)(acc[i], columns, c + i * c_i, bias, first);
}

/* n elements, and zeros up to `width`. */
INLINE void FN(gemm_pack_row)(int64_t n, int64_t width, const T *from, T *packed)
{
    for (int64_t j = 0; j < width; j += VL) {
        vec x = {0};
        if (j < n)
            x = FN(load)(from + j, n - j);
        FN(store)(packed + j, width - j, x);
    }
}

/* A block of up to MR rows as (k, MR), absent rows zero. */
static void FN(gemm_pack_a)(int64_t rows, int64_t k, const T *a, int64_t a_i, int64_t a_p, T *packed)
{
    if (rows == MR && a_i == 1) {
        for (int64_t p = 0; p < k; p++)
            memcpy(packed + p * MR, a + p * a_p, MR * sizeof(T));
        return;
    }
    if (a_i == 1) {
        for (int64_t p = 0; p < k; p++)
            FN(gemm_pack_row)(rows, MR, a + p * a_p, packed + p * MR);
        return;
    }
    if (rows < MR)
        memset(packed, 0, (size_t)(k * MR) * sizeof(T));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t p = 0; p < k; p++)
            packed[p * MR + i] = a[i * a_i + p * a_p];
}

/* A square of VL rows becomes its columns: rows exchange halves in pairs, then quarters, ... (Eklundh 1972). */
INLINE void FN(transpose)(vec row[VL])
{
#ifdef __clang__ /* takes no list of elements that is computed, and sees through this */
    T square[VL][VL];
    memcpy(square, row, sizeof square);
    for (int i = 0; i < VL; i++)
        for (int j = 0; j < VL; j++)
            row[i][j] = square[j][i];
#else
#pragma GCC unroll 8
    for (int half = (int)VL / 2; half > 0; half /= 2) {
        ivec low, high;
        for (int l = 0; l < VL; l++) {
            low[l] = l & half ? (int)VL + l - half : l;
            high[l] = l & half ? (int)VL + l : l + half;
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++)
            if (!(i & half)) {
                const vec a = row[i], b = row[i + half];
                row[i] = __builtin_shuffle(a, b, low);
                row[i + half] = __builtin_shuffle(a, b, high);
            }
    }
#endif
}

/* NR rows of B^T, each dense along p, as (k, NR): weights are kept so. The reads are far apart, so they are asked for ahead. */
static void FN(gemm_pack_turned)(int64_t k, const T *b, int64_t b_j, T *packed)
{
    const int64_t whole = k / VL * VL;
    for (int64_t p = 0; p < whole; p += VL)
        for (int64_t v = 0; v < NV; v++) {
            vec row[VL];
            for (int64_t j = 0; j < VL; j++) {
                const T *b_j0 = b + p + (v * VL + j) * b_j;
                __builtin_prefetch(b_j0 + 2 * VL);
                row[j] = *(const vec *)b_j0;
            }
            FN(transpose)(row);
            for (int64_t j = 0; j < VL; j++)
                *(vec *)(packed + (p + j) * NR + v * VL) = row[j];
        }
    for (int64_t p = whole; p < k; p++)
        for (int64_t j = 0; j < NR; j++)
            packed[p * NR + j] = b[p + j * b_j];
}

/* One panel of B as (k, NR), absent columns zero. */
static void FN(gemm_pack_b)(int64_t k, int64_t columns, const T *b, int64_t b_p, int64_t b_j, T *packed)
{
    if (columns == NR && b_j == 1) {
        for (int64_t p = 0; p < k; p++)
            for (int v = 0; v < NV; v++)
                *(vec *)(packed + p * NR + v * VL) = *(const vec *)(b + p * b_p + v * VL);
        return;
    }
    if (b_j == 1) {
        for (int64_t p = 0; p < k; p++)
            FN(gemm_pack_row)(columns, NR, b + p * b_p, packed + p * NR);
        return;
    }
    if (columns == NR && b_p == 1) {
        FN(gemm_pack_turned)(k, b, b_j, packed);
        return;
    }
    if (columns < NR)
        memset(packed, 0, (size_t)(k * NR) * sizeof(T));
    for (int64_t p0 = 0; p0 < k; p0 += GEMM_PACK) /* short columns at a time, so that the written lines stay in the cache */
        for (int64_t j = 0; j < columns; j++)
            for (int64_t p = p0; p < MIN(k, p0 + GEMM_PACK); p++)
                packed[p * NR + j] = b[p * b_p + j * b_j];
}

/* Whether rows of A are packed. Those that stand a multiple of 4096 bytes apart share one set of the first cache, which is too
 * small for MR of them; packing costs about what half a panel does, so that many panels repay it. */
INLINE int FN(gemm_packs_a)(int64_t rows, int64_t n, int64_t a_i, int64_t a_p)
{
    return rows < MR || a_p != 1 || (n >= 16 * NR && a_i * (int64_t)sizeof(T) % 4096 == 0);
}

/* c = a b by panels of B: packed ones (b_p = NR, b_j = the rows that were packed) or columns in place (b_j = 1).
 * `packed_a` holds k * MR elements. */
static __attribute__((noinline)) void FN(gemm_panels)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_i, int64_t a_p,
                                                      const T *b, int64_t b_p, int64_t b_j, T *c, int64_t c_i, const T *bias,
                                                      int first, T *packed_a)
{
    for (int64_t i = 0; i < m; i += MR) {
        const int64_t rows = MIN(MR, m - i);
        const int pack_a = FN(gemm_packs_a)(rows, n, a_i, a_p);
        if (pack_a)
            FN(gemm_pack_a)(rows, k, a + i * a_i, a_i, a_p, packed_a);
        const T *a_i0 = pack_a ? packed_a : a + i * a_i;
        for (int64_t j = 0; j < n; j += NR) {
            const int64_t columns = MIN(NR, n - j);
            if (pack_a)
                FN(gemm_tile)(k, rows, columns, a_i0, 1, MR, b + j * b_j, b_p, c + i * c_i + j, c_i, bias ? bias + j : NULL,
                              first);
            else
                FN(gemm_tile)(k, rows, columns, a_i0, a_i, 1, b + j * b_j, b_p, c + i * c_i + j, c_i, bias ? bias + j : NULL,
                              first);
        }
    }
}

/* All of B (k, n) as panels. */
static void FN(gemm_pack_panels)(int64_t k, int64_t n, const T *b, int64_t b_p, int64_t b_j, T *packed)
{
    for (int64_t j = 0; j < n; j += NR)
        FN(gemm_pack_b)(k, MIN(NR, n - j), b + j * b_j, b_p, b_j, packed + j * k);
}

/* One thread's columns of one product; `packed_b` holds GEMM_KC * GEMM_NC elements, `packed_a` GEMM_KC * MR. */
static void FN(gemm_slice)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_i, int64_t a_p, const T *b, int64_t b_p,
                           int64_t b_j, T *c, int64_t c_i, const T *bias, T *packed_b, T *packed_a)
{
    for (int64_t j = 0; j < n; j += GEMM_NC(NR))
        for (int64_t p = 0; p < k; p += GEMM_KC) {
            const int64_t nc = MIN(n - j, GEMM_NC(NR)), kc = MIN(k - p, GEMM_KC);
            const int64_t in_place =
                b_j == 1 && m <= 2 * MR ? nc / NR * NR : 0; /* columns whose packing few rows would not repay */
            const T *a_p0 = a + p * a_p, *b_pj = b + p * b_p + j * b_j, *bias_j = bias ? bias + j : NULL;
            if (in_place)
                FN(gemm_panels)(m, in_place, kc, a_p0, a_i, a_p, b_pj, b_p, 1, c + j, c_i, bias_j, p == 0, packed_a);
            if (in_place == nc)
                continue;
            FN(gemm_pack_panels)(kc, nc - in_place, b_pj + in_place * b_j, b_p, b_j, packed_b);
            FN(gemm_panels)(m, nc - in_place, kc, a_p0, a_i, a_p, packed_b, NR, kc, c + j + in_place, c_i,
                            bias ? bias_j + in_place : NULL, p == 0, packed_a);
        }
}

/* What is done to results while they are in the cache:  y = f(c), with settings a and b; y stands as c does, or is c. */
typedef struct {
    T *y;
    int64_t f;
    T a, b;
} FN(gemm_then);

/* For rows x columns of c that begin `at` elements behind its first. */
static void FN(gemm_finish)(const FN(gemm_then) * then, int64_t rows, int64_t columns, const T *c, int64_t c_i, int64_t at)
{
    for (int64_t i = 0; then && i < rows; i++)
        FN(pointwise_chunk)(then->f, columns, NULL, c + at + i * c_i, then->a, then->b, then->y + at + i * c_i);
}

/* Rows of C that a thread takes at a time: as many as there are of `work` flops, not fewer than a few tiles, and no more than
 * leave something to choose. Which rows share a tile does not depend on it. */
static int64_t FN(gemm_rows)(int64_t m, int64_t n, int64_t k, int64_t threads)
{
    const int64_t enough = (int64_t)(TASK_FLOPS / MAX(1.0, 2.0 * (double)n * (double)k)), fair = m / (8 * threads);
    return MAX(GEMM_ROWS, MIN(enough, fair)) / MR * MR;
}

/* A tall product: the threads pack a block of B together, then each takes the next few rows when it is free. Neighbours in
 * time share a block of columns, which stays in the second cache. */
static void FN(gemm_tall)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_i, int64_t a_p, const T *b, int64_t b_p,
                          int64_t b_j, T *c, int64_t c_i, const T *bias, const FN(gemm_then) * then, T *packed_b, int64_t threads)
{
    const int64_t wide = GEMM_WIDE(NR), few = FN(gemm_rows)(m, n, k, threads), chunks = (m + few - 1) / few;
    for (int64_t j = 0; j < n; j += wide)
        for (int64_t p = 0; p < k; p += GEMM_KC) {
            const int64_t nw = MIN(n - j, wide), kc = MIN(k - p, GEMM_KC), blocks = (nw + GEMM_NC(NR) - 1) / GEMM_NC(NR);
            const T *a_p0 = a + p * a_p, *b_pj = b + p * b_p + j * b_j;
#pragma omp parallel num_threads((int)threads)
            {
                T *packed_a = packed_b + GEMM_KC * (wide + THREAD * MR);
#pragma omp for schedule(static)
                for (int64_t q = 0; q < nw; q += NR)
                    FN(gemm_pack_b)(kc, MIN(NR, nw - q), b_pj + q * b_j, b_p, b_j, packed_b + q * kc);
#pragma omp for schedule(dynamic)
                for (int64_t task = 0; task < blocks * chunks; task++) {
                    const int64_t q = task / chunks * GEMM_NC(NR), i = task % chunks * few;
                    const int64_t rows = MIN(m - i, few), columns = MIN(nw - q, GEMM_NC(NR));
                    FN(gemm_panels)(rows, columns, kc, a_p0 + i * a_i, a_i, a_p, packed_b + q * kc, NR, kc, c + i * c_i + j + q,
                                    c_i, bias ? bias + j + q : NULL, p == 0, packed_a);
                    if (p + kc == k)
                        FN(gemm_finish)(then, rows, columns, c, c_i, i * c_i + j + q);
                }
            }
        }
}

static int64_t FN(gemm_workspace)(int64_t threads)
{
    return GEMM_KC * (MAX(GEMM_WIDE(NR), threads * GEMM_NC(NR)) + threads * MR);
}

static void FN(gemm_run)(int64_t ny, int64_t nz, int64_t m, int64_t n, int64_t k, const T *a, int64_t a_y, int64_t a_z,
                         int64_t a_i, int64_t a_p, const T *b, int64_t b_y, int64_t b_z, int64_t b_p, int64_t b_j, T *c,
                         int64_t c_y, int64_t c_z, int64_t c_i, const T *bias, const FN(gemm_then) * then, T *workspace,
                         int64_t threads)
{
    const int64_t batch = ny * nz;
    if (batch == 1 && FN(is_gemv)(m, k, a_p, b_p, b_j)) {
        FN(gemv)(n, k, a, b, b_p, b_j, c, bias, threads);
        FN(gemm_finish)(then, 1, n, c, c_i, 0);
        return;
    }
    if (k == 0 || 2.0 * (double)batch * (double)m * (double)n * (double)k < SERIAL_FLOPS)
        threads = 1;
    if (threads > 1 && batch == 1 && m >= n) {
        FN(gemm_tall)(m, n, k, a, a_i, a_p, b, b_p, b_j, c, c_i, bias, then, workspace, threads);
        return;
    }
    /* A task is one product, or a few columns of one where there are not many more products than threads. */
    const int64_t width = batch >= 4 * threads || threads == 1 ? MAX(n, 1) : GEMM_NC(NR) / 2 / NR * NR;
    const int64_t slices = (n + width - 1) / width, tasks = batch * slices;
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < tasks; task++) {
        const int64_t y = task / slices / nz, z = task / slices % nz, j = task % slices * width, columns = MIN(n - j, width);
        const T *a_yz = a + y * a_y + z * a_z, *b_yz = b + y * b_y + z * b_z + b_j * j, *bias_j = bias ? bias + j : NULL;
        T *c_yz = c + y * c_y + z * c_z + j;
        T *packed_b = workspace + THREAD * GEMM_KC * (GEMM_NC(NR) + MR), *packed_a = packed_b + GEMM_KC * GEMM_NC(NR);
        if (k == 0)
            FN(gemm_definition)(m, columns, 0, a_yz, a_i, a_p, b_yz, b_p, b_j, c_yz, c_i, bias_j);
        else
            FN(gemm_slice)(m, columns, k, a_yz, a_i, a_p, b_yz, b_p, b_j, c_yz, c_i, bias_j, packed_b, packed_a);
        FN(gemm_finish)(then, m, columns, c, c_i, c_yz - c);
    }
}

static void FN(gemm)(int64_t ny, int64_t nz, int64_t m, int64_t n, int64_t k, const T *a, int64_t a_y, int64_t a_z, int64_t a_i,
                     int64_t a_p, const T *b, int64_t b_y, int64_t b_z, int64_t b_p, int64_t b_j, T *c, int64_t c_y, int64_t c_z,
                     int64_t c_i, const T *bias, T *workspace, int64_t threads)
{
    FN(gemm_run)(ny, nz, m, n, k, a, a_y, a_z, a_i, a_p, b, b_y, b_z, b_p, b_j, c, c_y, c_z, c_i, bias, NULL, workspace, threads);
}

/* y = f(z),  z = A B + bias */
static void FN(gemm_pointwise)(int64_t m, int64_t n, int64_t k, const T *a, int64_t a_i, int64_t a_p, const T *b, int64_t b_p,
                               int64_t b_j, T *z, const T *bias, int64_t f, T f_a, T f_b, T *y, T *workspace, int64_t threads)
{
    const FN(gemm_then) then = {y, f, f_a, f_b};
    FN(gemm_run)(1, 1, m, n, k, a, 0, 0, a_i, a_p, b, 0, 0, b_p, b_j, z, 0, 0, n, bias, &then, workspace, threads);
}
