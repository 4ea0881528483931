// What the test programs call by ctypes: every allocator function through this library's own GOT, mappings, native
// threads. Where count.c is preloaded it is told whose turn it is, so that it counts for itself what we asked for.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <threads.h>
#include <unistd.h>

extern void count_for(int tag) __attribute__((weak));

static void turn(int tag)
{
    if (count_for)
        count_for(tag);
}

// One block from the allocator function of this number.
void *block(int kind, size_t size)
{
    void *p = NULL;
    switch (kind) {
    case 0: return malloc(size);
    case 1: return calloc(1, size);
    case 2: return realloc(NULL, size);
    case 3: return reallocarray(NULL, 1, size);
    case 4: return posix_memalign(&p, 64, size) ? NULL : p;
    case 5: return aligned_alloc(64, size);
    case 6: return memalign(128, size);
    case 7: return valloc(size);
    case 8: return pvalloc(size);
    }
    return NULL;
}

// `n` blocks into `out`, or freed at once where that is NULL.
void blocks(int tag, int kind, size_t size, size_t n, void **out)
{
    turn(tag);
    for (size_t i = 0; i < n; i++) {
        void *p = block(kind, size);
        if (out)
            out[i] = p;
        else
            free(p);
    }
    turn(0);
}

void *moved(void *p, size_t size) { return realloc(p, size); }
void dropped(void *p) { free(p); }

void drop_all(void **p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(p[i]);
}

// errno as it is after an allocator function that succeeded.
int errno_after(int kind, size_t size)
{
    errno = 77;
    void *p = block(kind, size);
    int after = errno;
    free(p);
    return after == 77 ? errno : after;
}

void *mapping(size_t size) { return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
void *reserved(size_t size) { return mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); }
void *lazily(size_t size) {
    return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
}
int given_back(void *p, size_t size) { return madvise(p, size, MADV_DONTNEED); }
void *remapped(void *p, size_t from, size_t to) { return mremap(p, from, to, MREMAP_MAYMOVE); }
int unmapped(void *p, size_t size) { return munmap(p, size); }
int opened(void *p, size_t size) { return mprotect(p, size, PROT_READ | PROT_WRITE); }

struct work {
    size_t size, n;
    void **out;
};

static void *in_thread(void *argument)
{
    struct work *work = argument;
    for (size_t i = 0; i < work->n; i++)
        work->out[i] = malloc(work->size);
    return NULL;
}

// `n` blocks in each of `threads` threads that never saw Python, one after the other or all at once.
void native_threads(int threads, size_t size, size_t n, void **out)
{
    pthread_t ids[256];
    struct work works[256];
    for (int i = 0; i < threads; i++) {
        works[i] = (struct work){size, n, out + i * n};
        pthread_create(&ids[i], NULL, in_thread, &works[i]);
    }
    for (int i = 0; i < threads; i++)
        pthread_join(ids[i], NULL);
}

static int also_in_thread(void *argument) { in_thread(argument); return 0; }

// As above, in threads that the C library creates itself, so that no hook hears of them, and at the same time in the caller.
void unannounced_threads(int threads, size_t size, size_t n, void **out)
{
    thrd_t ids[256];
    struct work works[256];
    for (int i = 0; i < threads; i++) {
        works[i] = (struct work){size, n, out + i * n};
        thrd_create(&ids[i], also_in_thread, &works[i]);
    }
    in_thread(&(struct work){size, n, out + threads * n});
    for (int i = 0; i < threads; i++)
        thrd_join(ids[i], NULL);
}

static pthread_key_t key;
static void at_exit(void *value) { free(value); free(valloc(5000)); }

static void *with_destructor(void *argument)
{
    pthread_setspecific(key, malloc(100));
    return argument;
}

// Threads whose thread-local destructors allocate and free while the thread ends.
void ending_threads(int n)
{
    pthread_key_create(&key, at_exit);
    for (int i = 0; i < n; i++) {
        pthread_t id;
        pthread_create(&id, NULL, with_destructor, NULL);
        pthread_join(id, NULL);
    }
}

static volatile int n_signals, storm_ends;
static void counted(int signal) { (void)signal; n_signals++; }

static void *send(void *target)
{
    while (!storm_ends) {
        pthread_kill(*(pthread_t *)target, SIGUSR2);
        usleep(50);
    }
    return NULL;
}

static pthread_t storm, storm_target;

// SIGUSR2 to the calling thread, again and again, from a thread of ours.
void storm_begins(void)
{
    signal(SIGUSR2, counted);
    storm_target = pthread_self();
    storm_ends = 0;
    pthread_create(&storm, NULL, send, &storm_target);
}

int storm_is_over(void)
{
    storm_ends = 1;
    pthread_join(storm, NULL);
    return n_signals;
}
