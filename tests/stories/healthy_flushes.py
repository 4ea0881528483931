# A buffer fills up and is written out, every second or so.
# kind: none

from _story import tell

buffer = []


def step(i):
    buffer.append({"row": i, "text": f"row {i} " * 10})
    if len(buffer) >= 100:
        buffer.clear()


tell(step)
