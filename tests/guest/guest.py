#!/usr/bin/env python3
"""Runs CPython's own tests without heapray and under each mode, and compares the outcome of every single test.

    guest.py --heapray BINARY --python PYTHON [--list quick|long|slow|all] [--modes sampled,exact] [--only test_gc,test_os] [--out FILE]

A test whose outcome differs is run once more on both sides, alone with its file: where plain runs differ between
themselves it is said to be unsteady, otherwise it counts. Ends with 1 where a test counts. PYTHON must ship the `test`
package (pyenv's and python.org's do, Debian's do not).
"""

import argparse
import os
import platform
import re
import signal
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
    + """test_threading test_threading_local test_asyncio.test_subprocess test_subprocess test_ctypes test_coroutines test_capi
test_wait3 test_wait4 test_posix test_os test_signal test_threadsignals test_array test_bytes test_contextlib test_inspect
test_faulthandler test_resource test_sys test_cmd_line test_embed test_queue test_set test_tuple test_unicode test_str test_re
test_pickle test_sqlite3 test_sqlite test_xml_etree test_xml_etree_c test_decimal test_deque test_functools test_importlib
test__xxsubinterpreters test_interpreters test_monitoring test_sys_settrace test_profile test_cprofile test_codecs
test_collections test_context test_descr test_frame test_hashlib test_itertools test_lzma test_bz2 test_memoryio test_memoryview
test_struct test_syntax test_traceback test_types test_typing test_code test_compile test_finalization test_crashers
test_multiprocessing_main_handling test_concurrent_futures.test_thread_pool test_opcache test_super test_iter""".split()
)
# Files of a minute and more each, and of network.
SLOW = """test_socket test_ssl test_asyncio.test_tasks test_multiprocessing_fork test_multiprocessing_spawn
test_multiprocessing_forkserver test_concurrent_futures test_io test_selectors""".split()
LISTS = {"quick": QUICK, "long": LONG, "slow": SLOW, "all": []}
# Tests that hang with or without heapray, by the versions where they do. A race of the test's own: where its thread is late, functions
# that catch each other's recursion errors run for hours. Interpreters made in a thread: that thread waits for a lock for ever.
# A pool that is shut down while a task cannot be pickled: concurrent.futures takes two locks in either order.
NEVER = {
    "3.12": ["test_print_exception_gh_102056"],
    "3.13": ["test_print_exception_gh_102056", "test_shutdown_deadlock_pickle"],
    "3.11": ["test_print_exception_gh_102056", "test_in_thread*", "test_from_other_thread"],
}
# Tests that ask CPython whose functions its allocators are. Where heapray has set them (PyMem_SetAllocator), `sys._debugmallocstats()`
# leaves pymalloc's part out and `_testcapi.pymem_getallocatorsname()` knows no name: told in the table, without effect on the status.
ASKING = {"test_debugmallocstats", "test_pythonmalloc", "test_xdev"}
# Parameters are named by their texts, which may hold addresses.
ADDRESS = re.compile("0x[0-9a-f]{6,}")
MODES = {
    "sampled": ["run"],
    "objects": ["run", "--mode", "exact", "--level", "objects"],
    "malloc": ["run", "--mode", "exact", "--level", "malloc"],
    "native": ["run", "--mode", "exact", "--level", "objects", "--native"],
}


class Runner:
    """Some tests of one Python and how to run them under a mode ("plain" is none)."""

    def __init__(self, args, label, files):
        # Shells ignore it for what runs in the background, and so would all that is started from here.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        self.args, self.label, self.files = args, label, files
        self.folder = Path(tempfile.mkdtemp(prefix="heapray-guest-"))
        self.n_runs = 0

    def words(self, report, names):
        """The command that runs the files `names` and writes what came out, as JUnit's XML, to `report`."""
        raise NotImplementedError

    def file_of(self, name):
        """The test file that the test `name` belongs to, as `words` takes it."""
        raise NotImplementedError

    def outcomes(self, mode, names):
        """`{test: outcome}` of one run of the test files `names`, and its seconds."""
        self.n_runs += 1
        work = self.folder / f"{self.n_runs}-{mode}"
        work.mkdir()
        report, capture, log = work / "junit.xml", work / "capture.hr", work / "log"
        words = self.words(report, names)
        if mode != "plain":
            words = [self.args.heapray, *MODES[mode], "-o", capture, "--", *words]
        began = time.monotonic()
        with open(log, "wb") as output:
            env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
            subprocess.run(words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=self.cwd(work), env=env, check=False)
        seconds = time.monotonic() - began
        if not report.exists():
            raise SystemExit(f"guest: the {mode} run wrote no report: {log.read_text(errors='replace')[-2000:]}")
        capture.unlink(missing_ok=True)
        return read(report), seconds

    def cwd(self, work):
        """The folder to run in: one of the run's own."""
        return work

    def compare(self):
        """Runs all plain and under each mode, prints what differs; rows of the table, and the number of tests that count."""
        plain, seconds_plain = self.outcomes("plain", self.files)
        print(f"guest: {self.label} plain: {tally(plain)} in {seconds_plain:.0f} s", flush=True)
        if "passed" not in plain.values():
            raise SystemExit(f"guest: nothing passes: {self.folder}")
        rows, n_bad = [], 0
        for mode in self.args.modes.split(","):
            other, seconds = self.outcomes(mode, self.files)
            differ = differences(plain, other)
            asking = [name for name in differ if name.split(".")[-1] in ASKING]
            counts, unsteady = [name for name in differ if name not in asking], []
            if counts:
                counts, unsteady = self.settle(mode, counts)
            n_bad += len(counts)
            print(f"guest: {self.label} {mode}: {tally(other)} in {seconds:.0f} s, {len(counts)} differ, {len(unsteady)} unsteady", flush=True)
            for name in counts:
                print(f"  differs: {name}: {plain.get(name, 'absent')} plain, {other.get(name, 'absent')} under {mode}")
            for kind, names in ("asks for allocators", asking), ("unsteady", unsteady):
                for name in names:
                    print(f"  {kind}: {name}")
            took = f"{seconds_plain:.0f} s, {seconds:.0f} s"
            which = [", ".join(names) or "–" for names in (counts, asking, unsteady)]
            rows.append([self.label, mode, f"{len(plain):,}", tally(plain), took, len(counts), *which])
        print(f"guest: logs in {self.folder}" if n_bad else "guest: same outcome")
        return rows, n_bad

    def settle(self, mode, names):
        """Runs the files of the differing tests again, plain and under `mode`: what counts, what is unsteady."""
        again = sorted({self.file_of(name) for name in names})
        plain, other = self.outcomes("plain", again)[0], self.outcomes(mode, again)[0]
        still = set(differences(plain, other)) & set(names)
        return sorted(still), sorted(set(names) - still)


