#define ISA_TABLE mv_kernels_neon
#include "isa.inc.c"
