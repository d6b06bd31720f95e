/* What GCC's -fopenmp calls for a parallel region with at most one loop of schedule(dynamic), and loops of schedule(static) and
 * barriers before it, on POSIX threads that live for one region.
 *
 * ThreadSanitizer sees pthread_create and pthread_join, but not how libgomp's threads wait for each other: with libgomp it
 * reports races where there are none. */
#include <pthread.h>

enum { MOST = 64 };
static __thread int number, count = 1;
static pthread_barrier_t all_here;
/* The region's dynamic loop: every thread sets the same end and steps, which are taken from `done` on. */
static long done, first, last, step, chunk;

struct start {
    void (*body)(void *);
    void *data;
    int number, count;
};

int omp_get_thread_num(void);
int omp_get_num_threads(void);
int omp_get_max_threads(void);
void GOMP_parallel(void (*body)(void *), void *data, unsigned threads, unsigned flags);
void GOMP_barrier(void);
_Bool GOMP_loop_nonmonotonic_dynamic_start(long from, long to, long by, long some, long *begin, long *end);
_Bool GOMP_loop_nonmonotonic_dynamic_next(long *begin, long *end);
void GOMP_loop_end_nowait(void);
void GOMP_loop_end(void);
void GOMP_parallel_loop_nonmonotonic_dynamic(void (*body)(void *), void *data, unsigned threads, long from, long to, long by,
                                             long some, unsigned flags);

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
    __atomic_store_n(&done, 0, __ATOMIC_RELAXED);
    pthread_barrier_init(&all_here, 0, (unsigned)all);
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
    pthread_barrier_destroy(&all_here);
}

void GOMP_barrier(void)
{
    pthread_barrier_wait(&all_here);
}

static void loop(long from, long to, long by, long some)
{
    __atomic_store_n(&first, from, __ATOMIC_RELAXED);
    __atomic_store_n(&last, to, __ATOMIC_RELAXED);
    __atomic_store_n(&step, by, __ATOMIC_RELAXED);
    __atomic_store_n(&chunk, some, __ATOMIC_RELAXED);
}

_Bool GOMP_loop_nonmonotonic_dynamic_start(long from, long to, long by, long some, long *begin, long *end)
{
    loop(from, to, by, some);
    return GOMP_loop_nonmonotonic_dynamic_next(begin, end);
}

/* Relaxed on purpose: taking work puts no order between the threads, so that a race in the work itself is seen. */
_Bool GOMP_loop_nonmonotonic_dynamic_next(long *begin, long *end)
{
    const long from = __atomic_load_n(&first, __ATOMIC_RELAXED), to = __atomic_load_n(&last, __ATOMIC_RELAXED);
    const long by = __atomic_load_n(&step, __ATOMIC_RELAXED) * __atomic_load_n(&chunk, __ATOMIC_RELAXED);
    *begin = from + by * __atomic_fetch_add(&done, 1, __ATOMIC_RELAXED);
    *end = *begin + by < to ? *begin + by : to;
    return *begin < to;
}

void GOMP_loop_end_nowait(void)
{
}

void GOMP_loop_end(void)
{
    GOMP_barrier();
}

void GOMP_parallel_loop_nonmonotonic_dynamic(void (*body)(void *), void *data, unsigned threads, long from, long to, long by,
                                             long some, unsigned flags)
{
    loop(from, to, by, some);
    GOMP_parallel(body, data, threads, flags);
}
