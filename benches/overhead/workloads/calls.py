"""Calls that allocate nothing: what a tool costs that is told of every call."""


def fold(n):
    """A binary tree of calls; only numbers below 256, which CPython keeps."""
    return 1 if n == 0 else (fold(n - 1) + fold(n - 1)) & 63


for _ in range(80):
    assert fold(17) in (0, 1)
