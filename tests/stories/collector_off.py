# The collector is off and a parser makes trees whose children know their parents.
# kind: cycle
# match: Element

import gc

from _story import tell

gc.disable()


class Element:
    def __init__(self, parent=None):
        self.parent = parent
        self.children = []
        if parent is not None:
            parent.children.append(self)


def step(i):
    root = Element()
    for n in range(10):
        Element(root)


tell(step)
