// Functions whose lines a test knows: one calls the other, which allocates in code that is inlined into it.
#include <stdlib.h>

static inline __attribute__((always_inline)) void *inlined(size_t size)
{
    return malloc(size); // inlined
}

__attribute__((noinline)) void *lined_inner(size_t size)
{
    void *p = inlined(size); // inner
    return p;
}

void *lined_outer(size_t size)
{
    void *p = lined_inner(size); // outer
    return p;
}
