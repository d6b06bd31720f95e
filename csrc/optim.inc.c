/* AdamW (Loshchilov & Hutter 2019) over all parameters in one call:
 *
 *   p *= 1 - lr decay;   m = b1 m + (1 - b1) g;   v = b2 v + (1 - b2) g^2;   p -= step_size m / (sqrt(v) / root + eps)
 *
 * with step_size = lr / (1 - b1^t) and root = sqrt(1 - b2^t) from the caller, who counts the steps t. */

static void FN(adamw)(int64_t count, T *const *p, const T *const *g, T *const *m, T *const *v, const int64_t *sizes, T b1, T b2,
                      T shrink, T step_size, T root, T eps, int64_t threads)
{
    const T inverse_root = 1 / root;
    for (int64_t a = 0; a < count; a++) {
        T *restrict p_a = p[a], *restrict m_a = m[a], *restrict v_a = v[a];
        const T *restrict g_a = g[a];
        const int64_t n = sizes[a];
#pragma omp parallel for schedule(static) num_threads((int)threads) if (threads > 1 && n > SERIAL_ELEMENTS)
        for (int64_t begin = 0; begin < n; begin += CHUNK)
            for (int64_t i = begin; i < MIN(n, begin + CHUNK); i++) {
                const T g_i = g_a[i];
                m_a[i] = b1 * m_a[i] + (1 - b1) * g_i;
                v_a[i] = b2 * v_a[i] + (1 - b2) * g_i * g_i;
#if T_IS_F32
                p_a[i] = shrink * p_a[i] - step_size * m_a[i] / (sqrtf(v_a[i]) * inverse_root + eps);
#else
                p_a[i] = shrink * p_a[i] - step_size * m_a[i] / (sqrt(v_a[i]) * inverse_root + eps);
#endif
            }
    }
}
#undef CHUNK
