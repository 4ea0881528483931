# Tasks start, wait a little and end.
# kind: none

import asyncio

from _story import tell

running = set()


async def serve(number):
    rows = [number] * 500
    await asyncio.sleep(0.3)
    return len(rows)


async def step(i):
    task = asyncio.create_task(serve(i))
    running.add(task)
    task.add_done_callback(running.discard)
    await asyncio.sleep(0)


tell(step)
