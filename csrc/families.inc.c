/* Every kernel family, for the element type T that is defined where this file is included. */
#define VL ((int64_t)(sizeof(vec) / sizeof(T)))
#include "math.inc.c"
#include "elementwise.inc.c"
#include "gemm.inc.c"
#include "conv.inc.c"
#include "depthwise.inc.c"
#include "attention.inc.c"
#include "norm.inc.c"
#include "channels.inc.c"
#include "batch_norm.inc.c"
#include "softmax.inc.c"
#include "cross_entropy.inc.c"
#include "copy.inc.c"
#include "embedding.inc.c"
#include "optim.inc.c"
#include "peak.inc.c"
#include "pool.inc.c"
#undef VL
