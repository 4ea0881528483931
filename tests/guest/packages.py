#!/usr/bin/env python3
"""Runs the tests that NumPy, gevent, greenlet and gunicorn ship, without heapray and under each mode, as guest.py does.

    packages.py --heapray BINARY --python PYTHON [--only numpy,gevent] [--modes sampled,malloc] [--gunicorn FOLDER] [--out FILE]

PYTHON has the packages of requirements.txt. FOLDER is gunicorn's source distribution, unpacked: its wheel ships no tests.
Tests that need the network, a compiler or minutes each are left out.
"""

import os
import subprocess
import sys
from pathlib import Path

import guest

# greenlet's tests would run each other many times and count all objects of pytest's; gevent's would look for the network.
os.environ |= {"GREENLET_SKIP_LEAKCHECKS": "1", "GEVENTTEST_USE_RESOURCES": "-network"}
# Of NumPy what allocates, copies and frees in all its ways: arrays and their memory, object and string arrays, files, LAPACK.
NUMPY = """numpy._core.tests.test_multiarray numpy._core.tests.test_mem_policy numpy._core.tests.test_array_coercion
numpy._core.tests.test_regression numpy._core.tests.test_stringdtype numpy._core.tests.test_indexing numpy._core.tests.test_records
numpy._core.tests.test_shape_base numpy._core.tests.test_overrides numpy.lib.tests.test_io numpy.lib.tests.test_stride_tricks
numpy.linalg.tests.test_linalg""".split()
# Of gevent not what looks names up in the Internet.
NO_NETWORK = ("test__all__", "test__socket_dns", "test__socket_dns6", "test__resolver_dnspython", "test__ares_host_result", "test__ares_timeout")


class Package(guest.Runner):
    """The tests of one package, in PYTHON."""

    def __init__(self, args, name, files):
        code = f"import sys, importlib.metadata as m; print(m.version({name!r}), sys.version.split()[0])"
        answer = subprocess.run([args.python, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        super().__init__(args, f"{name} {answer[0]} on {answer[1]}", files)

    def file_of(self, name):
        parts = name.split(".")
        last = next(at for at, part in enumerate(parts) if part.startswith("test_"))
        return ".".join(parts[: last + 1])


class Pytest(Package):
    """Tests that pytest runs: dotted names of files and folders below `root`."""

    def __init__(self, args, name, files, root):
        super().__init__(args, name, files)
        self.root = root

    def words(self, report, names):
        paths = [self.root / name.replace(".", "/") for name in names]
        files = [path if path.is_dir() else path.with_suffix(".py") for path in paths]
        # Of gunicorn's options: no coverage, no containers.
        options = ["-q", "-p", "no:cacheprovider", "-o", "addopts=", "-m", "not slow", "--ignore", self.root / "tests/docker"]
        return [self.args.python, "-m", "pytest", *options, "--rootdir", self.root, "--junit-xml", report, *files]


class Units(Package):
    """Test modules that want a process each."""

    def words(self, report, names):
        return [self.args.python, Path(__file__).with_name("units.py"), report, str(self.args.jobs), str(self.args.timeout), *names]


def gevents(packages):
    """The names of gevent's test modules."""
    names = sorted(path.stem for path in (packages / "gevent/tests").glob("test_*.py"))
    return [f"gevent.tests.{name}" for name in names if name not in NO_NETWORK]


def main():
    """One package after the other."""
    parser = guest.arguments(__doc__)
    parser.add_argument("--only", default="greenlet,gunicorn,gevent,numpy")
    parser.add_argument("--gunicorn", type=Path)
    parser.set_defaults(modes="sampled,malloc,objects", timeout=60)
    args = parser.parse_args()
    # NumPy's tests build an extension, with meson and ninja.
    os.environ["PATH"] = f"{Path(args.python).parent}:{os.environ['PATH']}"
    code = "import sysconfig; print(sysconfig.get_path('platlib'))"
    packages = Path(subprocess.run([args.python, "-c", code], capture_output=True, text=True, check=True).stdout.strip())
    makers = {
        "greenlet": lambda: Pytest(args, "greenlet", ["greenlet.tests"], packages),
        "gunicorn": lambda: Pytest(args, "gunicorn", ["tests"], args.gunicorn.resolve()),
        "gevent": lambda: Units(args, "gevent", gevents(packages)),
        "numpy": lambda: Pytest(args, "numpy", NUMPY, packages),
    }
    n_bad = 0
    for name in args.only.split(","):
        rows, n = makers[name]().compare()
        n_bad += n
        if args.out:
            guest.write(args.out, "Tests that packages ship, under heapray", "Every single test of each package", rows)
    sys.exit(1 if n_bad else 0)


if __name__ == "__main__":
    main()
