/* Softmax attention:  y = softmax(scale q k^T + mask) v   (Vaswani et al. 2017, eq. 1).   2 m n (d + e) multiply-adds.
 *
 *   z        batch (two axes y, z outside)      i  query, 0..m      j  key, 0..n      d, e  widths of keys, of values
 *   s_ij     scores        p_ij  weights        lse_i = log sum_j exp s_ij  (infinity for a query that sees no key)
 *
 * The forward pass holds ATTENTION_ROWS rows of scores at a time and keeps only y and lse; the backward pass makes p
 * again from lse (Dao et al. 2022). Keys and values of one head are packed once and meet every block of rows. */

/* The definition, one head. */
static void FN(attention_definition)(int64_t m, int64_t n, int64_t d, int64_t e, const T *q, int64_t q_i, const T *k, int64_t k_j,
                                     const T *v, int64_t v_j, const T *mask, int64_t mask_i, int64_t mask_j, int causal, T scale,
                                     T *y, T *lse)
{
    for (int64_t i = 0; i < m; i++) {
        T top = -(T)INFINITY, total = 0;
        for (int pass = 0; pass < 3; pass++) { /* the largest score, the sum, the weighted mean */
            if (pass == 2)
                memset(y + i * e, 0, (size_t)e * sizeof(T));
            for (int64_t j = 0; j < (causal ? MIN(n, i + 1) : n); j++) {
                T s = mask ? mask[i * mask_i + j * mask_j] : 0;
                for (int64_t c = 0; c < d; c++)
                    s += scale * q[i * q_i + c] * k[j * k_j + c];
                if (pass == 0)
                    top = MAX(top, s);
                else if (pass == 1)
                    total += (T)exp((double)(s - top));
                else
                    for (int64_t c = 0; c < e; c++)
                        y[i * e + c] += (T)exp((double)(s - top)) / total * v[j * v_j + c];
            }
        }
        lse[i] = top + (T)log((double)total);
    }
}

#define PADDED(n) (((n) + NR - 1) / NR * NR)

/* One head's arrays; x_s are the strides of x along (y, z, row, column), where columns of results are dense. */
typedef struct {
    int64_t m, n, d, e;
    const T *q, *k, *v, *mask, *dy;
    const int64_t *q_s, *k_s, *v_s, *mask_s, *dy_s;
    int causal;
    T scale;
    T *y, *dq, *dk, *dv, *dmask;
    const int64_t *y_s, *dq_s, *dk_s, *dv_s, *dmask_s;
} FN(head);

#define AT(x) all.x = all.x ? all.x + y * all.x##_s[0] + z * all.x##_s[1] : NULL
static FN(head) FN(head_at)(FN(head) all, int64_t y, int64_t z)
{
    AT(q), AT(k), AT(v), AT(mask), AT(dy), AT(y), AT(dq), AT(dk), AT(dv);
    return all;
}
#undef AT

/* A head's rows in blocks of about equal size, whole tiles, none above ATTENTION_ROWS. */
static int64_t FN(attention_block)(int64_t m)
{
    const int64_t blocks = (m + ATTENTION_ROWS - 1) / ATTENTION_ROWS, rows = blocks ? (m + blocks - 1) / blocks : 1;
    return (rows + MR - 1) / MR * MR;
}

/* s = scale s + mask for one row, -inf for the keys from `seen` on; returns the largest. */
INLINE T FN(attention_scores)(const FN(head) * h, int64_t i, int64_t seen, T *s)
{
    const T *mask = h->mask ? h->mask + i * h->mask_s[2] : NULL;
    const int64_t mask_j = h->mask ? h->mask_s[3] : 0;
    vec top = FN(splat)(-(T)INFINITY);
    for (int64_t j = 0; j < seen; j += VL) {
        vec x = *(vec *)(s + j) * h->scale;
        if (mask && mask_j == 1)
            x += FN(load)(mask + j, seen - j);
        else if (mask)
            for (int64_t l = 0; l < MIN(VL, seen - j); l++)
                x[l] += mask[(j + l) * mask_j];
        *(vec *)(s + j) = x;
    }
    for (int64_t j = seen; j < PADDED(h->n); j++)
        s[j] = -(T)INFINITY;
    for (int64_t j = 0; j < seen; j += VL)
        top = FN(vmax)(*(vec *)(s + j), top);
    return FN(max_lanes)(top);
}

