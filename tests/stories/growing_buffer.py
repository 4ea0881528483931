# One bytearray takes everything that arrives and is never cut: no new objects at all.
# kind: reference
# match: received

from _story import tell

received = bytearray()


def step(i):
    received.extend(b"d" * 4000)


tell(step)
