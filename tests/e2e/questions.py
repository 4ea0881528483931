"""A heap whose holders are known; prints what its own collector sees at each line it reads, then grows."""

import gc
import sys


class Base:
    pass


class Row(Base):
    def __init__(self, number):
        self.number = number
        self.payload = bytearray(300)


class Closing:
    def __del__(self):
        pass


class Node:
    pass


class Registry:
    entries = {"key%d" % i: [i] for i in range(300)}


def figures():
    # Above 1000 there is the table of interned strings: it borrows its keys, so it has no length to heapray.
    seen = gc.get_objects()
    lists = sum(1 for x in seen if isinstance(x, list) and len(x) > 100)
    rows = sum(1 for x in seen if type(x) is Row)
    based = sum(1 for x in seen if isinstance(x, Base))
    dicts = sum(1 for x in seen if type(x) is dict and 300 <= len(x) < 1000)
    del seen
    return lists, rows, based, dicts


class Rows(list):
    pass


buffer = [Row(number) for number in range(2000)]
derived = Rows(range(1000, 1200))
closing = Closing()
gc.collect()
gc.disable()
for _ in range(30):
    node = Node()
    node.self = node
del node
print(*figures(), flush=True)
for line in sys.stdin:
    buffer.extend([Row(number) for number in range(3000)])
    print(*figures(), flush=True)