/* s = exp(s - shift); returns the sum. A row that sees no key has shift -inf and weights 0. */
INLINE T FN(attention_weights)(int64_t padded, T shift, T *s)
{
    const T by = shift == -(T)INFINITY ? 0 : shift;
    vec total = {0};
    for (int64_t j = 0; j < padded; j += VL) {
        vec p = FN(vexp)(*(vec *)(s + j) - by);
        *(vec *)(s + j) = p;
        total += p;
    }
    return FN(sum_lanes)(total);
}

/* y and lse of the queries from i0 to i1 of one head, whose keys and values are packed. */
static void FN(attention_rows)(const FN(head) * h, int64_t i0, int64_t i1, const T *k_packed, const T *v_packed, T *lse,
                               T *scores, T *packed_a)
{
    const int64_t width = PADDED(h->n), keys = h->causal ? MIN(h->n, i1) : h->n;
    FN(gemm_panels)(i1 - i0, PADDED(keys), h->d, h->q + i0 * h->q_s[2], h->q_s[2], h->q_s[3], k_packed, NR, h->d, scores, width,
                    NULL, 1, packed_a);
    for (int64_t i = i0; i < i1; i++) {
        T *s = scores + (i - i0) * width;
        const T top = FN(attention_scores)(h, i, h->causal ? MIN(h->n, i + 1) : h->n, s);
        const T total = FN(attention_weights)(PADDED(keys), top, s);
        lse[i] = total == 0 ? (T)INFINITY : top + (T)log((double)total);
        const T inverse = total == 0 ? 0 : 1 / total;
        for (int64_t j = 0; j < keys; j += VL)
            *(vec *)(s + j) *= inverse;
    }
    FN(gemm_panels)(i1 - i0, h->e, keys, scores, width, 1, v_packed, NR, h->n, h->y + i0 * h->y_s[2], h->y_s[2], NULL, 1,
                    packed_a);
}

static int64_t FN(attention_workspace)(int64_t n, int64_t d, int64_t e, int64_t threads)
{
    const int64_t packed = PADDED(n) * (d + e) + PADDED(MAX(d, e)) * (n + 2 * ATTENTION_ROWS);
    return threads * (packed + 2 * ATTENTION_ROWS * PADDED(n) + MR * (n + d + e + ATTENTION_ROWS));
}

INLINE int64_t FN(thread_number)(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

static int64_t FN(attention_threads)(int64_t heads, const FN(head) * h, int64_t threads)
{
    const double flops = 2.0 * (double)heads * (double)h->m * (double)h->n * (double)(h->d + h->e);
    return flops < SERIAL_FLOPS / 4 ? 1 : threads; /* and as much for softmax */
}

static void FN(attention)(int64_t ny, int64_t nz, int64_t m, int64_t n, int64_t d, int64_t e, const T *q, const int64_t *q_s,
                          const T *k, const int64_t *k_s, const T *v, const int64_t *v_s, const T *mask, const int64_t *mask_s,
                          int causal, T scale, T *y, const int64_t *y_s, T *lse, T *workspace, int64_t threads)
{
    const FN(head) all = {m, n, d, e, q, k, v, mask, NULL, q_s, k_s, v_s, mask_s, NULL, causal, scale, .y = y, .y_s = y_s};
    const int64_t heads = ny * nz, rows = FN(attention_block)(m), blocks = (m + rows - 1) / rows;
    threads = FN(attention_threads)(heads, &all, threads);
    const int64_t splits = heads >= threads ? 1 : MIN(blocks, threads); /* of one head's blocks of rows */
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < heads * splits; task++) {
        const int64_t z = task / splits, split = task % splits;
        const FN(head) h = FN(head_at)(all, z / nz, z % nz);
        T *k_packed = workspace + FN(thread_number)() * FN(attention_workspace)(n, d, e, 1);
        T *v_packed = k_packed + PADDED(n) * d, *scores = v_packed + PADDED(e) * n;
        T *packed_a = scores + ATTENTION_ROWS * PADDED(n);
        FN(gemm_pack_panels)(d, n, h.k, k_s[3], k_s[2], k_packed);
        FN(gemm_pack_panels)(n, e, h.v, v_s[2], v_s[3], v_packed);
        for (int64_t b = blocks * split / splits; b < blocks * (split + 1) / splits; b++)
            FN(attention_rows)(&h, b * rows, MIN(m, (b + 1) * rows), k_packed, v_packed, lse + z * m, scores, packed_a);
    }
}

