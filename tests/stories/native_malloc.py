# A C library allocates with malloc and forgets.
# kind: native

import ctypes

from _story import tell

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]


def step(i):
    block = libc.malloc(6000)
    ctypes.memset(block, 1, 6000)


tell(step)
