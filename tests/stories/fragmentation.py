# C code cuts large buffers short in place and keeps the heads: holes that the next, larger ones do not fit.
# kind: fragmentation

import ctypes

from _story import tell

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.realloc.restype = ctypes.c_void_p
libc.realloc.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def step(i):
    size = 8000 + 10 * i
    blocks = [libc.malloc(size) for n in range(3)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    for block in blocks:
        libc.realloc(block, 600)


tell(step, warmup=200)
