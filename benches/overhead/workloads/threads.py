"""Four threads that allocate in C, without the GIL, and in Python."""

import threading
import zlib


def work(seed):
    """Compresses and drops."""
    results = []
    for n in range(3500):
        results.append(zlib.compress(bytes([seed, n % 251]) * 10_000, 1))
        results.append([{"n": k} for k in range(60)])
        if len(results) >= 240:
            results.clear()


workers = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
