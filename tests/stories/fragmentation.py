# Short-lived large blocks of growing size between small ones that stay: holes that nothing fits.
# kind: fragmentation

import ctypes

from _story import tell

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
pins = []


def step(i):
    size = 8000 + 20 * i
    large = []
    for n in range(10):
        block = libc.malloc(size)
        ctypes.memset(block, 1, size)
        large.append(block)
        pins.append(bytes(600))
    for block in large:
        libc.free(block)


tell(step, warmup=200)
