# One exception object is raised again and again, and its traceback grows.
# kind: reference
# match: LIMIT|__traceback__|traceback

from _story import tell

LIMIT = RuntimeError("over the limit")


def check(number):
    details = [number] * 50
    if details:
        raise LIMIT


def step(i):
    try:
        check(i)
    except RuntimeError:
        pass


tell(step)
