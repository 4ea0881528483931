# Memory comes from mmap, past malloc: only resident memory tells.
# kind: native

import ctypes

from _story import tell

libc = ctypes.CDLL(None)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


def step(i):
    if i % 10 == 0:
        block = libc.mmap(None, 1 << 20, 3, 0x22, -1, 0)
        ctypes.memset(block, 1, 1 << 20)


tell(step)
