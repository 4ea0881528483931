"""A program with a fixed pattern of allocations on some hundred stacks: reports_program.py N_EVENTS.

Forty routes call six handlers each, these five steps each, by way of three helpers: 1,200 stacks. A step makes records; most
die with the request, some in the next ten requests, one in a hundred stays until the cache drops it.
"""

import sys
from collections import deque

N_ROUTES, N_HANDLERS, N_STEPS = 40, 6, 5
N_RECORDS = 25
# Events of one step on 3.11, counted: each record is an instance, a list, its items and a number, born and freed.
EVENTS_PER_STEP = 210

TEMPLATE = """
def step_{n}(kept):
    records = [Record([at, {n}]) for at in range(1000, 1000 + N_RECORDS)]
    kept.append(records[{n} % N_RECORDS])
    return records
"""
HANDLER = """
def handler_{n}(kept):
    return [helper_{m}(step, kept) for step in STEPS]
"""
HELPER = """
def helper_{n}(step, kept):
    return step(kept)
"""
ROUTE = """
def route_{n}(kept):
    return [handler(kept) for handler in HANDLERS]
"""


class Record:
    """A value."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


def make(template, n):
    """Functions with lines of their own."""
    functions = []
    for at in range(n):
        text = "\n" * (10 * at) + template.format(n=at, m=at % 3)
        exec(compile(text, f"{template.split('_')[0].split()[-1]}.py", "exec"), globals())  # noqa: S102, the program's own text
        functions.append(globals()[template.split("(")[0].split()[-1].format(n=at)])
    return functions


def main():
    """Requests in turn, until there are about as many events as asked for."""
    n_requests = int(sys.argv[1]) // (EVENTS_PER_STEP * N_HANDLERS * N_STEPS)
    recent, cache = deque(maxlen=10), deque(maxlen=20_000)
    for at in range(n_requests):
        kept = []
        recent.append(ROUTES[at % N_ROUTES](kept)[at % N_HANDLERS])
        cache.extend(kept)


make(HELPER, 3)
STEPS, HANDLERS, ROUTES = make(TEMPLATE, N_STEPS), make(HANDLER, N_HANDLERS), make(ROUTE, N_ROUTES)

if __name__ == "__main__":
    main()
