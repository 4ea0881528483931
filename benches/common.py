"""What the benchmarks share: a target, a measured run of heapray, and a table with medians and spread."""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Target:
    """`with Target(python, n_records) as target:` runs heaps.py; `target.ask("fork")` asks it."""

    def __init__(self, python, n_records):
        words = [python, "-u", str(HERE / "heaps.py"), str(n_records)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self):
        self.pid = int(self.process.stdout.readline())
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def ask(self, line):
        """The answer to one question, as numbers."""
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return [float(word) for word in self.process.stdout.readline().split()]

    def rss(self):
        """Resident bytes."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", text)[1]) * 1024


# Starts a program and writes what it cost to a descriptor. The kernel counts to a program's peak what its parent had when it
# started it, so this small one stands between.
LAUNCH = """
import os, sys, time
began = time.perf_counter()
_, status, usage = os.wait4(os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ), 0)
cost = [os.waitstatus_to_exitcode(status), time.perf_counter() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]
os.write(int(sys.argv[1]), " ".join(map(str, cost)).encode())
"""


class Run:
    """One run of heapray: `cpu` and `wall` seconds, `peak` resident bytes (8 MB at least), `text` of its output."""

    def __init__(self, *words):
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as cost:
            launch = [sys.executable, "-I", "-S", "-c", LAUNCH, str(cost.fileno()), *map(str, words)]
            subprocess.run(launch, stdout=out, stderr=err, pass_fds=[cost.fileno()], check=False)
            for file in (out, err, cost):
                file.seek(0)
            self.text = out.read().decode()
            status, self.wall, self.cpu, peak = map(float, cost.read().split())
            if status:
                raise SystemExit(f"{words} ended with {status:.0f}: {err.read().decode()}")
        self.peak = peak * 1024


def pause_ms(text):
    """All stops that `heapray snapshot` says it caused, added up."""
    return sum(float(number) for number in re.findall(r"stopped for ([\d.,]+) ms", text))


def counted(text):
    """The number of objects that `heapray snapshot` says it wrote."""
    return int(re.search(r"([\d,]+) objects", text)[1].replace(",", ""))


def spread(values, digits=1):
    """`median (lowest to highest)`."""
    numbers = [f"{number:.{digits}f}" for number in (statistics.median(values), min(values), max(values))]
    return f"{numbers[0]} ({numbers[1]} to {numbers[2]})"


def machine():
    """One line on where this was measured."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    kernel = ".".join(platform.release().split(".")[:2])
    return f"{os.cpu_count()}-core virtual machine, {memory:.0f} GiB, Linux {kernel}, {platform.machine()}, load {os.getloadavg()[0]:.1f}"


def python_version(python):
    """`3.12.1` of an interpreter."""
    return subprocess.run([python, "-c", "import platform; print(platform.python_version())"], capture_output=True, text=True, check=True).stdout.strip()


def table(header, rows):
    """Markdown."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def write(name, title, notes, header, rows):
    """Writes benches/results/NAME.md with one table, and prints it."""
    write_page(name, title, notes, [table(header, rows)])


def write_page(name, title, notes, parts):
    """Writes benches/results/NAME.md: what was measured, and where, then the parts; and prints it."""
    text = "\n".join([f"# {title}", "", f"{machine()}; {date.today()}. {notes}", "", *parts])
    (HERE / "results").mkdir(exist_ok=True)
    (HERE / "results" / f"{name}.md").write_text(text)
    print(text)
