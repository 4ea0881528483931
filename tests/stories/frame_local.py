# The main loop gathers rows in a local variable and never flushes them.
# kind: reference
# match: batch

import os
import time

from _story import say, seconds


def main():
    say("PID", os.getpid())
    say("READY")
    batch = []
    number = 0
    until = None
    while until is None or time.monotonic() < until:
        batch.append({"row": number, "text": f"row {number} " * 20})
        number += 1
        if number == 300:
            say("RESULT {}")
            until = time.monotonic() + seconds()
        if number > 300:
            time.sleep(0.01)
    say("DONE")


main()
