# A worker takes less than what comes in; old jobs go, more new ones come.
# kind: reference
# match: inbox

import queue
import threading
import time

from _story import tell

inbox = queue.SimpleQueue()


def work():
    while True:
        inbox.get()
        time.sleep(0.05)


threading.Thread(target=work, daemon=True).start()


def step(i):
    inbox.put({"job": i, "payload": bytes(1500)})


tell(step, warmup=50)
