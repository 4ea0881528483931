// Preloaded: counts calls and bytes of every allocator function for the tag that blocks.c says, apart from heapray and
// by another mechanism (interposition). `count_of` tells.
#include <stddef.h>
#include <errno.h>
#include <stdint.h>
#include <unistd.h>

extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t), *__libc_valloc(size_t), *__libc_pvalloc(size_t);

enum { TAGS = 4096, KINDS = 4 };
static unsigned long calls[TAGS][KINDS], bytes[TAGS][KINDS];
static __thread int tag __attribute__((tls_model("initial-exec")));

void count_for(int of) { tag = of; }
unsigned long count_of(int of, int kind, int what) { return what ? bytes[of][kind] : calls[of][kind]; }

static void *counted(int kind, size_t size, void *p)
{
    if (tag) {
        __atomic_fetch_add(&calls[tag][kind], 1, __ATOMIC_RELAXED);
        __atomic_fetch_add(&bytes[tag][kind], size, __ATOMIC_RELAXED);
    }
    return p;
}

void *malloc(size_t n) { return counted(0, n, __libc_malloc(n)); }
void *calloc(size_t n, size_t of) { return counted(1, n * of, __libc_calloc(n, of)); }
void *realloc(void *p, size_t n) { return counted(2, n, __libc_realloc(p, n)); }
void *reallocarray(void *p, size_t n, size_t of) { return counted(2, n * of, __libc_realloc(p, n * of)); }
void *memalign(size_t a, size_t n) { return counted(3, n, __libc_memalign(a, n)); }
void *aligned_alloc(size_t a, size_t n) { return counted(3, n, __libc_memalign(a, n)); }
void *valloc(size_t n) { return counted(3, n, __libc_valloc(n)); }
void *pvalloc(size_t n) { return counted(3, n, __libc_pvalloc(n)); }

int posix_memalign(void **p, size_t a, size_t n)
{
    *p = counted(3, n, __libc_memalign(a, n));
    return *p ? 0 : ENOMEM;
}
