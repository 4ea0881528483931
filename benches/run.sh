#!/usr/bin/env bash
# Runs all benchmarks and writes benches/results/*.md: run.sh HEAPRAY PYTHON PEERS [ROUNDS]. Run it with no other load.
# PYTHON has benches/requirements.txt, PEERS is one that has benches/overhead/requirements.txt (memray, pandas).
set -euo pipefail
cd "$(dirname "$0")"
usage="usage: run.sh HEAPRAY PYTHON PEERS [ROUNDS]"
heapray=$(realpath "${1:?$usage}")
python=${2:?$usage}
peers=${3:?$usage}
for bench in pause large objgraph_ratio; do
    "$python" -B "$bench.py" "$heapray" "$python" ${4:+"$4"}
done
for bench in startup reports faults; do
    "$peers" -B "$bench.py" "$heapray" "$peers" ${4:+"$4"}
done
"$peers" -B instructions.py "$heapray" "$peers"
