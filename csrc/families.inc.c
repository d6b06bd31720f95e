/* Every kernel family, for the element type T that is defined where this file is included. */
#define VL ((int64_t)(sizeof(vec) / sizeof(T)))
#include "gemm.inc.c"
#undef VL
