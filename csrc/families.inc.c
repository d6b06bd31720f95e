/* Every kernel family, for the element type T that is defined where this file is included. */
#define VL ((int64_t)(sizeof(vec) / sizeof(T)))
#include "math.inc.c"
#include "gemm.inc.c"
#include "conv.inc.c"
#include "depthwise.inc.c"
#include "attention.inc.c"
#include "norm.inc.c"
#include "elementwise.inc.c"
#include "optim.inc.c"
#include "peak.inc.c"
#undef VL
