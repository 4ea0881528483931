// Functions that call back through some frames of their own.

static volatile int calls;

void __attribute__((noinline)) through_a(void (*call)(void), int n)
{
    if (n > 1)
        through_a(call, n - 1);
    else
        call();
    calls++; // no tail call
}

void __attribute__((noinline)) through_b(void (*call)(void), int n)
{
    if (n > 1)
        through_a(call, n - 1);
    else
        call();
    calls++;
}
