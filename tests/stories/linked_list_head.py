# A singly linked list grows at its head.
# kind: reference
# match: newest

from _story import tell

newest = None


class Version:
    __slots__ = ("number", "text", "before")

    def __init__(self, number, before):
        self.number = number
        self.text = f"version {number} " * 10
        self.before = before


def step(i):
    global newest
    for n in range(3):
        newest = Version(i, newest)


tell(step)
