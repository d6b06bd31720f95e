/* The kernels of one processor's instruction sets against their definitions in double, as a program without Python: for
 * processors that an emulator runs. `driver [fault]` ends with status 0, or with 3 after naming what is out of its bound;
 * with `fault` the first element of each result is moved by twice its bound, and each must be found (4 if not).
 *
 * Bounds are those of rounding errors, Higham 2002, eq. 3.5: (count + 1) u times the same sum of absolute values. */
#include "api.h"
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define COUNT(list) ((int64_t)(sizeof(list) / sizeof((list)[0])))
#define THREADS 2

static _Alignas(64) char arena[1 << 26];
static size_t used;
static int64_t checks, failures, planted;
static uint64_t state = 88172645463325252u;

/* Memory until the next reset, not on a cache line, with NaN (or nonsense) behind it for whoever reads too far. */
static void *take(int64_t count, int64_t size)
{
    char *start = arena + used;
    const size_t bytes = (size_t)(count * size);
    used += (bytes + 256) / 16 * 16 + 16;
    if (used > sizeof arena) {
        puts("the arena is too small");
        exit(1);
    }
    memset(start, 0xff, bytes + 128);
    return start;
}

/* Between -1 and 1 (Marsaglia 2003). */
static double draw(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return (double)(int64_t)state * 0x1p-63;
}

static int64_t below(int64_t n)
{
    return (int64_t)((draw() * 0.5 + 0.5) * (double)n) % n;
}

static double *doubles(int64_t n)
{
    return memset(take(n, 8), 0, (size_t)n * 8);
}

/* One axis of a pooling, as kernels/pool_windows.py makes it. */
static int64_t *windows(int64_t size, int64_t kernel, int64_t stride, int64_t pad)
{
    const int64_t count = (size + 2 * pad - kernel) / stride + 1;
    int64_t *table = take(4 + 3 * count + 2 * size, 8), *begin = table + 4, *first = begin + 3 * count;
    table[0] = size, table[1] = count, table[2] = 1, table[3] = kernel;
    for (int64_t p = 0; p < count; p++) {
        begin[p] = p * stride - pad;
        begin[count + p] = begin[p] < 0 ? 0 : begin[p];
        begin[2 * count + p] = begin[p] + kernel < size ? begin[p] + kernel : size;
    }
    for (int64_t h = 0; h < size; h++) {
        first[h] = first[size + h] = 0;
        for (int64_t p = 0; p < count; p++)
            first[h] += begin[2 * count + p] <= h, first[size + h] += begin[p] <= h;
    }
    return table;
}

#define T float
#define FN(name) name##_f32
#define MV(name) mv_##name##_f32
#define EPSILON ((double)FLT_EPSILON)
#include "driver.inc.c"
#undef T
#undef FN
#undef MV
#undef EPSILON

#define T double
#define FN(name) name##_f64
#define MV(name) mv_##name##_f64
#define EPSILON (2 * DBL_EPSILON) /* what it is compared with errs as much */
#include "driver.inc.c"

int main(int count, char **arguments)
{
    static const char *isas[] = {"neon", "avx512", "avx2", "base"};
    planted = count > 1 && !strcmp(arguments[1], "fault");
    for (int i = 0; i < 4; i++)
        if (mv_select_isa(isas[i])) {
            const int64_t before = checks;
            all_f32();
            all_f64();
            printf("   %s: %lld results compared, %lld out of bounds\n", isas[i], (long long)(checks - before),
                   (long long)failures);
            return planted ? (failures == checks ? 3 : 4) : failures ? 3 : 0;
        }
    return 1;
}
