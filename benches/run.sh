#!/usr/bin/env bash
# Runs all benchmarks and writes benches/results/*.md: run.sh HEAPRAY PYTHON [ROUNDS]. Run it with no other load.
set -euo pipefail
cd "$(dirname "$0")"
heapray=$(realpath "${1:?usage: run.sh HEAPRAY PYTHON [ROUNDS]}")
python=${2:?usage: run.sh HEAPRAY PYTHON [ROUNDS]}
for bench in pause large objgraph_ratio; do
    "$python" -B "$bench.py" "$heapray" "$python" ${3:+"$3"}
done
