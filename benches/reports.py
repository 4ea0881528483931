"""Reports over a long recording beside memray's: time, CPU and peak memory of `heapray flamegraph`, `top` and `stats`.

    reports.py HEAPRAY PYTHON [ROUNDS] [EVENTS]

PYTHON has memray (benches/overhead/requirements.txt). One program with a fixed pattern of allocations (reports_program.py)
is recorded once by each tool, every event of both levels; then each question is asked in turn, A B C A B C, with shares
taken round by round. Recordings are removed at the end. Writes benches/results/reports.md.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from common import HERE, Run, python_version, spread, table, write_page

# Space that must be free: memray takes about 5 bytes an event.
BYTES_PER_EVENT = 16
RECORD = {
    "all events": "{heapray} run -q -o {file} --mode exact --level objects --all-events -- {python} -B {program}",
    "sums over time": "{heapray} run -q -o {file} --mode exact --level objects -- {python} -B {program}",
    "memray": "{python} -B -m memray run -q --trace-python-allocators -o {file} {program}",
    "memray aggregate": "{python} -B -m memray run -q --trace-python-allocators --aggregate -o {file} {program}",
}
# A question, heapray's way to ask and memray's; what memray cannot answer from an aggregated file is asked of the other only.
QUESTIONS = [
    ("flamegraph of the peak", "flamegraph {file} --what peak -o {out}.svg", "flamegraph -f -o {out}.html {file}"),
    ("lines that hold most at the end", "top {file}", "table --leaks -f -o {out}.html {file}"),
    ("flamegraph of what is live at the end", "flamegraph {file} -o {out}.svg", "flamegraph --leaks -f -o {out}.html {file}"),
    (
        "flamegraph of what was freed soon",
        "flamegraph {file} --what temporary -o {out}.svg",
        "flamegraph --temporary-allocations -f -o {out}.html {file}",
    ),
    ("functions that hold most", "top {file} --by function", "summary {file}"),
    ("sizes, allocators, totals", "stats {file}", "stats {file}"),
]
NOT_AGGREGATED = ("flamegraph of what was freed soon", "sizes, allocators, totals")


def fill(template, values):
    """The words of a command."""
    return [part for word in template.split() for part in word.format(**values).split()]


def record(folder, values):
    """`{tool: (Run, bytes)}` of recording the program."""
    made = {}
    for tool, template in RECORD.items():
        file = folder / tool.replace(" ", "-")
        run = Run(*fill(template, values | {"file": file}))
        made[tool] = (run, file.stat().st_size)
        print(f"recorded: {tool}, {run.wall:.1f} s, {file.stat().st_size / 1e6:.1f} MB", flush=True)
    return made


def ask(folder, values, question, rounds):
    """`{tool: [Run, ...]}` of one question, each tool in turn."""
    name, ours, theirs = question
    tools = [tool for tool in RECORD if not (tool == "memray aggregate" and name in NOT_AGGREGATED)]
    runs = {tool: [] for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            words = f"{{python}} -B -m memray {theirs}" if tool.startswith("memray") else f"{{heapray}} {ours}"
            runs[tool].append(Run(*fill(words, values | {"file": folder / tool.replace(" ", "-"), "out": folder / "out"})))
    return runs


def rows(name, runs):
    """One row per recording; shares are of memray's over its own recording of every event."""
    for tool, own in runs.items():
        pairs = list(zip(own, runs["memray"]))
        shares = [spread([getattr(run, key) / getattr(peer, key) for run, peer in pairs], 4) for key in ("wall", "cpu", "peak")]
        yield [
            name,
            tool,
            spread([run.wall for run in own], 2),
            spread([run.cpu for run in own], 2),
            f"{max(run.peak for run in own) / 1e6:.0f}",
            *(shares if tool != "memray" else ["", "", ""]),
        ]


def n_events(heapray, file):
    """How many events heapray's recording tells of."""
    text = subprocess.run([heapray, "stats", "--json", str(file)], capture_output=True, text=True, check=True).stdout
    return json.loads(text)["recording"]["cost"]["n_events"]


def main():
    """Records, asks and writes; the page grows question by question."""
    heapray, python = str(Path(sys.argv[1]).resolve()), sys.argv[2]
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    wanted = int(sys.argv[4]) if len(sys.argv) > 4 else 60_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if shutil.disk_usage(folder).free < wanted * BYTES_PER_EVENT:
            raise SystemExit(f"reports: {name} has less than {wanted * BYTES_PER_EVENT / 1e9:.1f} GB free")
        values = {"heapray": heapray, "python": python, "program": f"{HERE}/reports_program.py {wanted}"}
        recorded = record(folder, values)
        version = subprocess.run([python, "-m", "memray", "--version"], capture_output=True, text=True, check=True).stdout.strip()
        notes = (
            f"Python {python_version(python)}, memray {version}, {n_events(heapray, folder / 'all-events'):,} events. Median (lowest to "
            f"highest) of n = {rounds}, each tool in turn. Shares are of memray's own report over its recording of every event, "
            f"round by round; the bars are 0.1 of its time and 0.25 of its memory. The start of a process alone shows {Run('true').peak / 1e6:.0f} MB here."
        )
        header = ["recording", "wall, s", "CPU, s", "MB written"]
        made = [[tool, f"{run.wall:.1f}", f"{run.cpu:.1f}", f"{size / 1e6:.1f}"] for tool, (run, size) in recorded.items()]
        parts = ["## Recording, once each\n", table(header, made), "## Reports\n"]
        header = ["question", "recording", "wall, s", "CPU, s", "peak, MB", "wall, share", "CPU, share", "memory, share"]
        answers = []
        for question in QUESTIONS:
            answers += rows(question[0], ask(folder, values, question, rounds))
            write_page("reports", "Reports over a long recording", notes, [*parts, table(header, answers)])


if __name__ == "__main__":
    main()