/* <dy, y> of one query. */
INLINE T FN(attention_dot)(const FN(head) * h, int64_t i)
{
    const T *dy = h->dy + i * h->dy_s[2], *y = h->y + i * h->y_s[2];
    vec sum = {0};
    T rest = 0;
    int64_t c = 0;
    for (; h->dy_s[3] == 1 && c + VL <= h->e; c += VL)
        sum += *(const vec *)(dy + c) * *(const vec *)(y + c);
    for (; c < h->e; c++)
        rest += dy[c * h->dy_s[3]] * y[c];
    return rest + FN(sum_lanes)(sum);
}

/* p = exp(s - lse);  ds = p (dy v^T - <dy, y>);  dmask += ds for one query; ds is left times scale. */
INLINE void FN(attention_row_vjp)(const FN(head) * h, int64_t i, int64_t keys, T lse, T *p, T *ds)
{
    const T dot = FN(attention_dot)(h, i);
    FN(attention_scores)(h, i, h->causal ? MIN(h->n, i + 1) : h->n, p);
    FN(attention_weights)(PADDED(keys), lse, p);
    for (int64_t j = 0; j < keys; j += VL)
        *(vec *)(ds + j) = *(vec *)(p + j) * (*(vec *)(ds + j) - dot);
    T *dmask = h->dmask ? h->dmask + i * h->dmask_s[2] : NULL;
    for (int64_t j = 0; dmask && j < keys; j += VL)
        FN(store)(dmask + j, keys - j, FN(load)(dmask + j, keys - j) + *(vec *)(ds + j));
    for (int64_t j = 0; j < keys; j += VL)
        *(vec *)(ds + j) *= h->scale;
}

/* dv += p^T dy,  dk += ds^T q,  dq = ds k   for one block of rows. */
static void FN(attention_rows_vjp)(const FN(head) * h, int64_t i0, int64_t i1, const T *kt, const T *vt, const T *k_packed,
                                   const T *lse, T *space)
{
    const int64_t d = h->d, e = h->e, width = PADDED(h->n), keys = h->causal ? MIN(h->n, i1) : h->n, rows = i1 - i0;
    const T *q = h->q + i0 * h->q_s[2], *dy = h->dy + i0 * h->dy_s[2];
    T *p = space, *ds = p + ATTENTION_ROWS * width, *packed = ds + ATTENTION_ROWS * width;
    T *packed_a = packed + PADDED(MAX(d, e)) * ATTENTION_ROWS;
    FN(gemm_panels)(rows, PADDED(keys), d, q, h->q_s[2], h->q_s[3], kt, NR, d, p, width, NULL, 1, packed_a);
    FN(gemm_panels)(rows, PADDED(keys), e, dy, h->dy_s[2], h->dy_s[3], vt, NR, e, ds, width, NULL, 1, packed_a);
    for (int64_t i = 0; i < rows; i++)
        FN(attention_row_vjp)(h, i0 + i, keys, lse[i0 + i], p + i * width, ds + i * width);
    FN(gemm_panels)(rows, d, keys, ds, width, 1, k_packed, NR, h->n, h->dq + i0 * h->dq_s[2], h->dq_s[2], NULL, 1, packed_a);
    FN(gemm_pack_panels)(rows, e, dy, h->dy_s[2], h->dy_s[3], packed);
    FN(gemm_panels)(keys, e, rows, p, 1, width, packed, NR, rows, h->dv, h->dv_s[2], NULL, i0 == 0, packed_a);
    FN(gemm_pack_panels)(rows, d, q, h->q_s[2], h->q_s[3], packed);
    FN(gemm_panels)(keys, d, rows, ds, 1, width, packed, NR, rows, h->dk, h->dk_s[2], NULL, i0 == 0, packed_a);
}

