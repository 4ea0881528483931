# A deque takes events and nobody takes them out.
# kind: reference
# match: events

import collections

from _story import tell

events = collections.deque()


def step(i):
    events.append((i, f"event {i}", bytes(600)))


tell(step)
