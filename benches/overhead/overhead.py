#!/usr/bin/env python3
"""What recording costs, beside tracemalloc and memray: whole processes under each tool in turn, A B C A B C.

    overhead.py --heapray BINARY --python PYTHON [-n 5] [--only calls,records] [--tools plain,sampled] [--repeat 8] [--name 3.13]

PYTHON needs benches/overhead/requirements.txt (testkit/setup.sh venv makes such an environment).
CPU seconds are those of the whole process tree, the collector's among them. A ratio is taken pair by pair, each run to
the plain run of its round. Writes benches/results/overhead-NAME.md and prints as it goes.
"""

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import machine, python_version, table  # noqa: E402

WORKLOADS = "calls records churn json_trips deep generators tasks arrays threads service imports".split()

# pyperformance's, each with as many loops as take about a second. One value, no warm-up: a whole process is timed.
PYPERFORMANCE = {
    "richards": "-l 16",
    "deltablue": "-l 120",
    "raytrace": "-l 2",
    "chaos": "-l 8",
    "go": "-l 4",
    "hexiom": "-l 60",
    "nbody": "-l 8",
    "json_dumps": "-l 40",
    "json_loads": "-l 15000",
    "comprehensions": "-l 20000",
    "coroutines": "-l 30",
    "generators": "-l 12",
    "async_generators": "-l 1",
    "async_tree": "-l 2 none",
    "regex_compile": "-l 3",
    "xml_etree": "-l 2",
    "telco": "-l 80",
    "sqlite_synth": "-l 9000",
}

TRACEMALLOC = (
    "import sys,tracemalloc,runpy; tracemalloc.start({n}); sys.argv = sys.argv[1:]; "
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)
RUN = "{heapray} run -o {out} "
TOOLS = {
    "plain": "{python} {script}",
    "sampled": RUN + "-- {python} {script}",
    "sampled native": RUN + "--native -- {python} {script}",
    "malloc": RUN + "--mode exact --level malloc -- {python} {script}",
    "malloc native": RUN + "--mode exact --level malloc --native -- {python} {script}",
    "objects": RUN + "--mode exact --level objects -- {python} {script}",
    "objects native": RUN + "--mode exact --level objects --native -- {python} {script}",
    "tracemalloc 1": "{python} -c " + shlex.quote(TRACEMALLOC.replace("{n}", "1")) + " {script}",
    "tracemalloc 25": "{python} -c " + shlex.quote(TRACEMALLOC.replace("{n}", "25")) + " {script}",
    "memray": "{python} -m memray run -q -f -o {out} {script}",
    "memray objects": "{python} -m memray run -q -f --trace-python-allocators -o {out} {script}",
    "memray native": "{python} -m memray run -q -f --native -o {out} {script}",
    "memray objects native": "{python} -m memray run -q -f --native --trace-python-allocators -o {out} {script}",
}
# Whose added time is set beside whose: the same events recorded by both.
PEERS = [
    ("malloc", "memray"),
    ("objects", "memray objects"),
    ("malloc native", "memray native"),
    ("objects native", "memray objects native"),
    ("sampled", "memray"),
]


class Run:
    """One whole process: `cpu` and `wall` seconds, `rss` MiB of the largest process, `written` bytes in {out}."""

    def __init__(self, words, folder):
        env = dict(os.environ, OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", PYTHONDONTWRITEBYTECODE="1")
        env["PYTHONHASHSEED"] = "0"
        with tempfile.TemporaryFile() as errors:
            began = time.perf_counter()
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=env)
            _, status, usage = os.wait4(child.pid, 0)
            self.wall = time.perf_counter() - began
            child.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            self.errors = errors.read().decode(errors="replace")
        self.failed = child.returncode
        self.cpu = usage.ru_utime + usage.ru_stime
        self.rss = usage.ru_maxrss / 1024
        self.written = sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())


