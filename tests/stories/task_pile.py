# Tasks wait for an event that never comes.
# kind: reference
# match: sessions|Task|wait_for_end

import asyncio

from _story import tell

sessions = []
closed = None


async def wait_for_end(number):
    notes = [number] * 100
    await closed.wait()
    return notes


async def step(i):
    global closed
    if closed is None:
        closed = asyncio.Event()
    sessions.append(asyncio.create_task(wait_for_end(i)))
    await asyncio.sleep(0)


tell(step)
