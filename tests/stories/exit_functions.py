# Each report registers its own cleanup for the end of the process.
# kind: reference
# match: atexit|Report

import atexit

from _story import tell


class Report:
    def __init__(self, number):
        self.rows = [number] * 200
        atexit.register(self.remove)

    def remove(self):
        self.rows.clear()


def step(i):
    Report(i)


tell(step)
