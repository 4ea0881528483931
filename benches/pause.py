"""What a snapshot costs the target: its pause beside os.fork() of the same process in the same run, and heapray's memory.

    pause.py HEAPRAY PYTHON [ROUNDS]
"""

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from common import Run, Target, pause_ms, python_version, spread, write

GIGABYTES = (0.2, 0.5, 1.0, 2.5)
RECORDS_PER_GIGABYTE = 1_840_000


def measure(heapray, python, gigabytes, rounds):
    """One row: forks and snapshots of one process in turn."""
    forks, pauses, gaps, peaks, cpus = [], [], [], [], []
    with Target(python, int(gigabytes * RECORDS_PER_GIGABYTE)) as target, tempfile.TemporaryDirectory() as folder:
        resident = target.rss()
        for _ in range(rounds):
            forks += target.ask("fork")
            run = Run(heapray, "snapshot", target.pid, "-o", Path(folder) / "s")
            pauses.append(pause_ms(run.text))
            peaks.append(run.peak)
            cpus.append(run.cpu)
        target.ask("gap")
        for _ in range(rounds):
            target.ask("gap")
            Run(heapray, "snapshot", target.pid, "-o", Path(folder) / "s")
            gaps += target.ask("gap")
    more = statistics.median(pauses) - statistics.median(forks)
    return [
        f"{resident / 1e9:.2f}",
        spread(forks),
        spread(pauses),
        f"{more:+.1f}",
        spread(gaps),
        f"{max(peaks) / 1e6:.0f}",
        spread(cpus, 2),
    ]


def main():
    """Measures all sizes and writes the table."""
    heapray, python = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 9
    header = [
        "target, GB resident", "os.fork(), ms", "pause, ms", "pause − fork, ms",
        "longest gap a spinning thread saw, ms", "heapray's peak memory, MB", "heapray's CPU, s",
    ]
    notes = (
        f"Python {python_version(python)}; median (lowest to highest) of {rounds}. `os.fork()` and `heapray snapshot PID` of the same "
        "process in turn; the pause is the sum of all stops, as heapray says it. The gap is of a second series, with a "
        "thread that spins all the time: it holds the GIL's switches and the copying of pages too."
    )
    rows = []
    for gigabytes in GIGABYTES:  # the table grows row by row: the largest take minutes
        rows.append(measure(heapray, python, gigabytes, rounds))
        write("pause", "Pause and memory of a snapshot", notes, header, rows)


if __name__ == "__main__":
    main()
