# Each error is raised while the last one is handled, so the chain of contexts grows.
# kind: reference
# match: last_error|__context__|context

from _story import tell

last_error = None


def step(i):
    global last_error
    error = ValueError(f"bad record {i}" + "." * 300)
    error.__context__ = last_error
    last_error = error


tell(step)
