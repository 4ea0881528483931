# A large job is over; the memory it took is free again but still resident.
# kind: none

from _story import tell

table = [{"row": n, "text": f"row {n}"} for n in range(300_000)]
kept = table[::1000]
table = None


def step(i):
    sorted((n * 7919) % 1009 for n in range(500))


tell(step)
