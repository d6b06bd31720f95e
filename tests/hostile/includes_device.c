/* Compiles what never ends. must: compiler slow died */
#include "/dev/zero"
void gemm(void)
{
    int x = 1;
}
