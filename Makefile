# Two commands do everything on a fresh Debian machine with a Rust toolchain and Python:
#
#   make demo   builds, starts a leaking service, diagnoses it from outside, fixes it, shows that the finding is gone
#   make test   everything that CI runs
#
# make test-full adds what takes long: CPython's and packages' own tests, 1,000 snapshots under load, heapray killed 200 times.
# make bench     measures, and writes benches/results/.

PYTHON ?= python3
TARGET := $(or $(CARGO_TARGET_DIR),target)
CROSS  := aarch64-unknown-linux-gnu
VENV   := .demo/venv
VENV_TEST := .demo/venv-test
VENV_BENCH := .demo/venv-bench
VENV_GUEST := .demo/venv-guest
VENV_PEERS := .demo/venv-overhead
ROOT_NEWER := target/newer-pythons
WHEELS := greenlet==3.5.6 $(VENV_TEST)/bin/python 3.10 3.11 3.12 3.13 3.14 3.15

# Whether heapray leaks is right about programs whose truth is known: a few for every kind of verdict, or all of them.
SCORE := $(VENV_TEST)/bin/python -B tests/leaks/score.py --heapray $(TARGET)/debug/heapray
SOME_STORIES := growing_buffer module_dict class_attribute collector_off lost_reference native_malloc \
                healthy_warm_cache healthy_bounded_deque

# CPython's own tests, plain and recorded: pyenv's Pythons ship them. A short list on one, or a long one on all.
GUESTS := $(wildcard $(shell pyenv root 2>/dev/null)/versions/3.1[0-9].*/bin/python)
GUEST  := $(PYTHON) -B tests/guest/guest.py --heapray $(TARGET)/debug/heapray

# The tests that NumPy, gevent, greenlet and gunicorn ship, in the same way.
GUEST_PACKAGES := $(VENV_GUEST)/bin/python -B tests/guest/packages.py --heapray $(TARGET)/debug/heapray \
                  --python $(CURDIR)/$(VENV_GUEST)/bin/python --gunicorn .demo/gunicorn

# The agent's own tests, every access to memory checked. One at a time: valgrind runs one thread anyway.
VALGRIND := valgrind -q --error-exitcode=99 --suppressions=$(CURDIR)/testkit/valgrind.supp
MEMCHECK := cargo test --package heapray-agent --lib --config 'target."cfg(all())".runner = "$(VALGRIND)"' -- --test-threads 1

.PHONY: demo test test-full check pythons bench clean

demo:
	testkit/setup.sh venv $(VENV) demo/requirements.txt $(PYTHON)
	cargo build --release --package heapray
	$(VENV)/bin/python -B demo/story.py --heapray $(TARGET)/release/heapray --python $(CURDIR)/$(VENV)/bin/python --work .demo

# What needs no Python and no target process. Nothing is linked for the second architecture, so the C code of a
# dependency (zstd) may be compiled by the machine's own compiler there.
check:
	testkit/setup.sh rust
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- --deny warnings
	CC_aarch64_unknown_linux_gnu=cc AR_aarch64_unknown_linux_gnu=ar cargo check --workspace --quiet --target $(CROSS)

test: check pythons
	cargo build --package heapray
	$(SCORE) --interval 5s --snapshots 4 --jobs 4 $(SOME_STORIES)
	$(PYTHON) -B benches/instructions.py $(TARGET)/debug/heapray $(PYTHON) $(GUESTS) --check
	for python in $(lastword $(sort $(GUESTS))); do $(GUEST) --python $$python || exit 1; done
	$(MEMCHECK)
	cargo test --workspace --no-fail-fast

test-full: check pythons
	cargo build --package heapray
	$(SCORE) --jobs 2
	rm -f benches/results/guest.md benches/results/guest-packages.md
	for python in $(GUESTS); do $(GUEST) --python $$python --list long --modes sampled,objects,malloc --out benches/results/guest.md || exit 1; done
	testkit/setup.sh venv $(VENV_GUEST) tests/guest/requirements.txt $(PYTHON)
	testkit/setup.sh source .demo/gunicorn gunicorn==25.3.0 $(VENV_GUEST)/bin/python
	$(GUEST_PACKAGES) --out benches/results/guest-packages.md
	$(MEMCHECK)
	HEAPRAY_FULL=1 cargo test --workspace --no-fail-fast

# The interpreters, packages and allocators that tests run on. Newer Pythons need root and a Debian mirror; tests do without.
pythons:
	testkit/setup.sh apt gdb=gdb valgrind=valgrind musl-gcc=musl-tools libjemalloc.so.2=libjemalloc2 'libmimalloc.so.[0-9]=^libmimalloc[0-9.]+$$'
	testkit/setup.sh venv $(VENV_TEST) demo/requirements-test.txt $(PYTHON)
	testkit/setup.sh wheels .demo/wheels $(WHEELS)
	! testkit/newer-pythons.sh $(ROOT_NEWER) || testkit/setup.sh wheels $(ROOT_NEWER)/wheels $(WHEELS)

bench:
	testkit/setup.sh venv $(VENV_BENCH) benches/requirements.txt $(PYTHON)
	cargo build --release --package heapray
	testkit/setup.sh venv $(VENV_PEERS) benches/overhead/requirements.txt $(PYTHON)
	testkit/setup.sh apt valgrind=valgrind
	benches/run.sh $(TARGET)/release/heapray $(CURDIR)/$(VENV_BENCH)/bin/python $(CURDIR)/$(VENV_PEERS)/bin/python

clean:
	cargo clean
	rm -rf .demo
