"""What it costs to begin: `heapray run` beside the plain program, importing pandas, and attaching to a process.

    startup.py HEAPRAY PYTHON [ROUNDS]

PYTHON has pandas (benches/overhead/requirements.txt). Each tool in turn, A B C D A B C D; a figure is taken run by run
against the plain run of the same round. Writes benches/results/startup.md.
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import Run, Target, python_version, spread, table, write_page

TOOLS = {
    "plain": None,
    "sampled": [],
    "exact malloc": ["--mode", "exact", "--level", "malloc"],
    "exact objects": ["--mode", "exact", "--level", "objects"],
}
PROGRAMS = {"pass": "pass", "pandas": "import pandas"}
N_RECORDS = 100_000
# How long an attached agent stays.
SECONDS_RECORDED = 0.3


def rounds(heapray, python, program, n):
    """`{tool: [Run, ...]}`, interleaved, after one run that warms the files up."""
    words = [python, "-B", "-c", PROGRAMS[program]]
    Run(*words)
    runs = {tool: [] for tool in TOOLS}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(n):
            for tool, flags in TOOLS.items():
                ours = [] if flags is None else [heapray, "run", "-q", "-f", "-o", f"{folder}/capture", *flags, "--"]
                runs[tool].append(Run(*ours, *words))
    return runs


def added_rows(runs):
    """Milliseconds over plain, wall and CPU, of each tool."""
    for tool in TOOLS:
        pairs = list(zip(runs[tool], runs["plain"]))
        wall = [(run.wall - plain.wall) * 1000 for run, plain in pairs]
        cpu = [(run.cpu - plain.cpu) * 1000 for run, plain in pairs]
        yield [tool, spread([run.wall * 1000 for run in runs[tool]]), *([spread(wall), spread(cpu)] if tool != "plain" else ["", ""])]


def ratio_rows(runs):
    """Each tool's time to plain's, wall and CPU."""
    for tool in TOOLS:
        pairs = list(zip(runs[tool], runs["plain"]))
        yield [
            tool,
            spread([run.wall for run in runs[tool]], 2),
            spread([run.wall / plain.wall for run, plain in pairs], 3),
            spread([run.cpu / plain.cpu for run, plain in pairs], 3),
        ]


class Attachment:
    """One attachment, as its user sees it: milliseconds to recording, of the stop, of taking it out, and CPU of heapray."""

    def __init__(self, heapray, target, flags):
        with tempfile.TemporaryDirectory() as folder:
            words = [heapray, "attach", str(target.pid), "-o", f"{folder}/capture", *flags]
            began = time.perf_counter()
            process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
            line = process.stderr.readline()
            self.to_recording = (time.perf_counter() - began) * 1000
            stopped = re.search(r"stopped for ([\d.,]+) ms", line)
            if not stopped:
                raise SystemExit(f"{words}: {line}{process.stderr.read()}")
            self.stop = float(stopped[1])
            time.sleep(SECONDS_RECORDED)
            process.send_signal(signal.SIGINT)
            began = time.perf_counter()
            told = process.stderr.read()
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            self.to_out = (time.perf_counter() - began) * 1000
            if status or "stays" in told:
                raise SystemExit(f"{words} ended with {process.returncode}: {told}")
            self.cpu = (usage.ru_utime + usage.ru_stime) * 1000


def attach_rows(heapray, python, n):
    """Attachments to one process in turn; the gap is what a thread of it that spins saw, of the whole visit."""
    tools = {tool: flags for tool, flags in TOOLS.items() if flags is not None}
    found = {tool: [] for tool in tools}
    gaps = {tool: [] for tool in ["none", *tools]}
    with Target(python, N_RECORDS) as target:
        target.ask("gap")
        for _ in range(n):
            target.ask("gap")
            time.sleep(SECONDS_RECORDED)
            gaps["none"] += target.ask("gap")
            for tool, flags in tools.items():
                target.ask("gap")
                found[tool].append(Attachment(heapray, target, flags))
                gaps[tool] += target.ask("gap")
    yield ["none", "", "", "", "", spread(gaps["none"])]
    for tool, all_of in found.items():
        figures = [spread([getattr(one, key) for one in all_of]) for key in ("to_recording", "stop", "to_out", "cpu")]
        yield [tool, *figures, spread(gaps[tool])]


def verdicts(runs, pandas):
    """The bars, beside the medians."""
    for tool in list(TOOLS)[1:]:
        wall = statistics.median((run.wall - plain.wall) * 1000 for run, plain in zip(runs[tool], runs["plain"]))
        pairs = list(zip(pandas[tool], pandas["plain"]))
        ratios = [statistics.median(getattr(run, key) / getattr(plain, key) for run, plain in pairs) for key in ("wall", "cpu")]
        yield [
            tool,
            f"{wall:.0f} ms, {'within' if wall <= 50 else 'over'} 50",
            *(f"{ratio:.2f}, {'within' if ratio <= 1.1 else 'over'} 1.1" for ratio in ratios),
        ]


def main():
    """Measures and writes; the page grows part by part."""
    heapray, python = str(Path(sys.argv[1]).resolve()), sys.argv[2]
    n = int(sys.argv[3]) if len(sys.argv) > 3 else 25
    notes = (
        f"Python {python_version(python)}; median (lowest to highest) of n = {n}, each tool in turn. CPU is that of heapray and the "
        "program together. Differences and ratios are run by run to the plain run of the same round."
    )
    title = "Starting up, importing, attaching"
    bare = rounds(heapray, python, "pass", n)
    parts = ["## `python -c pass`\n", table(["tool", "wall, ms", "added wall, ms", "added CPU, ms"], added_rows(bare))]
    pandas = rounds(heapray, python, "pandas", n)
    parts += ["## `python -c 'import pandas'`\n", table(["tool", "wall, s", "wall to plain", "CPU to plain"], ratio_rows(pandas))]
    bars = table(["tool", "start-up, added wall", "pandas, wall", "pandas, CPU"], verdicts(bare, pandas))
    parts += ["## The bars\n", bars]
    write_page("startup", title, notes, parts)
    header = ["recording", "to recording, ms", "stop, ms", "taking it out, ms", "heapray's CPU, ms", "longest gap a spinning thread saw, ms"]
    text = (
        f"`heapray attach PID` to a process with two threads, one of which spins, and {N_RECORDS:,} records; from the start of heapray to "
        "its line that it records (bar 100 ms), and the stop that it tells (bar 20 ms). The gap also holds switches of the GIL.\n"
    )
    parts += ["## Attach\n", text, table(header, attach_rows(heapray, python, n))]
    write_page("startup", title, notes, parts)


if __name__ == "__main__":
    main()
