"""Runs one story: says PID and READY, works for a while, says RESULT, and goes on working until its time is up.

STORY_LOOP    seconds to go on after RESULT (default 60)
STORY_WARMUP  steps before RESULT (default: the story's own)
"""

import asyncio
import inspect
import os
import time


def say(*words):
    print(*words, flush=True)


def seconds():
    return float(os.environ.get("STORY_LOOP", "60"))


def tell(step, *, warmup=300, pause=0.01):
    """Calls step(0), step(1), ...; RESULT comes after `warmup` of them, from there on with `pause` in between."""
    if inspect.iscoroutinefunction(step):
        asyncio.run(_tell_async(step, warmup, pause))
        return
    say("PID", os.getpid())
    say("READY")
    warmup = int(os.environ.get("STORY_WARMUP", warmup))
    for number in range(warmup):
        step(number)
    say("RESULT {}")
    until = time.monotonic() + seconds()
    while time.monotonic() < until:
        step(number := number + 1)
        time.sleep(pause)
    say("DONE")


async def _tell_async(step, warmup, pause):
    say("PID", os.getpid())
    say("READY")
    warmup = int(os.environ.get("STORY_WARMUP", warmup))
    for number in range(warmup):
        await step(number)
    say("RESULT {}")
    until = time.monotonic() + seconds()
    while time.monotonic() < until:
        await step(number := number + 1)
        await asyncio.sleep(pause)
    say("DONE")
