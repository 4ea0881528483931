# A list grows by concatenation: it is a new list each time.
# kind: reference
# match: log_lines

from _story import tell

log_lines = []


def step(i):
    global log_lines
    log_lines = log_lines + [f"line {i} " * 30]


tell(step)
