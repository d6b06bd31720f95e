#define ISA_TABLE mv_kernels_avx2
#include "isa.inc.c"
