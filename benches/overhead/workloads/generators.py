"""Recursive generators and coroutines: frames that are left and entered again under other callers."""


def walk(low, high):
    """A sorted range by way of a binary tree of generators."""
    if high - low < 2:
        yield [low]
        return
    middle = (low + high) // 2
    yield from walk(low, middle)
    yield from walk(middle, high)


async def total(low, high):
    """The same, as coroutines."""
    if high - low < 2:
        return [low]
    middle = (low + high) // 2
    return [sum(await total(low, middle)) + sum(await total(middle, high))]


def run(coroutine):
    """What a coroutine that never waits returns."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")


for _ in range(14):
    assert sum(1 for _ in walk(0, 60_000)) == 60_000
    assert run(total(0, 60_000)) == [60_000 * 59_999 // 2]
