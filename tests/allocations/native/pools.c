// Threads that never see Python: a pool is started by one caller, waits, and works for whoever asks, so that it is known to the
// block which thread allocated after all of them were there.
#include <pthread.h>
#include <stdlib.h>

#define MOST 64

struct pool {
    pthread_t threads[MOST];
    int n;
    pthread_barrier_t go, done;
    size_t size, each;
    void **out;
};

struct worker {
    struct pool *pool;
    int number;
};

static void *work(void *argument)
{
    struct worker worker = *(struct worker *)argument;
    struct pool *pool = worker.pool;
    for (;;) {
        pthread_barrier_wait(&pool->go);
        if (!pool->each)
            return NULL;
        for (size_t i = 0; i < pool->each; i++)
            pool->out[worker.number * pool->each + i] = malloc(pool->size);
        pthread_barrier_wait(&pool->done);
    }
}

struct pool *pool_start(int n)
{
    static struct worker workers[1024];
    static int used;
    struct pool *pool = calloc(1, sizeof *pool);
    pool->n = n;
    pthread_barrier_init(&pool->go, NULL, n + 1);
    pthread_barrier_init(&pool->done, NULL, n + 1);
    for (int i = 0; i < n; i++) {
        struct worker *worker = &workers[used++ % 1024];
        *worker = (struct worker){pool, i};
        pthread_create(&pool->threads[i], NULL, work, worker);
    }
    return pool;
}

// `each` blocks of `size` bytes by each thread.
void pool_run(struct pool *pool, size_t size, size_t each, void **out)
{
    pool->size = size, pool->each = each, pool->out = out;
    pthread_barrier_wait(&pool->go);
    pthread_barrier_wait(&pool->done);
}

void pool_end(struct pool *pool)
{
    pool->each = 0;
    pthread_barrier_wait(&pool->go);
    for (int i = 0; i < pool->n; i++)
        pthread_join(pool->threads[i], NULL);
    free(pool);
}

struct starter {
    pthread_barrier_t is_known;
    struct pool *pool;
    int n;
};

static void *start(void *argument)
{
    struct starter *starter = argument;
    pthread_barrier_wait(&starter->is_known);
    starter->pool = pool_start(starter->n);
    return NULL;
}

// A pool that a native thread starts.
struct pool *pool_start_in_thread(int n)
{
    struct starter starter = {.n = n};
    pthread_t thread;
    pthread_barrier_init(&starter.is_known, NULL, 2);
    pthread_create(&thread, NULL, start, &starter);
    pthread_barrier_wait(&starter.is_known);
    pthread_join(thread, NULL);
    return starter.pool;
}
