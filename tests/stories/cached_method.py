# functools.cache on a method keeps every invoice it was asked about.
# kind: reference
# match: totals

import functools

from _story import tell


class Invoice:
    def __init__(self, number):
        self.lines = [(n, number * n * 1.5) for n in range(40)]

    @functools.cache
    def totals(self):
        return sum(amount for _, amount in self.lines)


def step(i):
    Invoice(i).totals()


tell(step)
