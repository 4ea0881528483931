# Consumers start to read a stream and keep the suspended generators.
# kind: reference
# match: stream|window|pending

from _story import tell

pending = []


async def stream(number):
    window = [f"{number}.{n}" for n in range(30)]
    for item in window:
        yield item


async def step(i):
    source = stream(i)
    await anext(source)
    pending.append(source)


tell(step)
