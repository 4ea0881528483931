# A bounded lru_cache, full and churning.
# kind: none

import functools

from _story import tell


@functools.lru_cache(maxsize=1000)
def page(number):
    return f"page {number} " * 20


def step(i):
    for n in range(10):
        page((i * 10 + n) * 31 % 5000)


tell(step)
