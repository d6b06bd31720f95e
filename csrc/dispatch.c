/* Picks the kernels of the best instruction set that this processor has; the caller may lower it, never raise it. */
#include "api.h"
#include <stdlib.h>
#include <string.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

extern const struct mv_kernels mv_kernels_base;
#if defined(MV_BASE_ONLY) /* the test builds with a planted fault: one instruction set is enough to show it */
#elif defined(__x86_64__)
extern const struct mv_kernels mv_kernels_avx2, mv_kernels_avx512;
#elif defined(__aarch64__)
extern const struct mv_kernels mv_kernels_neon;
#endif

static const struct mv_kernels *table = &mv_kernels_base;

/* Instruction sets from best to base; NULL where this processor lacks it. */
static const struct mv_kernels *kernels_of(const char *isa)
{
#if defined(MV_BASE_ONLY)
#elif defined(__x86_64__)
    __builtin_cpu_init();
    if (!strcmp(isa, "avx512"))
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("fma")
                   ? &mv_kernels_avx512
                   : NULL;
    if (!strcmp(isa, "avx2"))
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &mv_kernels_avx2 : NULL;
#elif defined(__aarch64__)
    if (!strcmp(isa, "neon"))
        return &mv_kernels_neon;
#endif
    return !strcmp(isa, "base") ? &mv_kernels_base : NULL;
}

int mv_select_isa(const char *isa)
{
    const struct mv_kernels *found = kernels_of(isa);
    if (found)
        table = found;
    return found != NULL;
}

int mv_has_openmp(void)
{
#ifdef _OPENMP
    return 1;
#else
    return 0;
#endif
}

/* Every operation makes new arrays. By default glibc gives those above 128 kB back to the system when they are freed, and
 * the next operation waits for the same pages once more: a third of a small model's training step. Arrays of up to
 * 32 MB (as much as glibc allows) stay in this process instead, until 1 GB of them lies idle. */
void mv_keep_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);
    mallopt(M_TRIM_THRESHOLD, 1 << 30);
#endif
}

#include "wrappers.inc.c"