class Guest(Runner):
    """CPython's own tests."""

    def __init__(self, args, names):
        code = "import platform, test, os; print(platform.python_version(), os.path.dirname(test.__file__))"
        self.python = args.python
        answer = subprocess.run([args.python, "-c", code], capture_output=True, text=True, check=False).stdout.split(None, 1)
        if not answer:
            raise SystemExit(f"guest: {args.python} has no test package")
        self.version, where = answer[0], Path(answer[1].strip())
        paths = {name: where / Path(*name.split(".")) for name in names}
        known = [name for name in dict.fromkeys(names) if paths[name].is_dir() or paths[name].with_suffix(".py").exists()]
        super().__init__(args, f"{self.version} {args.only or args.list}", known)

    def words(self, report, names):
        words = [self.python, "-m", "test", f"-j{self.args.jobs}", "--timeout", str(self.args.timeout), "--junit-xml", report]
        never = NEVER.get(self.version.rpartition(".")[0], ())
        return words + [word for name in never for word in ("--ignore", name)] + names

    def file_of(self, name):
        fits = [file for file in self.files if name.startswith((f"test.{file}.", f"{file}."))]
        return max(fits, key=len) if fits else name.removeprefix("test.").split(".")[0]


def read(report):
    """`{test: "passed" | "failed" | "skipped"}` of a JUnit file; a name that comes twice counts as its worst."""
    worst = {"passed": 0, "skipped": 1, "failed": 2}
    found = {}
    for case in xml.etree.ElementTree.parse(report).iter("testcase"):
        if not case.keys():
            continue  # regrtest's of a test whose parts failed one by one; it has no name, and the test counts as absent
        kinds = {child.tag for child in case}
        outcome = "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        name = ADDRESS.sub("0x", ".".join(filter(None, (case.get("classname"), case.get("name")))))
        found[name] = max(outcome, found.get(name, outcome), key=worst.get)
    return found


def differences(plain, other):
    """Tests whose outcome is not the same, in order of name; a test that did not run is "absent"."""
    names = sorted(plain.keys() | other.keys())
    return [name for name in names if plain.get(name, "absent") != other.get(name, "absent")]


def arguments(description):
    """The options that are the same whatever the tests."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heapray", type=lambda path: Path(path).resolve(), required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("--modes", default="sampled,objects")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=int, default=300, help="seconds for a test file, after which it counts as failed")
    parser.add_argument("--out", type=Path, help="a Markdown table; rows are added where it exists")
    return parser


def main():
    """Runs, compares, prints; Markdown rows go to --out."""
    parser = arguments(__doc__)
    parser.add_argument("--list", choices=tuple(LISTS), default="quick")
    parser.add_argument("--only")
    args = parser.parse_args()
    guest = Guest(args, args.only.split(",") if args.only else LISTS[args.list])
    if not guest.files and args.list != "all":
        raise SystemExit(f"guest: {args.python} has none of these tests")
    rows, n_bad = guest.compare()
    if args.out:
        write(args.out, "CPython's own tests under heapray", "Every single test of `python -m test`", rows)
    sys.exit(1 if n_bad else 0)


def tally(outcomes):
    """`120 passed, 3 skipped`."""
    kinds = ("passed", "failed", "skipped")
    counts = {kind: sum(outcome == kind for outcome in outcomes.values()) for kind in kinds}
    return ", ".join(f"{n:,} {kind}" for kind, n in counts.items() if n)


def write(path, title, what, rows):
    """Adds rows to the table at `path`, which it begins where there is none."""
    if not path.exists():
        header = ["tests", "mode", "n", "plain", "plain, mode took", "differ", "which", "ask for allocators", "unsteady"]
        head = (
            f"# {title}\n\n{what}, plain and under each mode. One that came out otherwise was run again on both sides, with its file: "
            "those that differed again are listed, the others are unsteady, with or without heapray. Tests that ask CPython whose functions "
            "its allocators are see that heapray has set them (docs/attach.md). "
            f"Machine: {os.cpu_count()} cores, Linux {platform.release()}; seconds are of the clock, beside whatever else ran.\n\n"
        )
        path.write_text(head + "| " + " | ".join(header) + " |\n" + "|" + "---|" * len(header) + "\n")
    with open(path, "a") as file:
        file.writelines("| " + " | ".join(map(str, row)) + " |\n" for row in rows)


if __name__ == "__main__":
    main()
