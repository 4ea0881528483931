"""Tiny objects, born and freed within a window of a thousand."""


class Span:
    """Two values, no dict."""

    __slots__ = ("first", "last")

    def __init__(self, first, last):
        self.first = first
        self.last = last


N_LIVE = 1024
live = [None] * N_LIVE
for at in range(2_000_000):
    live[at % N_LIVE] = Span([at], (at, {"at": at}))
