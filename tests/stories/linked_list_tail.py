# A singly linked list grows at its tail.
# kind: reference
# match: first\b

from _story import tell


class Link:
    def __init__(self, number):
        self.number = number
        self.text = f"link {number} " * 10
        self.next = None


first = last = Link(0)


def step(i):
    global last
    for n in range(3):
        last.next = Link(i)
        last = last.next


tell(step)