/* dk and dv of the keys that a causal first block of rows does not reach begin at 0. */
static void FN(attention_clear)(const FN(head) * h, int64_t rows)
{
    for (int64_t j = h->causal ? MIN(h->n, rows) : h->n; j < h->n; j++) {
        memset(h->dk + j * h->dk_s[2], 0, (size_t)h->d * sizeof(T));
        memset(h->dv + j * h->dv_s[2], 0, (size_t)h->e * sizeof(T));
    }
}

/* dmask holds `chunks` sums for each z, over the y of a chunk: borders that no number of threads moves. */
static void FN(attention_vjp)(int64_t ny, int64_t nz, int64_t m, int64_t n, int64_t d, int64_t e, const T *q, const int64_t *q_s,
                              const T *k, const int64_t *k_s, const T *v, const int64_t *v_s, const T *mask,
                              const int64_t *mask_s, int causal, T scale, const T *y, const int64_t *y_s, const T *lse,
                              const T *dy, const int64_t *dy_s, T *dq, const int64_t *dq_s, T *dk, const int64_t *dk_s, T *dv,
                              const int64_t *dv_s, T *dmask, int64_t chunks, T *workspace, int64_t threads)
{
    const int64_t dmask_s[3] = {nz * m * n, m * n, n}, block = FN(attention_block)(m);
    const FN(head) all = {m,    n,      d,     e,      q,  k,  v,  mask,  dy,  q_s,  k_s,  v_s,  mask_s,
                          dy_s, causal, scale, (T *)y, dq, dk, dv, dmask, y_s, dq_s, dk_s, dv_s, dmask_s};
    threads = FN(attention_threads)(3 * ny * nz, &all, threads);
#pragma omp parallel for schedule(dynamic) num_threads((int)threads) if (threads > 1)
    for (int64_t task = 0; task < chunks * nz; task++) {
        const int64_t chunk = task / nz, z = task % nz;
        for (int64_t y_ = ny * chunk / chunks; y_ < ny * (chunk + 1) / chunks; y_++) {
            FN(head) h = FN(head_at)(all, y_, z);
            h.dmask = dmask ? dmask + chunk * dmask_s[0] + z * dmask_s[1] : NULL;
            if (dmask && y_ == ny * chunk / chunks)
                memset(h.dmask, 0, (size_t)(m * n) * sizeof(T));
            T *kt = workspace + FN(thread_number)() * FN(attention_workspace)(n, d, e, 1);
            T *vt = kt + PADDED(n) * d, *k_packed = vt + PADDED(n) * e, *space = k_packed + PADDED(d) * n;
            FN(gemm_pack_panels)(d, n, h.k, k_s[3], k_s[2], kt);
            FN(gemm_pack_panels)(e, n, h.v, v_s[3], v_s[2], vt);
            FN(gemm_pack_panels)(n, d, h.k, k_s[2], k_s[3], k_packed);
            FN(attention_clear)(&h, MIN(m, block));
            for (int64_t i = 0; i < m; i += block)
                FN(attention_rows_vjp)(&h, i, MIN(m, i + block), kt, vt, k_packed, lse + (y_ * nz + z) * m, space);
        }
    }
}

#undef PADDED
