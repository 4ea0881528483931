#!/usr/bin/env python3
"""Runs CPython's own tests without heapray and under each mode, and compares the outcome of every single test.

    guest.py --heapray BINARY --python PYTHON [--list quick|long|all] [--modes sampled,exact] [--only test_gc,test_os] [--out FILE]

A test whose outcome differs is run once more on both sides, alone with its file: where plain runs differ between
themselves it is said to be unsteady, otherwise it counts. Ends with 1 where a test counts. PYTHON must ship the `test`
package (pyenv's and python.org's do, Debian's do not).
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree
from pathlib import Path

QUICK = """test_list test_dict test_gc test_generators test_mmap test_fork1 test_thread test_weakref test_json test_tracemalloc
test_sys_setprofile test_atexit test_exceptions test_zlib""".split()
LONG = (
    QUICK
    + """test_threading test_asyncio.test_tasks test_asyncio.test_subprocess test_subprocess test_ctypes test_coroutines test_capi
test_wait3 test_wait4 test_posix test_os test_signal test_threadsignals test_array test_bytes test_contextlib test_inspect
test_faulthandler test_resource test_sys test_cmd_line test_embed test_queue test_set test_tuple test_unicode test_re test_pickle
test_sqlite3 test_sqlite test_ssl test_socket test_xml_etree test_decimal test_deque test_functools test_importlib test_bytes
test_multiprocessing_fork test_multiprocessing_spawn test_multiprocessing_forkserver test_concurrent_futures
test__xxsubinterpreters test_interpreters test_monitoring test_sys_settrace test_profile test_cprofile test_greenlet""".split()
)
MODES = {
    "sampled": ["run"],
    "objects": ["run", "--mode", "exact", "--level", "objects"],
    "malloc": ["run", "--mode", "exact", "--level", "malloc"],
    "native": ["run", "--mode", "exact", "--level", "objects", "--native"],
}


class Guest:
    """One Python and how to run its tests under a mode ("plain" is none)."""

    def __init__(self, args):
        self.args = args
        self.folder = Path(tempfile.mkdtemp(prefix="heapray-guest-"))
        self.n_runs = 0
        self.captured = 0

    def known(self, names):
        """Those of `names` that this Python has."""
        code = "import sys, test, os; print(os.path.dirname(test.__file__))"
        where = Path(subprocess.run([self.args.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
        paths = {name: where / Path(*name.split(".")) for name in names}
        return [name for name in dict.fromkeys(names) if paths[name].is_dir() or paths[name].with_suffix(".py").exists()]

    def outcomes(self, mode, names):
        """`{test: outcome}` of one run of the test files `names` (all where empty), and its seconds."""
        self.n_runs += 1
        work = self.folder / f"{self.n_runs}-{mode}"
        work.mkdir()
        report, capture, log = work / "junit.xml", work / "capture.hr", work / "log"
        words = [self.args.python, "-m", "test", f"-j{self.args.jobs}", "--timeout", "600", "--junit-xml", report, *names]
        if mode != "plain":
            words = [self.args.heapray, *MODES[mode], "-o", capture, "--", *words]
        began = time.monotonic()
        with open(log, "wb") as output:
            env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=work, env=env, check=False)
        seconds = time.monotonic() - began
        if not report.exists():
            raise SystemExit(f"guest: the {mode} run wrote no report: {log.read_text(errors='replace')[-2000:]}")
        if capture.exists():
            self.captured = capture.stat().st_size
            capture.unlink()
        return read(report), seconds


def read(report):
    """`{test: "passed" | "failed" | "skipped"}` of a JUnit file; a name that comes twice counts as its worst."""
    worst = {"passed": 0, "skipped": 1, "failed": 2}
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        name = case.get("name")
        found[name] = max(outcome, found.get(name, outcome), key=worst.get)
    return found


def differences(plain, other):
    """Tests whose outcome is not the same, in order of name; a test that did not run is "absent"."""
    names = sorted(plain.keys() | other.keys())
    return [name for name in names if plain.get(name, "absent") != other.get(name, "absent")]


def file_of(name, files):
    """The test file that `test.test_gc.GCTests.test_x` belongs to, as `python -m test` calls it."""
    fits = [file for file in files if name.startswith((f"test.{file}.", f"{file}."))]
    return max(fits, key=len) if fits else name.removeprefix("test.").split(".")[0]


def settle(guest, mode, names, files):
    """Runs the files of the differing tests again, plain and under `mode`: what counts, what is unsteady."""
    again = sorted({file_of(name, files) for name in names})
    plain, other = guest.outcomes("plain", again)[0], guest.outcomes(mode, again)[0]
    still = set(differences(plain, other)) & set(names)
    return sorted(still), sorted(set(names) - still)


def main():
    """Runs, compares, prints; Markdown rows go to --out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heapray", type=Path, required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--list", choices=("quick", "long", "all"), default="quick")
    parser.add_argument("--only")
    parser.add_argument("--modes", default="sampled,objects")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="a Markdown table; rows are added where it exists")
    args = parser.parse_args()
    args.heapray = args.heapray.resolve()
    guest = Guest(args)
    files = guest.known({"quick": QUICK, "long": LONG, "all": []}[args.list] if not args.only else args.only.split(","))
    if not files and args.list != "all":
        raise SystemExit(f"guest: {args.python} has no test package, or none of these tests")
    version = subprocess.run([args.python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True)
    plain, seconds = guest.outcomes("plain", files)
    print(f"guest: {version.stdout.strip()} plain: {tally(plain)} in {seconds:.0f} s", flush=True)
    rows, n_bad = [], 0
    for mode in args.modes.split(","):
        other, seconds = guest.outcomes(mode, files)
        counts, unsteady = [], differences(plain, other)
        if unsteady:
            counts, unsteady = settle(guest, mode, unsteady, files)
        n_bad += len(counts)
        print(f"guest: {version.stdout.strip()} {mode}: {tally(other)} in {seconds:.0f} s, {len(counts)} differ, {len(unsteady)} unsteady", flush=True)
        for name in counts:
            print(f"  differs: {name}: {plain.get(name, 'absent')} plain, {other.get(name, 'absent')} under {mode}")
        for name in unsteady:
            print(f"  unsteady: {name}")
        rows.append([version.stdout.strip(), args.list, mode, len(plain), tally(plain), len(counts), ", ".join(counts) or "–", len(unsteady)])
    if args.out:
        write(args.out, rows)
    print(f"guest: logs in {guest.folder}" if n_bad else "guest: same outcome")
    sys.exit(1 if n_bad else 0)


def tally(outcomes):
    """`120 passed, 3 skipped`."""
    kinds = ("passed", "failed", "skipped")
    counts = {kind: sum(outcome == kind for outcome in outcomes.values()) for kind in kinds}
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n)


def write(path, rows):
    """Adds rows to the table at `path`, which it begins where there is none."""
    if not path.exists():
        header = ["Python", "list", "mode", "tests", "plain", "differ", "which", "unsteady"]
        head = (
            "# CPython's own tests under heapray\n\nEvery single test of `python -m test`, plain and under each mode. One that came out otherwise was run again on both "
            "sides; those that differed again are listed, the others are unsteady without heapray too.\n\n"
        )
        path.write_text(head + "| " + " | ".join(header) + " |\n" + "|" + "---|" * len(header) + "\n")
    with open(path, "a") as file:
        file.writelines("| " + " | ".join(map(str, row)) + " |\n" for row in rows)


if __name__ == "__main__":
    main()
