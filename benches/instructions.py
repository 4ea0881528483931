#!/usr/bin/env python3
"""Instructions that recording adds to each event, counted by callgrind: a gate that the machine's load cannot move.

    instructions.py HEAPRAY PYTHON            counts, and writes benches/results/instructions.md
    instructions.py HEAPRAY PYTHON --write    and makes the counts the baseline for this Python
    instructions.py HEAPRAY PYTHON... --check fails where a count grew by more than 10 % over the baseline

Counts hold for one build of one Python, but what recording *adds* depends on little more than the agent and the Python's
version; so the baseline is kept by version. --check takes the first PYTHON that it has one for, and says so and passes where
there is none, or no valgrind. The same run repeats to 1 %; where things lie in memory, which the length of a path may
change, moves a count by some percent. So a count is the lowest of three layouts; --check tries the second and third only
where the first grew.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import HERE, python_version, table, write_page

BASELINE = HERE / "results/instructions.json"
TITLE = "Instructions per event"
# Growth that fails: a share, and what a count of next to nothing may grow by.
SHARE, SLACK = 0.10, 4.0
N_LAYOUTS = 3
# N of each program: 40,000 events and more, and no more records than fit into the ring.
PROGRAMS = {
    "objects": 12_000,
    "temporary": 20_000,
    "survivors": 15_000,
    "malloc": 12_000,
    "generators": 6_000,
    "deep": 8_000,
    "calls": 60_000,
}
MODES = {
    "sampled": [],
    "malloc": ["--mode", "exact", "--level", "malloc"],
    "objects": ["--mode", "exact", "--level", "objects"],
}


class Counted:
    """One run below callgrind: `instructions` of the work, `events` that heapray recorded from start to end."""

    def __init__(self, heapray, python, layout, mode, name, n):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / ("layout" + "-" * 24 * layout)
            place.mkdir()
            script = [python, "-B", "-S", shutil.copy(HERE / "instructions_programs.py", place), name, str(n)]
            counts, capture = f"{folder}/counts", f"{folder}/capture"
            words = ["valgrind", "--tool=callgrind", "--collect-atstart=no", f"--callgrind-out-file={counts}", *script]
            if mode != "plain":
                words = [heapray, "run", "-q", "-o", capture, *MODES[mode], "--", *words, "stop"]
            env = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "HEAPRAY_SEED": "1"}
            done = subprocess.run(words, capture_output=True, text=True, errors="replace", env=env, check=False)
            found = Path(counts).exists() and re.search(r"^(?:summary|totals): (\d+)", Path(counts).read_text(errors="replace"), re.M)
            if done.returncode or not found:
                raise SystemExit(f"instructions: {words} ended with {done.returncode}: {done.stderr[-2000:]}")
            self.instructions = int(found[1])
            self.events = 0 if mode == "plain" else events(heapray, capture)


def events(heapray, capture):
    """How many events a recording tells of; ends the benchmark where it lost some or has none of a Python."""
    text = subprocess.run([heapray, "stats", "--json", capture], capture_output=True, text=True, check=True).stdout
    recording = json.loads(text)["recording"]
    if recording["doubt"]["lost_events"] or not recording["processes"][-1]["python"]:
        raise SystemExit(f"instructions: the agent did not record all of it: {recording['doubt']}, {recording['processes'][-1]}")
    return recording["cost"]["n_events"]


def count(heapray, python, names, layout):
    """`{program: {"events", "malloc events", "plain", mode: added per event}}` in one layout, runs side by side."""
    jobs = [(mode, name, PROGRAMS[name]) for name in names for mode in ["plain", *MODES]]
    jobs += [(mode, "calls", 0) for mode in MODES]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        counted = dict(zip(jobs, pool.map(lambda job: Counted(heapray, python, layout, *job), jobs)))
    return {name: per_event(counted, name, PROGRAMS[name]) for name in names}


def lower(rows, others):
    """Takes over what `others` have lower."""
    for name, other in others.items():
        rows[name] |= {mode: min(rows[name][mode], other[mode]) for mode in MODES}


def per_event(counted, name, n):
    """One program's counts: what each mode adds to an event that it sees; to a call where there are none."""
    seen = {mode: counted[mode, name, n].events - counted[mode, "calls", 0].events for mode in MODES}
    if name != "calls" and seen["objects"] < n or name == "malloc" and seen["malloc"] < n:
        raise SystemExit(f"instructions: {name} made only {seen} events: the agent does not work below this valgrind")
    all_events = n if name == "calls" else seen["objects"]
    units = dict.fromkeys(MODES, all_events) | ({"malloc": seen["malloc"]} if seen["malloc"] >= n else {})
    plain = counted["plain", name, n].instructions
    row = {"events": seen["objects"], "malloc events": seen["malloc"], "plain": round(plain / all_events, 2)}
    return row | {mode: round((counted[mode, name, n].instructions - plain) / units[mode], 2) for mode in MODES}


