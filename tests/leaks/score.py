#!/usr/bin/env python3
"""Runs `heapray leaks` on programs whose truth is known, and says how often it was right.

The programs are those of tests/stories (their head comments tell the truth), or, with HEAPRAY_LEAKS_DIR or --zoo,
a folder of cases with truth.json files and a run_case.sh. Each runs until it says RESULT; heapray is asked while
the program goes on. Exit status 1 when a bar is missed: kind right in 95 %, holder or type in 90 %, no false alarm.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
STORIES = ROOT / "tests" / "stories"
READY_SECONDS = 180
FIELDS = ("holder", "root", "trail", "types", "advice")


@dataclass
class Case:
    name: str
    kind: str | None
    match: str
    command: list
    needs: str = ""


@dataclass
class Score:
    case: Case
    kind: str | None = None
    holder: str = ""
    seconds: float = 0.0
    error: str = ""
    skipped: str = ""
    answer: dict = field(default_factory=dict)

    @property
    def kind_ok(self):
        return not self.error and self.kind == self.case.kind

    @property
    def match_ok(self):
        if self.case.kind is None or not self.kind_ok:
            return self.kind_ok
        first = self.answer["findings"][0]
        text = json.dumps([first.get(name) for name in FIELDS], ensure_ascii=False)
        return re.search(self.case.match, text) is not None

    @property
    def false_alarm(self):
        return self.case.kind is None and bool(self.answer.get("findings"))


def stories(python):
    """The programs of tests/stories."""
    for path in sorted(STORIES.glob("[a-z]*.py")):
        head = dict(re.findall(r"^# (kind|match|needs): *(.*)$", path.read_text(), re.M))
        kind = None if head["kind"] == "none" else head["kind"]
        command = [python, "-u", "-B", str(path)]
        yield Case(path.stem, kind, head.get("match", ""), command, head.get("needs", ""))


def zoo(folder, fixed):
    """The cases of a folder with truth.json files; with `fixed` those that have a fixed version, as healthy ones."""
    for truth in sorted(folder.glob("*/truth.json")):
        name = truth.parent.name
        told = json.loads(truth.read_text())
        expect = told["expect"]
        run = [str(folder / "run_case.sh")]
        if not fixed:
            yield Case(name, expect["kind"], expect["match"], [*run, name])
        elif expect["kind"] and (told.get("fixed_version") or told.get("fixed_by_flag")):
            yield Case(f"{name} (fixed)", None, "", [*run, "--fixed", name])


def prepare(cases):
    """Makes the environments of a folder's cases one after the other: some share one, and two must not make it at once."""
    for case in cases:
        run, *flags, name = case.command
        subprocess.run([run, *flags, "--python", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def has(python, module):
    return subprocess.run([python, "-c", f"import {module}"], capture_output=True).returncode == 0


def wait_for_result(process):
    """Reads the program's output up to RESULT; answers the process to ask about."""
    pid = None
    deadline = time.monotonic() + READY_SECONDS
    for line in process.stdout:
        word, _, rest = line.partition(" ")
        if word in ("PID", "MASTER") and pid is None:
            pid = int(rest)
        elif word == "WORKER" and rest.split()[1:2] != ["healthy"]:
            pid = int(rest.split()[0])
        elif word.strip() == "RESULT":
            return pid
        if time.monotonic() > deadline:
            break
    raise RuntimeError("the program never said RESULT")


def stop(process):
    """Ends the program and what it started: it leads a process group of its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run(case, options):
    score = Score(case)
    if case.needs and not has(case.command[0], case.needs):
        score.skipped = f"needs {case.needs}"
        return score
    env = {**os.environ, "LEAKZOO_LOOP": str(options.loop), "STORY_LOOP": str(options.loop)}
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    process = subprocess.Popen(case.command, env=env, start_new_session=True, **pipes)
    try:
        ask(score, wait_for_result(process), options)
    except (RuntimeError, ValueError, KeyError, subprocess.TimeoutExpired) as error:
        score.error = f"{type(error).__name__}: {error}"
    finally:
        stop(process)
    return score


def ask(score, pid, options):
    command = [options.heapray, "leaks", str(pid), "--json"]
    if options.interval:
        command += ["--interval", options.interval]
    if options.snapshots:
        command += ["--snapshots", str(options.snapshots)]
    began = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    score.seconds = time.monotonic() - began
    if done.returncode not in (0, 1):
        raise RuntimeError(f"heapray exited with {done.returncode}: {done.stderr.strip()[-300:]}")
    score.answer = json.loads(done.stdout)
    findings = score.answer["findings"]
    if findings:
        score.kind, score.holder = findings[0]["kind"], findings[0]["holder"]
    if (done.returncode == 1) != bool(findings):
        raise RuntimeError(f"exit status {done.returncode} with {len(findings)} findings")


def row(score):
    mark = {True: "yes", False: "**no**"}
    expected = score.case.kind or "–"
    if score.skipped:
        return f"| {score.case.name} | {expected} | skipped: {score.skipped} | | | | |"
    holder = score.error or score.holder.replace("|", "\\|")
    cells = [
        score.case.name, expected, score.kind or "–", holder[:90],
        mark[score.kind_ok], mark[score.match_ok], f"{score.seconds:.0f}",
    ]
    return "| " + " | ".join(cells) + " |"


def table(scores):
    scores = [score for score in scores]
    counted = [score for score in scores if not score.skipped]
    leaking = [score for score in counted if score.case.kind]
    healthy = [score for score in counted if not score.case.kind]
    n_kind = sum(score.kind_ok for score in counted)
    n_match = sum(score.match_ok for score in leaking)
    n_false = sum(score.false_alarm for score in healthy)
    n_broken = sum(bool(score.error) for score in counted)
    slowest = max((score.seconds for score in counted), default=0.0)
    lines = ["| case | expected | named | holder | kind right | match | seconds |", "|---|---|---|---|---|---|---|"]
    lines += [row(score) for score in scores]
    lines += [
        "",
        f"Kind right: {n_kind} of {len(counted)}. Holder or type right: {n_match} of {len(leaking)} that leak. "
        f"False alarms: {n_false} of {len(healthy)} that do not. Errors: {n_broken}. Slowest: {slowest:.0f} s.",
    ]
    missed = (
        n_kind < 0.95 * len(counted) or n_match < 0.90 * len(leaking) or n_false > 0 or n_broken > 0 or slowest > 60
    )
    return "\n".join(lines) + "\n", missed


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help="names of cases; all without")
    parser.add_argument("--heapray", default=str(ROOT / "target" / "release" / "heapray"))
    parser.add_argument("--python", default=sys.executable, help="runs the stories")
    parser.add_argument("--zoo", default=os.environ.get("HEAPRAY_LEAKS_DIR"), help="folder of cases with truth.json")
    parser.add_argument("--fixed", action="store_true", help="the fixed versions of leaking cases: none may be found")
    parser.add_argument("--interval", help="as for heapray leaks; its own default without")
    parser.add_argument("--snapshots", type=int, help="likewise")
    parser.add_argument("--loop", type=int, default=240, help="seconds that a program goes on for")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--markdown", type=pathlib.Path, help="also write the table here")
    parser.add_argument("--answers", type=pathlib.Path, help="keep each JSON answer in this folder")
    return parser.parse_args()


def main():
    options = arguments()
    cases = list(zoo(pathlib.Path(options.zoo), options.fixed) if options.zoo else stories(options.python))
    if options.cases:
        cases = [case for case in cases if case.name.removesuffix(" (fixed)") in options.cases]
    if options.zoo:
        prepare(cases)
    scores = []
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for score in pool.map(lambda case: run(case, options), cases):
            print(row(score), flush=True)
            scores.append(score)
            if options.answers:
                options.answers.mkdir(parents=True, exist_ok=True)
                text = json.dumps(score.answer or {"error": score.error}, indent=1, ensure_ascii=False)
                (options.answers / f"{score.case.name}.json").write_text(text)
    text, missed = table(scores)
    print("\n" + text)
    if options.markdown:
        options.markdown.write_text(text)
    sys.exit(int(missed))


if __name__ == "__main__":
    main()