def scripts(python, wanted, repeat):
    """`{name: words after the interpreter}` of the workloads wanted and there, each `repeat` times over."""
    again = f"{HERE}/repeat.py {repeat} " if repeat > 1 else ""
    found = {name: f"{again}{HERE}/workloads/{name}.py" for name in WORKLOADS}
    where = "import pyperformance,pathlib; print(pathlib.Path(pyperformance.__file__).parent / 'data-files/benchmarks')"
    out = subprocess.run([python, "-c", where], capture_output=True, text=True, check=False).stdout.strip()
    if repeat > 1:
        print("overhead: pyperformance's workloads are not repeated, and left out", file=sys.stderr)
    elif out:
        for name, loops in PYPERFORMANCE.items():
            found[f"pp {name}"] = f"{out}/bm_{name}/run_benchmark.py {pyperf(loops)}"
    else:
        print("overhead: pyperformance is not installed for this Python; its workloads are left out", file=sys.stderr)
    return {name: found[name] for name in wanted or found if name in found}


def pyperf(loops):
    """The arguments with which a pyperf script runs once, in this very process."""
    return f"--worker -n 1 -w 0 {loops}"


def measure(template, values):
    """One run in a fresh folder."""
    with tempfile.TemporaryDirectory() as folder:
        words = [word.format(out=f"{folder}/capture", **values) for word in shlex.split(template)]
        words = [part for word in words for part in (shlex.split(word) if word == values["script"] else [word])]
        return Run(words, folder)


def rounds(args, tools, script):
    """`{tool: [Run, ...]}`; a tool that fails once is told and left out of this workload."""
    values = {"python": args.python, "heapray": args.heapray, "script": script}
    measure(TOOLS["plain"], values)  # warms the files up
    runs = {name: [] for name in tools}
    for _ in range(args.n):
        for name in [name for name in tools if name in runs]:
            run = measure(TOOLS[name], values)
            if run.failed and name == "plain":
                print(f"overhead: {script} does not run on this Python: {run.errors.strip()[-200:]}", file=sys.stderr)
                return {}
            if run.failed:
                print(f"overhead: {name} failed ({run.failed}): {run.errors.strip()[-300:]}", file=sys.stderr)
                del runs[name]
            else:
                runs[name].append(run)
    return runs


def ratios(runs, name, key="cpu"):
    """Run by run, to the plain run of the same round."""
    return [getattr(run, key) / getattr(plain, key) for run, plain in zip(runs[name], runs["plain"])]


def median_of(runs, name, key):
    """The median of one figure of a tool's runs."""
    return statistics.median(getattr(run, key) for run in runs[name])


def spread(values, digits=3):
    """`median (lowest to highest)`."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def workload_rows(name, runs):
    """One row per tool."""
    for tool in runs:
        yield [
            name,
            tool,
            f"{median_of(runs, tool, 'cpu'):.2f}",
            spread(ratios(runs, tool)),
            f"{least_ratio(runs, tool):.3f}",
            f"{median_of(runs, tool, 'wall'):.2f}",
            spread(ratios(runs, tool, "wall"), 2),
            f"{median_of(runs, tool, 'rss'):.0f}",
            f"{median_of(runs, tool, 'written') / 1e6:.2f}",
        ]


def summary_rows(results, tools):
    """Per tool: geometric mean and worst of the medians over all workloads that it survived."""
    for tool in tools:
        medians = {name: statistics.median(ratios(runs, tool)) for name, runs in results.items() if tool in runs}
        if medians:
            worst = max(medians, key=medians.get)
            mean = statistics.geometric_mean(medians.values())
            least = {name: least_ratio(results[name], tool) for name in medians}
            worst_least = max(least, key=least.get)
            failed = ", ".join(name for name, runs in results.items() if tool not in runs) or "none"
            yield [
                tool,
                f"{mean:.3f}",
                f"{medians[worst]:.3f} ({worst})",
                f"{statistics.geometric_mean(least.values()):.3f}",
                f"{least[worst_least]:.3f} ({worst_least})",
                failed,
            ]


def least_ratio(runs, tool):
    """The least CPU time of a tool to plain's least: what a busy machine adds is in neither."""
    return min(run.cpu for run in runs[tool]) / min(run.cpu for run in runs["plain"])


