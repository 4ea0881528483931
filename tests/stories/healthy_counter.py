# Counters count up for a fixed set of keys.
# kind: none

import collections

from _story import tell

hits = collections.Counter()


def step(i):
    for n in range(50):
        hits[f"/page/{(i * 50 + n) % 400}"] += 1_000_000_007


tell(step)
