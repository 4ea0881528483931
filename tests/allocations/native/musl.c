// A program that asks for blocks in every way, with a C library whose allocator calls itself by its public names.
#include <stdio.h>
#include <stdlib.h>

enum { ROUNDS = 2000 };

int main(void)
{
    static void *kept[ROUNDS];
    // A compiler leaves out blocks that nobody sees.
    void *volatile seen;
    for (int i = 0; i < ROUNDS; i++) {
        void *p = malloc(500), *aligned = NULL;
        if (posix_memalign(&aligned, 64, 300))
            return 1;
        free(aligned);
        seen = aligned_alloc(64, 640);
        free(seen);
        kept[i] = realloc(p, 1000);
        if (!kept[i])
            return 1;
    }
    puts("done");
    fflush(stdout);
    _Exit(0);
}