def added(runs, tool):
    """CPU seconds over plain, the median over rounds of the pair's difference."""
    return statistics.median(run.cpu - plain.cpu for run, plain in zip(runs[tool], runs["plain"]))


def peer_rows(results):
    """Per pair: our added CPU time as a share of memray's, over all workloads and at the worst of them."""
    for ours, theirs in PEERS:
        both = {name: runs for name, runs in results.items() if ours in runs and theirs in runs}
        if not both:
            continue
        sums = [sum(added(runs, tool) for runs in both.values()) for tool in (ours, theirs)]
        written = [sum(median_of(runs, tool, "written") for runs in both.values()) for tool in (ours, theirs)]
        shares = {name: added(runs, ours) / added(runs, theirs) for name, runs in both.items() if added(runs, theirs) > 0.05}
        worst = max(shares, key=shares.get)
        yield [
            ours,
            theirs,
            f"{sums[0]:.2f}",
            f"{sums[1]:.2f}",
            f"{sums[0] / sums[1]:.3f}",
            f"{statistics.median(shares.values()):.3f}",
            f"{shares[worst]:.3f} ({worst})",
            f"{written[0] / written[1]:.3f}",
        ]


def page(args, tools, results):
    """The whole result as Markdown."""
    head = (
        f"# Overhead on Python {python_version(args.python)}\n\n{machine()}; {date.today()}. Whole processes, each tool in turn, "
        f"n = {args.n}: median (lowest to highest). CPU is that of the process tree, heapray's collector included; ratios are run "
        "by run to the plain run of the same round, or the least of all rounds to the least. "
        + (f"Each workload {args.repeat} times over in one process.\n" if args.repeat > 1 else "`pp` are pyperformance's.\n")
    )
    header = ["tool", "CPU to plain, geometric mean", "worst workload", "least to least, geometric mean", "worst workload", "failed on"]
    parts = [head, "## Over all workloads\n", table(header, summary_rows(results, tools))]
    header = ["heapray", "peer", "added CPU s, heapray", "added CPU s, peer", "share of the sums", "median share", "worst share", "bytes written, share"]
    parts += ["## Added time beside memray's\n", table(header, peer_rows(results))]
    header = ["workload", "tool", "CPU s", "CPU to plain", "least to least", "wall s", "wall to plain", "MiB", "MB written"]
    rows = [row for name, runs in results.items() for row in workload_rows(name, runs)]
    return "\n".join(parts + ["## Each workload\n", table(header, rows)])


def main():
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heapray", required=True)
    parser.add_argument("--python", required=True)
    parser.add_argument("-n", type=int, default=5)
    parser.add_argument("--only", help="workloads, comma-separated")
    parser.add_argument("--tools", help="tools, comma-separated; plain always runs")
    parser.add_argument("--repeat", type=int, default=1, help="how often one process runs a workload")
    parser.add_argument("--name", help="of the result file: overhead-NAME.md; without it nothing is written")
    args = parser.parse_args()
    tools = [name for name in TOOLS if not args.tools or name == "plain" or name in args.tools.split(",")]
    results = {}
    for name, script in scripts(args.python, args.only and args.only.split(","), args.repeat).items():
        runs = rounds(args, tools, script)
        if not runs.get("plain"):
            continue
        results[name] = runs
        for row in workload_rows(name, results[name]):
            print(f"{row[0]:18} {row[1]:16} {row[2]:>7} {row[3]:26} {row[4]:>6} {row[5]:>7} {row[7]:>6} MiB {row[8]:>8} MB", flush=True)
        if args.name:
            (HERE.parent / f"results/overhead-{args.name}.md").write_text(page(args, tools, results))
    print(page(args, tools, results))


if __name__ == "__main__":
    main()
