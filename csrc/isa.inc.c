/* One instruction set: block sizes from the compiler's own macros, then each family for float and for double. */
#include "api.h"
#include "simd.h"

#if defined(__AVX512F__)
#define MR 12
#define NV 2
#elif defined(__AVX2__)
#define MR 6
#define NV 2
#elif defined(__aarch64__)
#define MR 8
#define NV 3
#else
#define MR 4
#define NV 2
#endif

#ifdef MV_SMALL_BLOCKS /* the test build: every loop over blocks turns several times on small arrays */
#define GEMM_KC 8
#define GEMM_PACK 4
#define GEMM_NC(nr) (2 * (nr))
#define GEMM_WIDE(nr) (4 * (nr))
#define GEMM_ROWS (2 * MR)
#define GEMV_GROUPS 1
#define ATTENTION_ROWS MR
#define DEPTHWISE_TILE 2
#define WINOGRAD_CHANNELS 1
#define WINOGRAD_MOST 64
#define WINOGRAD_PIXELS 1
#define WINOGRAD_ROWS 2
#define WINOGRAD_BYTES 2000
#define WINOGRAD_TILES ((int64_t)3)
#define WINOGRAD_SIDE ((int64_t)(2 * MR))
#define SUM_BLOCK 2
#define TASK_FLOPS 0
#define SERIAL_FLOPS 0
#define SERIAL_ELEMENTS 0
#else
#define GEMM_KC 384
#define GEMM_PACK 16
#define GEMM_NC(nr) ((768 / (nr)) * (nr))
#define GEMM_WIDE(nr) (3 * GEMM_NC(nr))
#define GEMM_ROWS (4 * MR)
#define GEMV_GROUPS 8 /* of columns that a thread takes at a time, at most */
#define ATTENTION_ROWS (60 / MR * MR)
#define DEPTHWISE_TILE 7 /* images have sides of 224, 112, 56, 28, 14, 7 */
#define WINOGRAD_CHANNELS 16
#define WINOGRAD_MOST 1024
#define WINOGRAD_PIXELS 256
#define WINOGRAD_ROWS 4
#define WINOGRAD_BYTES 400000
#define WINOGRAD_TILES ((int64_t)32)
#define WINOGRAD_SIDE ((int64_t)96)
#define SUM_BLOCK 64
/* Less work than this stays on one thread: waking another costs microseconds, and milliseconds where other programs hold
 * the processors. */
#define SERIAL_FLOPS 8e6
#define TASK_FLOPS 2e6 /* beside which a turn at the common counter costs nothing */
#define SERIAL_ELEMENTS 100000
#endif

#define T float
#define vec vec_f32
#define ivec ivec_f32
#define FN(name) name##_f32
#define T_IS_F32 1
#include "families.inc.c"
#undef T
#undef vec
#undef ivec
#undef FN
#undef T_IS_F32

#ifdef MV_FLOAT_ALONE /* test builds with a planted fault have the true kernels' doubles, which are compiled once */
extern const struct mv_kernels mv_kernels_true;
struct mv_kernels ISA_TABLE;

__attribute__((constructor)) static void plant(void)
{
    ISA_TABLE = mv_kernels_true;
    MV_SET_F32(ISA_TABLE)
}
#else
#define T double
#define vec vec_f64
#define ivec ivec_f64
#define FN(name) name##_f64
#define T_IS_F32 0
#include "families.inc.c"
#undef T
#undef vec
#undef ivec
#undef FN
#undef T_IS_F32

const struct mv_kernels ISA_TABLE = {MV_TABLE};
#endif
