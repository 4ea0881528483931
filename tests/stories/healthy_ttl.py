# Sessions live for two seconds; their number goes up and down a little.
# kind: none

import collections
import random
import time

from _story import tell

sessions = collections.OrderedDict()
dice = random.Random(3)


def step(i):
    now = time.monotonic()
    for n in range(dice.randrange(8)):
        sessions[f"session {i} {n}"] = (now + 2.0, {"cart": [n] * 20})
    while sessions and next(iter(sessions.values()))[0] < now:
        sessions.popitem(last=False)


tell(step)
