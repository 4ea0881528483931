# C code keeps a reference count: Py_IncRef without Py_DecRef.
# kind: lost-reference
# match: bytearray|Ticket

import ctypes

from _story import tell


class Ticket:
    def __init__(self, number):
        self.number = number
        self.text = bytearray(500)


keep = ctypes.pythonapi.Py_IncRef
keep.argtypes = [ctypes.py_object]


def step(i):
    keep(Ticket(i))


tell(step)
