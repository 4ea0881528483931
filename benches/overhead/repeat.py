"""Runs a script several times over in one process: repeat.py N SCRIPT. What a start costs has a smaller share of that."""

import runpy
import sys

for _ in range(int(sys.argv[1])):
    runpy.run_path(sys.argv[2], run_name="__main__")
