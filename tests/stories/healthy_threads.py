# Threads start, work and end.
# kind: none

import threading

from _story import tell


def work(box):
    box.append([n for n in range(2000)])


def step(i):
    box = []
    threads = [threading.Thread(target=work, args=(box,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


tell(step)
