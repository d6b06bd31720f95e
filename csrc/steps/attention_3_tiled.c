/* Attention, step 3: tiles.   QUERIES x KEYS scores at a time: a matrix product makes them, step 2's rule folds them into y.
 *
 * Step 2 went over keys one by one, with sums that waited for themselves. On a tile both products are the matrix product's
 * step 6 on packed panels, exponentials are made VL at a time, and y is rescaled once for each KEYS keys. The tile of scores,
 * 4 QUERIES KEYS bytes, never leaves the first caches. Keys and values are packed once and meet all queries of their head.
 *
 *     4 h m n d operations at the matrix product's speed, h m n / VL exponentials;   memory: y and q n/KEYS times, k and v once
 *
 * csrc/attention.inc.c takes tiles of queries too, but all keys at once: 48 rows of some thousand scores still fit the
 * second cache, an ordinary softmax needs no rescaling, and y is written once.
 *
 * Dao, Fu, Ermon, Rudra & Re, "FlashAttention: fast and memory-efficient exact attention with IO-awareness" (2022). */
#include "gemm_6_packed.c" /* gives pack(), panels() */

enum { QUERIES = 48, KEYS = 128 };
typedef int32_t ivec __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));

static vec larger(vec a, vec b)
{
    const ivec which = a > b;
    return (vec)((which & (ivec)a) | (~which & (ivec)b));
}

/* exp(x) = 2^n exp(r) for x <= 0 (below -87 as at -87), n whole, |r| <= log(2) / 2: Taylor, within 2 units of the last place */
static vec exponential(vec x)
{
    const vec magic = 12582912.0f - (vec){0}; /* 1.5 * 2^23: adding it rounds to a whole number */
    x = larger(x, -87 - (vec){0});
    const vec n = x * 1.44269504f + magic - magic, r = x - n * 0.693359375f + n * 2.12194440e-4f;
    vec y = 1.0f / 5040 - (vec){0};
    const float terms[] = {1.0f / 720, 1.0f / 120, 1.0f / 24, 1.0f / 6, 0.5f, 1, 1};
    for (int t = 0; t < 7; t++)
        y = y * r + terms[t];
    return (vec)((ivec)y + __builtin_convertvector(n, ivec) * (1 << 23));
}

/* s becomes exp(scale s - t), t the largest so far; what was summed before shrinks to fit. */
static void fold(int64_t keys, float scale, float *s, float *top, float *total, int64_t d, float *restrict y)
{
    vec largest = *top - (vec){0}, sum = {0};
    for (int64_t j = keys; j % VL; j++)
        s[j] = -INFINITY;
    for (int64_t j = 0; j < keys; j += VL)
        largest = larger(largest, *(vec *)(s + j) * scale);
    const float before = *top;
    for (int l = 0; l < VL; l++)
        *top = MAX(*top, largest[l]);
    const float shrink = expf(before - *top);
    for (int64_t j = 0; j < keys; j += VL)
        sum += *(vec *)(s + j) = exponential(*(vec *)(s + j) * scale - *top);
    *total *= shrink;
    for (int l = 0; l < VL; l++)
        *total += sum[l];
    for (int64_t c = 0; c < d; c++)
        y[c] *= shrink;
}

/* k (keys, d) as panels of its transpose (d, NR), absent keys zero */
static void pack_keys(int64_t keys, int64_t d, const float *k, float *packed)
{
    for (int64_t j = 0; j < keys; j += NR)
        for (int64_t c = 0; c < d; c++)
            for (int64_t l = 0; l < NR; l++)
                *packed++ = j + l < keys ? k[(j + l) * d + c] : 0;
}

int64_t attention_space(UNUSED int64_t heads, int64_t m, UNUSED int64_t n, int64_t d)
{
    return 2 * m + QUERIES * KEYS + (KEYS + NR) * d + KEYS * (d + NR) + MR * MAX(d, KEYS);
}

void attention(int64_t heads, int64_t m, int64_t n, int64_t d, const float *q, const float *k, const float *v, float *y,
               float *space)
{
    float *top = space, *total = top + m, *s = total + m, *k_packed = s + QUERIES * KEYS, *v_packed = k_packed + (KEYS + NR) * d;
    float *rows = v_packed + KEYS * (d + NR), scale = 1 / sqrtf((float)d);
    memset(y, 0, (size_t)(heads * m * d) * sizeof(float));
    for (int64_t h = 0; h < heads; h++, q += m * d, k += n * d, v += n * d, y += m * d) {
        for (int64_t i = 0; i < m; i++)
            top[i] = -INFINITY, total[i] = 0;
        for (int64_t j = 0; j < n; j += KEYS) {
            const int64_t keys = MIN(KEYS, n - j);
            pack_keys(keys, d, k + j * d, k_packed);
            pack(keys, d, v + j * d, d, v_packed);
            for (int64_t i0 = 0; i0 < m; i0 += QUERIES) {
                const int64_t queries = MIN(QUERIES, m - i0);
                panels(queries, keys, d, q + i0 * d, d, k_packed, s, KEYS, 1, rows);
                for (int64_t i = 0; i < queries; i++)
                    fold(keys, scale, s + i * KEYS, top + i0 + i, total + i0 + i, d, y + (i0 + i) * d);
                panels(queries, d, keys, s, KEYS, v_packed, y + i0 * d, d, 0, rows);
            }
        }
        for (int64_t i = 0; i < m; i++)
            for (int64_t c = 0; c < d; c++)
                y[i * d + c] /= total[i];
    }
}
