# Cycles are made before gc.freeze() again and again: the collector never looks at them.
# kind: cycle
# match: Part

import gc

from _story import tell


class Part:
    def __init__(self):
        self.itself = self
        self.text = "part " * 100


def step(i):
    for n in range(5):
        Part()
    gc.freeze()


tell(step)