def grown(now, before):
    """The programs of which a count is too high."""
    limits = {name: {mode: row[mode] + SHARE * max(row[mode], 0) + SLACK for mode in MODES} for name, row in before.items()}
    return [name for name in limits if any(now[name][mode] > limits[name][mode] for mode in MODES)]


def compare(now, before):
    """Prints each count beside its baseline."""
    for name, row in before.items():
        too_high = "  GREW" if name in grown(now, {name: row}) else ""
        print(f"{name:11}" + ", ".join(f"{mode} {row[mode]:.1f} -> {now[name][mode]:.1f}" for mode in MODES) + too_high)


def check(heapray, pythons):
    """The gate; answers the exit status."""
    known = json.loads(BASELINE.read_text())
    versions = {python: python_version(python) for python in pythons if shutil.which(python)}
    python = next((python for python, version in versions.items() if version in known), None)
    if not shutil.which("valgrind"):
        print("instructions: skipped, as there is no valgrind")
    elif platform.machine() != "x86_64":
        print("instructions: skipped: what tells callgrind to count is written for x86_64")
    elif python is None:
        print(f"instructions: skipped, as there are baselines for Python {', '.join(known)} only, not for {', '.join(versions.values())}")
    else:
        before = known[versions[python]]
        print(f"instructions an event that recording adds on Python {versions[python]}, baseline -> now")
        now = count(heapray, executable(python), list(before), 0)
        for layout in range(1, N_LAYOUTS):
            if names := grown(now, before):
                lower(now, count(heapray, executable(python), names, layout))
        compare(now, before)
        if grown(now, before):
            print("instructions: what recording costs grew; if that is meant, write a new baseline (--write) and say why in the commit")
            return 1
    return 0


def executable(python):
    """The interpreter itself, where PYTHON is a script that starts it or a link to it."""
    return subprocess.run([python, "-c", "import os, sys; print(os.path.realpath(sys.executable))"], capture_output=True, text=True, check=True).stdout.strip()


def publish(known):
    """Writes the page: one table for each Python that there is a baseline for, or was measured now."""
    tool = subprocess.run(["valgrind", "--version"], capture_output=True, text=True, check=True).stdout.strip()
    notes = (
        f"{tool}, callgrind, `PYTHONHASHSEED=0`. Instructions in the process, an event: an allocation or a free, at both levels (`calls`: a "
        "call). Plain is what the program takes by itself; the others are what recording adds. Counted is the work only, while "
        "the collector stands still, so neither a machine's speed nor its load has a part in it. Each count is the lowest of "
        f"{N_LAYOUTS} layouts of memory, which differ by up to 9 %; one layout repeats to 1 %. "
        "Exact malloc is divided by the events of the system's allocator in the program that has them, by all in the others."
    )
    header = ["program", "events", "of these malloc's", "plain", "sampled adds", "exact malloc adds", "exact objects adds"]
    parts = []
    for version, programs in sorted(known.items()):
        cells = [[name, *(f"{row[key] + 0:,}" for key in ("events", "malloc events", "plain", *MODES))] for name, row in programs.items()]
        parts += [f"## Python {version}\n", table(header, cells)]
    write_page("instructions", TITLE, notes, parts)


def main():
    """Counts, then writes or compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("heapray")
    parser.add_argument("python", nargs="+")
    parser.add_argument("--check", action="store_true", help="compare with the baseline; status 1 where a count grew")
    parser.add_argument("--write", action="store_true", help="make the counts the baseline")
    args = parser.parse_args()
    heapray = str(Path(args.heapray).resolve())
    if args.check:
        sys.exit(check(heapray, args.python))
    known = json.loads(BASELINE.read_text()) if BASELINE.exists() else {}
    for python in args.python:
        version = python_version(python)
        now = count(heapray, executable(python), list(PROGRAMS), 0)
        for layout in range(1, N_LAYOUTS):
            lower(now, count(heapray, executable(python), list(PROGRAMS), layout))
        compare(now, known.get(version, {}))
        known[version] = now
        publish(known)
        if args.write:
            BASELINE.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
