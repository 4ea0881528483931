# Lost references to strings, which the collector never lists.
# kind: lost-reference
# match: str

import ctypes

from _story import tell

keep = ctypes.pythonapi.Py_IncRef
keep.argtypes = [ctypes.py_object]


def step(i):
    for n in range(5):
        keep(f"request {i} {n} " + "s" * 80)


tell(step)
