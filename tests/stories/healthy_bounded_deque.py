# A deque with maxlen, full and churning.
# kind: none

import collections

from _story import tell

recent = collections.deque(maxlen=2000)


def step(i):
    for n in range(10):
        recent.append({"n": n, "text": f"event {i} {n}"})


tell(step)
