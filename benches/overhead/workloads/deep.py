"""Allocations at the bottom of a stack of 10 to 300 frames."""

import sys

sys.setrecursionlimit(3000)


def at_depth(depth, n):
    """Allocates `n` blocks `depth` calls below."""
    return at_depth(depth - 1, n) if depth else [bytearray(24) for _ in range(n)]


for depth in (10, 30, 100, 300):
    for _ in range(2400):
        assert len(at_depth(depth, 700)) == 700
