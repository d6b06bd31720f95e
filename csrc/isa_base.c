#define ISA_TABLE mv_kernels_base
#include "isa.inc.c"
