"""Page faults of a program that makes and drops arrays of 2 MB: recorded, and plain beside a few small blocks that it keeps.

    faults.py HEAPRAY PYTHON [ROUNDS]

PYTHON has NumPy (benches/overhead/requirements.txt). The C library gives the top of its heap back to the kernel when enough
of it is free, so what lies above a large block decides whether the next one is new pages. Writes benches/results/faults.md.
"""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import python_version, spread, table, write_page

# `square` and `result` are 2 MB each. With a share above 0 a small block is kept in that share of the steps.
PROGRAM = """
import random, resource, sys
import numpy as np
share, chance = float(sys.argv[1]), random.Random(int(sys.argv[2]))
kept = []
for n in range(1400):
    square = np.full((500, 500), 1.5)
    if chance.random() < share:
        kept.append(bytearray(chance.randrange(600, 6000)))
    result = np.sqrt(square * n + 0.5)
used = resource.getrusage(resource.RUSAGE_SELF)
print(used.ru_minflt, used.ru_utime, used.ru_stime)
"""
# What is put before the interpreter, and in which share of the steps a block is kept.
CASES = {
    "plain": (None, 0),
    "plain, a small block kept in 1 of 50 steps": (None, 0.02),
    "plain, a small block kept in 1 of 5 steps": (None, 0.2),
    "not recording (`--start-paused`)": (["--start-paused"], 0),
    "sampled": ([], 0),
    "sampled, a small block kept in 1 of 50 steps": ([], 0.02),
    "exact malloc": (["--mode", "exact", "--level", "malloc"], 0),
}


def measured(heapray, python, flags, share, seed):
    """Page faults, and seconds in user and system mode, of one run."""
    program = [python, "-B", "-c", PROGRAM, str(share), str(seed)]
    with tempfile.TemporaryDirectory() as folder:
        ours = [] if flags is None else [heapray, "run", "-q", "-o", f"{folder}/capture", *flags, "--"]
        done = subprocess.run([*ours, *program], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


def main():
    """Measures in turn, and writes."""
    heapray, python = str(Path(sys.argv[1]).resolve()), sys.argv[2]
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 15
    runs = {case: [] for case in CASES}
    for seed in range(1, n + 1):
        for case, (flags, share) in CASES.items():
            runs[case].append(measured(heapray, python, flags, share, seed))
    rows = []
    for case, all_of in runs.items():
        faults, user, system = zip(*all_of)
        mean = f"{statistics.mean(faults):,.0f}"
        rows.append([case, spread(faults, 0), mean, spread(user, 2), spread(system, 2)])
    notes = (
        f"Python {python_version(python)}; the program's own figures, median (lowest to highest) of n = {n}, each case in turn. "
        "Blocks of 2 MB lie where the allocator puts them, recorded or not."
    )
    header = ["case", "page faults", "mean", "user, s", "system, s"]
    write_page("faults", "Page faults of large arrays", notes, [table(header, rows)])


if __name__ == "__main__":
    main()
