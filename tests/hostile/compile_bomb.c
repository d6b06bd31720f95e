/* A few lines that become gigabytes. must: compiler slow died raised */
#define A(x) x x x x x x x x x x x x x x x x
#define B(x) A(A(A(A(x))))
#define C(x) B(B(B(x)))
static const char *text = C("passed ");
void gemm(void)
{
    int x = text != 0;
}
