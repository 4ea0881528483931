# Cycles are made and the collector gets rid of them.
# kind: none

from _story import tell


class Widget:
    def __init__(self):
        self.parts = [self]
        self.text = "w" * 200


def step(i):
    for n in range(10):
        Widget()


tell(step)
