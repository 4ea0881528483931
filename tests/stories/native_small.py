# A C extension forgets small blocks of PyMem: they lie between Python's own objects.
# kind: native

import ctypes

from _story import tell

allocate = ctypes.pythonapi.PyMem_Malloc
allocate.restype = ctypes.c_void_p
allocate.argtypes = [ctypes.c_size_t]


def step(i):
    for n in range(40):
        block = allocate(200)
        ctypes.memset(block, 1, 200)


tell(step)
