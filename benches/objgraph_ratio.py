"""The same questions to objgraph inside the process and to heapray outside, on the same heap in the same run.

    objgraph_ratio.py HEAPRAY PYTHON [ROUNDS]      PYTHON needs objgraph
"""

import statistics
import sys
import tempfile
from pathlib import Path

from common import Run, Target, python_version, spread, write

N_RECORDS = 500_000
CHAIN = "import objgraph; objgraph.find_backref_chain({}, objgraph.is_proper_module)"


def chain(path):
    """The same chain asked of both."""
    return CHAIN.format(path), ["why", path]


# objgraph looks through the whole heap for the referrers of each object that it meets on the way: one referrer at each step
# is its good case, many are its bad one.
QUESTIONS = {
    "most common types": (
        "import objgraph, io; objgraph.show_most_common_types(limit=20, file=io.StringIO())",
        ["types", "--limit", "20"],
    ),
    "chain from a module to one object": chain(f"data_pipeline.buffer[{N_RECORDS - 1}].payload"),
    "the same, an object with 30 referrers": chain("data_pipeline.holders_30[0].target"),
    "the same, an object with 300 referrers": chain("data_pipeline.holders_300[0].target"),
    "the same, an object with 1,000 referrers": chain("data_pipeline.holders_1000[0].target"),
}


def row(heapray, target, file, name, rounds):
    """One question, to both, in turn."""
    inside, outside = QUESTIONS[name]
    theirs, ours, from_file = [], [], []
    for _ in range(rounds):
        theirs.append(target.ask("cpu " + inside)[0])
        ours.append(Run(heapray, outside[0], target.pid, *outside[1:]).cpu)
        from_file.append(Run(heapray, outside[0], file, *outside[1:]).cpu)
    ratios = [statistics.median(theirs) / statistics.median(values) for values in (ours, from_file)]
    return [name, spread(theirs, 2), spread(ours, 2), f"{ratios[0]:.1f}", spread(from_file, 2), f"{ratios[1]:.1f}"]


def main():
    """Asks both, writes the table."""
    heapray, python = sys.argv[1:3]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    with Target(python, N_RECORDS) as target, tempfile.TemporaryDirectory() as folder:
        for n_referrers in (30, 300, 1000):
            target.ask(f"hold {n_referrers}")
        file = Path(folder) / "s"
        Run(heapray, "snapshot", target.pid, "-o", file)
        rows = [row(heapray, target, file, name, rounds) for name in QUESTIONS]
    notes = (
        f"Python {python_version(python)}, objgraph 3.7.0, {5 * N_RECORDS:,} objects; CPU seconds, median (lowest to highest) of {rounds}. objgraph runs "
        "inside the process, holds its GIL meanwhile and sees objects that the collector tracks; heapray's figures are whole "
        "runs of the command, on the live process (snapshot included) and on a file, with all objects, retained sizes and "
        "dominators. A ratio over 1 is in heapray's favour."
    )
    header = ["question", "objgraph, CPU s", "heapray on the process, CPU s", "ratio", "heapray on a file, CPU s", "ratio"]
    write("objgraph", "Beside objgraph", notes, header, rows)


if __name__ == "__main__":
    main()
