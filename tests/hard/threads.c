/* What GCC's -fopenmp calls for `omp parallel for schedule(static)`, on POSIX threads that live for one region.
 *
 * ThreadSanitizer sees pthread_create and pthread_join, but not how libgomp's threads wait for each other: with libgomp it
 * reports races where there are none. */
#include <pthread.h>

enum { MOST = 64 };
static __thread int number, count = 1;

struct start {
    void (*body)(void *);
    void *data;
    int number, count;
};

int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);

int omp_get_thread_num(void)
{
    return number;
}

int omp_get_num_threads(void)
{
    return count;
}

int omp_get_max_threads(void)
{
    return MOST;
}

static void *begin(void *given)
{
    const struct start *start = given;
    number = start->number, count = start->count;
    start->body(start->data);
    return 0;
}

void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags)
{
    (void)flags;
    pthread_t others[MOST];
    struct start starts[MOST];
    const int all = threads < 1 ? 1 : threads < MOST ? (int)threads : MOST;
    int running = 0;
    for (int i = 1; i < all; i++) {
        starts[i] = (struct start){body, data, i, all};
        if (pthread_create(&others[i], 0, begin, &starts[i]))
            __builtin_trap(); /* every thread has a share of the work: without it the answer would be wrong */
        running = i;
    }
    number = 0, count = all;
    body(data);
    count = 1;
    for (int i = 1; i <= running; i++)
        pthread_join(others[i], 0);
}
