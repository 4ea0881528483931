# Only a signal handler's object holds the list that grows.
# kind: reference
# match: Handler|requests|handler

import signal

from _story import tell


class Handler:
    def __init__(self):
        self.requests = []

    def __call__(self, number, frame):
        self.requests.clear()


signal.signal(signal.SIGUSR1, Handler())


def step(i):
    signal.getsignal(signal.SIGUSR1).requests.append({"number": i, "body": "x" * 700})


tell(step)
