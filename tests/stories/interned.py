# Names from requests are interned and kept in a set.
# kind: reference
# match: names

import sys

from _story import tell

names = set()


def step(i):
    for n in range(5):
        names.add(sys.intern(f"name-{i}-{n}-" + "n" * 150))


tell(step)
