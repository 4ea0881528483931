# The thresholds are so high that cycles pile up for minutes.
# kind: cycle
# match: Visit

import gc

from _story import tell

gc.set_threshold(5_000_000, 1000, 1000)


class Visit:
    def __init__(self):
        self.me = self
        self.pages = [f"page {n}" for n in range(20)]


def step(i):
    for n in range(5):
        Visit()


tell(step)
