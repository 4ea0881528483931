"""A process with a heap of a given size that answers questions about itself, as the thing to measure.

    heaps.py N_RECORDS

Builds N_RECORDS records of five objects each (an instance, a dict, a list, two strings) in `data_pipeline.buffer`, prints
its pid, then answers one line per line of input: `fork` (milliseconds of one os.fork), `gap` (milliseconds of the
longest stop that a spinning thread saw since the last question), `hold N` (makes one object with N referrers, all in
`data_pipeline.holders_N`), `cpu EXPRESSION` (seconds of CPU and of wall time that it takes here), `end`.
"""

import gc
import os
import sys
import threading
import time
import types
import warnings

warnings.filterwarnings("ignore", category=DeprecationWarning)  # os.fork in a process with threads, 3.12 on


class Record:
    """One record of the heap."""

    def __init__(self, n):
        self.name = f"record {n}"
        self.payload = {"id": n, "text": f"payload of {n}"}
        self.tags = [n, self.name]


class Holder:
    """One of many that refer to the same object."""

    def __init__(self, target):
        self.target = target


class Spinner(threading.Thread):
    """Spins, and keeps the longest time between two turns."""

    longest = 0.0

    def run(self):
        """Never ends; the process is killed with it."""
        last = time.perf_counter()
        while True:
            now = time.perf_counter()
            self.longest = max(self.longest, now - last)
            last = now


def fork():
    """Milliseconds of one fork, seen from the parent."""
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    took = time.perf_counter() - began
    os.waitpid(child, 0)
    return took * 1000


def cpu(expression):
    """CPU seconds and wall seconds that an expression takes in this process."""
    names = {"data_pipeline": sys.modules["data_pipeline"]}
    cpu_began, began = time.process_time(), time.perf_counter()
    exec(expression, names)  # noqa: S102, the benchmark's own text
    return f"{time.process_time() - cpu_began} {time.perf_counter() - began}"


def main():
    """Builds the heap and answers."""
    gc.disable()
    module = sys.modules["data_pipeline"] = types.ModuleType("data_pipeline")
    module.buffer = [Record(n) for n in range(int(sys.argv[1]))]
    gc.enable()
    spinner = Spinner(daemon=True)
    print(os.getpid(), flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "fork":
            print(fork(), flush=True)
        elif word == "gap":
            if not spinner.is_alive():
                spinner.start()
            print(spinner.longest * 1000, flush=True)
            spinner.longest = 0.0
        elif word == "hold":
            target = Record(-1)
            setattr(module, f"holders_{rest}", [Holder(target) for _ in range(int(rest))])
            del target
            print(rest, flush=True)
        elif word == "cpu":
            print(cpu(rest), flush=True)
        else:
            break
    os._exit(0)


if __name__ == "__main__":
    main()
