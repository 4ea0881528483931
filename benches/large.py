"""Ten million objects: a snapshot to a file, and questions over it.

    large.py HEAPRAY PYTHON [ROUNDS]
"""

import sys
import tempfile
from pathlib import Path

from common import Run, Target, counted, pause_ms, python_version, spread, write

N_RECORDS = 2_000_000
QUESTIONS = {
    "types": ["types"],
    "holders (dominators, retained sizes)": ["holders"],
    "why, one object": ["why", "data_pipeline.buffer[1999999].payload"],
    "why, a type of 2 million": ["why", "type=__main__.Record"],
    "find": ["find", "type=list and len>100"],
    "cycles": ["cycles"],
}


def ask(heapray, file, words, rounds):
    """One row: a question over the file, loading included."""
    runs = [Run(heapray, words[0], file, *words[1:]) for _ in range(rounds)]
    return [run.cpu for run in runs], [run.wall for run in runs], max(run.peak for run in runs)


def main():
    """Takes the snapshots, asks the questions, writes the table."""
    heapray, python = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "large.snapshot"
        with Target(python, N_RECORDS) as target:
            resident = target.rss()
            runs = [Run(heapray, "snapshot", target.pid, "-o", file) for _ in range(rounds)]
        n_objects, n_bytes = counted(runs[0].text), file.stat().st_size
        peak = max(run.peak for run in runs)
        rows = [["snapshot", spread([run.cpu for run in runs], 2), spread([run.wall for run in runs], 2), f"{peak / 1e6:.0f}"]]
        for name, words in QUESTIONS.items():
            cpu, wall, peak = ask(heapray, file, words, rounds)
            rows.append([name, spread(cpu, 2), spread(wall, 2), f"{peak / 1e6:.0f}"])
    notes = (
        f"Python {python_version(python)}; {n_objects:,} objects in a process of {resident / 1e9:.2f} GB resident; the file has "
        f"{n_bytes:,} bytes, {n_bytes / n_objects:.1f} an object; the target was stopped for "
        f"{spread([pause_ms(run.text) for run in runs])} ms. Median (lowest to highest) of {rounds}; each question is one "
        "run of heapray over the file, reading and building the graph included."
    )
    write("large", "Ten million objects", notes, ["what", "CPU, s", "wall, s", "peak memory, MB"], rows)


if __name__ == "__main__":
    main()
