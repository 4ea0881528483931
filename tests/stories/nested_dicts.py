# Counters by user, then by day: every inner dict grows a little.
# kind: reference
# match: counters

from _story import tell

counters = {f"user-{n}": {} for n in range(60)}


def step(i):
    for per_user in counters.values():
        per_user[f"2026-01-01T{i}"] = float(i)


tell(step, pause=0.02)
