# A threading.local of a long-lived worker gathers what it handled.
# kind: reference
# match: history|local

import queue
import threading

from _story import tell

jobs = queue.Queue(maxsize=10)
state = threading.local()


def work():
    state.history = []
    while True:
        number = jobs.get()
        state.history.append({"job": number, "payload": bytes(900)})


threading.Thread(target=work, daemon=True).start()


def step(i):
    jobs.put(i)


tell(step)
