"""Objects that one kind of holder keeps alive, each of a class of its own; waits for its input to end.

The class's name says the holder. Nothing but that holder refers to the object.
"""

import atexit
import contextvars
import datetime
import functools
import gc
import signal
import sys
import threading
import weakref
from collections import deque


class Callable:
    """An object that can stand where a function is wanted."""

    def __call__(self, *_):
        pass


class BySignal(Callable): pass
class ByAtexit(Callable): pass
class ByContext: pass
class ByFrame: pass
class ByGenerator: pass
class ByAsyncGenerator: pass
class ByCache: pass
class ByThreadLocal: pass
class ByThreadFrame: pass
class ByTraceback: pass
class ByCallback: pass
class ByFrozen: pass
class ByClosure: pass
class ByDefault: pass
class ByClass: pass
class BySlot: pass
class ByDeque: pass
class ByKey: pass
class ByTimezone(datetime.tzinfo): pass


request = contextvars.ContextVar("request")
locals_of_thread = threading.local()


class Settings:
    """Holds through a class attribute."""

    cache = {"held": ByClass()}


class Slotted:
    """Holds through a slot."""

    __slots__ = ("held",)


def generator():
    held = ByGenerator()
    yield held is None


async def async_generator():
    held = ByAsyncGenerator()
    yield held is None


@functools.lru_cache(maxsize=None)
def load(key):
    return ByCache()


def closure():
    held = ByClosure()
    return lambda: held


def default(held=ByDefault()):
    return held


def failing():
    held = ByTraceback()
    raise ValueError(held is None)


def watch(target):
    held = ByCallback()
    return weakref.ref(target, lambda _: held)


def in_thread(ready, end):
    held = ByThreadFrame()
    locals_of_thread.value = ByThreadLocal()
    ready.set()
    end.wait()
    return held


def serve():
    held = ByFrame()
    print("ready", flush=True)
    sys.stdin.read()
    return held


signal.signal(signal.SIGUSR1, BySignal())
atexit.register(ByAtexit())
request.set(ByContext())
stream = generator()
next(stream)
async_stream = async_generator()
try:
    async_stream.asend(None).send(None)
except StopIteration:
    pass
load(1)
on_event = closure()
try:
    failing()
except ValueError as error:
    last_error = error
anchor = Callable()
watcher = watch(anchor)
slotted = Slotted()
slotted.held = ByDeque()
slotted.held = BySlot()
recent = deque([ByDeque()])
by_key = {ByKey(): 1}
stamp = datetime.datetime(2026, 1, 1, tzinfo=ByTimezone())
ready, end = threading.Event(), threading.Event()
thread = threading.Thread(target=in_thread, args=(ready, end))
thread.start()
ready.wait()
frozen = [ByFrozen()]
gc.freeze()
serve()
end.set()
thread.join()
