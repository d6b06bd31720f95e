#define ISA_TABLE mv_kernels_avx512
#include "isa.inc.c"
