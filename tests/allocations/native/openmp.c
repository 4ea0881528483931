// A parallel region that every thread of OpenMP's pool allocates in.
#include <omp.h>
#include <stdlib.h>

// `each` blocks of `size` bytes by each of `n` threads; answers how many threads there were.
int parallel_blocks(int n, size_t size, size_t each, void **out)
{
    int found = 0;
    omp_set_dynamic(0);
#pragma omp parallel num_threads(n)
    {
#pragma omp single
        found = omp_get_num_threads();
        for (size_t i = 0; i < each; i++)
            out[omp_get_thread_num() * each + i] = malloc(size);
    }
    return found;
}
