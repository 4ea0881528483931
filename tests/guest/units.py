#!/usr/bin/env python3
"""Runs test modules as `python -m MODULE` would, each in a process of its own, and tells what came of every single test.

    units.py REPORT JOBS SECONDS MODULE ...

REPORT becomes JUnit's XML. A module is a test too: it passes where its process ends with 0 within SECONDS. For packages whose
test modules replace half of the standard library when they are imported, so that no two of them go into one process.
"""

import concurrent.futures
import os
import runpy
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree

OUTCOMES = {"addSuccess": None, "addExpectedFailure": None, "addSkip": "skipped", "addFailure": "failure", "addError": "error", "addUnexpectedSuccess": "failure"}


def tell(file, method, outcome):
    """Has `method` of every test result write a line to `file` as well."""
    original = getattr(unittest.TestResult, method)

    def told(self, test, *args):
        descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, f"{outcome}\t{' '.join(test.id().split())}\n".encode())
        os.close(descriptor)
        return original(self, test, *args)

    setattr(unittest.TestResult, method, told)


def one(file, module):
    """Runs `module` here."""
    for method, outcome in OUTCOMES.items():
        tell(file, method, outcome)
    sys.argv = [module]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def apart(module, folder, seconds):
    """Runs `module` in a process of its own; elements of the report."""
    file = os.path.join(folder, module)
    words = [sys.executable, __file__, "--one", file, module]
    child = subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        failed = "failure" if child.wait(seconds) else None
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.wait()
        failed = "error"
    found = [element(module, "", failed)]
    if os.path.exists(file):
        with open(file) as lines:
            for outcome, name in (line.rstrip("\n").split("\t") for line in lines):
                found.append(element(module, name.removeprefix("__main__."), None if outcome == "None" else outcome))
    return found


def element(module, name, outcome):
    """One test of the report."""
    case = ElementTree.Element("testcase", classname=module, name=name)
    if outcome:
        ElementTree.SubElement(case, outcome)
    return case


def main():
    """Runs them all, some at once."""
    report, jobs, seconds, *modules = sys.argv[1:]
    suite = ElementTree.Element("testsuite")
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        for found in pool.map(lambda module: apart(module, folder, int(seconds)), modules):
            suite.extend(found)
    ElementTree.ElementTree(suite).write(report)


if __name__ == "__main__":
    if sys.argv[1] == "--one":
        one(*sys.argv[2:])
    else:
        main()
