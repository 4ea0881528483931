"""Small fixed programs whose instructions are counted: instructions_programs.py NAME N [stop].

Only the work is counted: the program tells callgrind when it begins and ends. With `stop` the parent, heapray's collector,
stands still meanwhile: each of its heartbeats makes the agent empty its window, and how many fall into a run depends on
the machine's speed. What a program leaves in the ring must therefore fit into it.
"""

import ctypes
import gc
import mmap
import os
import signal
import sys
import time
from pathlib import Path

# mov rax, rdi; xor edx, edx; what valgrind takes for a request (valgrind.h: four rotations of rdi that add up to nothing, and
# xchg rbx, rbx); mov rax, rdx; ret.
CLIENT_REQUEST = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
# callgrind.h: VG_USERREQ_TOOL_BASE('C', 'T') + 2.
TOGGLE_COLLECT = (ord("C") << 24 | ord("T") << 16) + 2


class Node:
    """An instance with a slot."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def objects(n):
    """Small objects that die a thousand allocations later."""
    live = [None] * 512
    for at in range(n):
        live[at & 511] = Node([at])


def temporary(n):
    """Small objects that go back at once."""
    for at in range(n):
        [at]


def survivors(n):
    """Small objects that live until all are there."""
    kept = [[at] for at in range(n)]
    kept.clear()


def malloc(n):
    """Blocks of the system's allocator."""
    live = [None] * 64
    for at in range(n):
        live[at & 63] = bytearray(1000 + (at & 255))


def walk(low, high):
    """A range by way of a binary tree of generators."""
    if high - low < 2:
        yield [low]
        return
    middle = (low + high) // 2
    yield from walk(low, middle)
    yield from walk(middle, high)


def generators(n):
    """Frames that are left and entered again under other callers."""
    for _ in walk(0, n):
        pass


def at_depth(depth, n):
    """Allocates `n` blocks `depth` calls below."""
    return at_depth(depth - 1, n) if depth else [[at] for at in range(n)]


def deep(n):
    """Allocations at the bottom of a stack of 100 frames that is built anew for every ten."""
    for _ in range(n // 10):
        at_depth(100, 10)


def fold(n):
    """A binary tree of calls; only numbers below 256, which CPython keeps."""
    return 1 if n == 0 else (fold(n - 1) + fold(n - 1)) & 63


def calls(n):
    """Calls that allocate nothing."""
    for _ in range(n // 2047):
        fold(10)


class Counter:
    """`with Counter():` callgrind counts what runs inside. Outside of valgrind, and to the processor, the call is nothing."""

    def __init__(self):
        self.page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.page.write(CLIENT_REQUEST)
        self.call = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(ctypes.addressof(ctypes.c_char.from_buffer(self.page)))
        self.words = (ctypes.c_uint64 * 6)(TOGGLE_COLLECT)

    def __enter__(self):
        self.call(self.words)

    def __exit__(self, *_):
        self.call(self.words)


def stop(pid):
    """Stops a process, and returns when it stands."""
    os.kill(pid, signal.SIGSTOP)
    while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        time.sleep(0.001)


def settle(n_bytes):
    """Has the agent see the collector's last heartbeat, and empty its window of what start-up left there (1 MiB does)."""
    return [bytearray(100_000) for _ in range(n_bytes // 100_000)]


def main():
    """Runs one of them, counted."""
    work, n = globals()[sys.argv[1]], int(sys.argv[2])
    collector = os.getppid() if "stop" in sys.argv[3:] else None
    gc.disable()
    counter = Counter()
    if collector:
        stop(collector)
    kept = settle(2 << 20)
    try:
        with counter:
            work(n)
    finally:
        if collector:
            os.kill(collector, signal.SIGCONT)
    del kept


if __name__ == "__main__":
    main()
