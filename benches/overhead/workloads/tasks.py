"""asyncio: a tree of tasks that each wait once."""

import asyncio


async def branch(depth):
    """The leaves below, each a small list."""
    if depth == 0:
        await asyncio.sleep(0)
        return [[depth]]
    parts = await asyncio.gather(*(branch(depth - 1) for _ in range(5)))
    return [leaf for part in parts for leaf in part]


for _ in range(20):
    assert len(asyncio.run(branch(5))) == 5**5
