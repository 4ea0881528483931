# A class counts its instances by keeping them.
# kind: reference
# match: Connection\.opened|opened

from _story import tell


class Connection:
    opened = []

    def __init__(self, number):
        self.number = number
        self.buffer = bytearray(1000)
        self.opened.append(self)


def step(i):
    for n in range(3):
        Connection(i * 3 + n)


tell(step)
