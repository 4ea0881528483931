// A process that does nothing until its parent is long gone.

#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static int waits;

// Runs in the child before its fork returns.
static void wait_for_byte(void)
{
    char byte;
    if (waits && read(0, &byte, 1) < 0)
        _exit(1);
}

// Forks twice; the process between ends at once. The last one waits for a byte on standard input before its fork returns, then
// allocates `n_bytes` and ends. Returns when it has.
int orphan(size_t n_bytes)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0 || pthread_atfork(NULL, NULL, wait_for_byte) != 0)
        return -1;
    pid_t between = fork();
    if (between > 0) {
        close(ends[1]);
        waitpid(between, NULL, 0);
        return (int)read(ends[0], &byte, 1);
    }
    waits = 1;
    if (fork() != 0)
        _exit(0);
    void *volatile kept = malloc(n_bytes);
    _exit(kept == NULL);
}
