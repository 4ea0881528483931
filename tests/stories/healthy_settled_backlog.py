# A backlog from the start-up was worked off before we look; work comes and goes.
# kind: none

import collections
import random

from _story import tell

backlog = collections.deque({"job": n, "text": "t" * 500} for n in range(3000))
dice = random.Random(7)


def step(i):
    for n in range(dice.randrange(6)):
        backlog.append({"job": n, "text": "t" * 500})
    for n in range(min(len(backlog), 12)):
        backlog.popleft()


tell(step, warmup=600)
