#!/usr/bin/env python3
"""Tells the story: a service leaks, heapray names the holder from outside, one line fixes it, heapray finds nothing.

Exits 0 only if both diagnoses are as told. Stops all that it started, on an error and on Ctrl+C too.
"""

import argparse
import difflib
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from load import Load
from service import Service

HERE = Path(__file__).resolve().parent
BEFORE = "    n_flushed += len(buffer)\n"
FIX = BEFORE + "    buffer = []\n"
HOLDER = "data_pipeline.buffer"


def say(text):
    print(f"\n\033[1m# {text}\033[0m" if sys.stdout.isatty() else f"\n# {text}", flush=True)


def run(heapray, *words):
    """Runs heapray, shows what it prints; (exit status, standard output)."""
    print("$", shlex.join(["heapray", *map(str, words)]), flush=True)
    began = time.monotonic()
    done = subprocess.run([heapray, *map(str, words)], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end="")
    print(f"(exit status {done.returncode}, {time.monotonic() - began:.1f} s)", flush=True)
    return done.returncode, done.stdout


def leaks(options, folder, then=None):
    """Starts the service in `folder`, loads it, asks `heapray leaks` about its worker, calls `then` with the pid."""
    with open(options.work / "gunicorn.log", "ab") as log, Service(options.python, folder, log=log) as service:
        pid = service.workers()[0]
        print(f"$ gunicorn -w 1 app:app      # in {folder.name}/, the worker is process {pid}")
        with Load(service.port) as load:
            time.sleep(options.warmup)
            answer = run(options.heapray, "leaks", pid, "--interval", options.interval, "--snapshots", "5")
            if then:
                then(pid)
        print(f"({load.answered} requests answered meanwhile, {load.failed} failed)")
        return answer, load


def fixed_copy(options):
    """A copy of the service with the missing line; shows the difference."""
    folder = options.work / "fixed"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(HERE, folder, ignore=shutil.ignore_patterns("__pycache__", "*.md"))
    leaking = (HERE / "data_pipeline.py").read_text()
    if leaking.count(BEFORE) != 1:
        raise RuntimeError("data_pipeline.py does not hold the line to fix once")
    fixed = leaking.replace(BEFORE, FIX)
    (folder / "data_pipeline.py").write_text(fixed)
    lines = difflib.unified_diff(leaking.splitlines(True), fixed.splitlines(True), "data_pipeline.py", "data_pipeline.py", n=2)
    print("".join(lines), end="")
    return folder


def explain(options):
    """The questions that follow a finding, over one snapshot file."""

    def ask(pid):
        snapshot, picture = options.work / "leaking.snapshot", options.work / "backrefs.svg"
        say("Why are these arrays alive? From a snapshot file, with a picture")
        statuses = [run(options.heapray, "snapshot", pid, "-o", snapshot)[0]]
        statuses.append(run(options.heapray, "why", snapshot, "type=numpy.ndarray and referrer=list", "-o", picture)[0])
        if any(statuses) or not picture.exists():
            raise RuntimeError("heapray snapshot or why did not succeed")

    return ask


def record(options):
    """Runs the service with the allocation agent, then asks the file where memory grew; what is not as told."""
    capture, flames = options.work / "story.hr", options.work / "flames.svg"
    wrong = []
    print(f"$ heapray run -f -o {capture.name} -- gunicorn -w 1 app:app      # in {HERE.name}/; some seconds of requests, then Ctrl+C")
    under = [options.heapray, "run", "-f", "-o", capture, "--"]
    with open(options.work / "gunicorn.log", "ab") as log:
        with Service(options.python, HERE, log=log, under=under) as service, Load(service.port) as load:
            time.sleep(2 * options.warmup)
        print(f"({load.answered} requests answered, {load.failed} failed)")
    status, text = run(options.heapray, "top", capture, "--sort", "growth", "--limit", "5")
    if status or "data_pipeline.py" not in text:
        wrong.append(f"the recording: exit status {status}, the line {'named' if 'data_pipeline.py' in text else 'not named'}")
    status, _ = run(options.heapray, "flamegraph", capture, "--what", "growth", "-o", flames)
    if status or "normalize_vectors" not in flames.read_text():
        wrong.append("the flame graph does not show normalize_vectors")
    if load.failed:
        wrong.append(f"the recorded service lost {load.failed} requests")
    return wrong


def story(options):
    """Tells it; the list of what is not as told."""
    wrong = []
    say("A service leaks. Nobody changed it, nobody restarts it: ask about its process from outside")
    (status, text), load = leaks(options, HERE, explain(options))
    if status != 1 or HOLDER not in text:
        wrong.append(f"the leak: exit status {status}, {HOLDER} {'named' if HOLDER in text else 'not named'}")
    if load.failed:
        wrong.append(f"the leaking service lost {load.failed} requests")
    say("Where are they allocated? The same service, recorded from its start")
    wrong += record(options)
    say("The one-line fix, in a copy")
    folder = fixed_copy(options)
    say("The same command at the fixed service")
    (status, text), load = leaks(options, folder)
    if status != 0:
        wrong.append(f"the fixed service: exit status {status}")
    if load.failed:
        wrong.append(f"the fixed service lost {load.failed} requests")
    return wrong


def main():
    """Reads the options, tells the story, says whether all was as told."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heapray", required=True, type=Path, help="the binary")
    parser.add_argument("--python", required=True, help="an interpreter with the packages of requirements.txt")
    parser.add_argument("--work", required=True, type=Path, help="where snapshot, picture, log and fixed copy go")
    parser.add_argument("--interval", default="3s", help="between the snapshots of heapray leaks")
    parser.add_argument("--warmup", default=5, type=float, help="seconds of load before the first question")
    options = parser.parse_args()
    options.heapray, options.work = options.heapray.resolve(), options.work.resolve()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.work.mkdir(exist_ok=True)
    wrong = story(options)
    say("All as told" if not wrong else "Not as told: " + "; ".join(wrong))
    names = "backrefs.svg and flames.svg (pictures), leaking.snapshot, story.hr (recording)"
    print(f"In {options.work.name}/: {names}")
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
    except RuntimeError as error:
        sys.exit(f"demo: {error}")
