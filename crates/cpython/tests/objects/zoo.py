"""Builds objects of every kind that the readers know, says what Python sees of them, and waits.

Output: a line for each object (id, sys.getsizeof, ids of gc.get_referents), then `end`.
"""
import sys, gc, io, os, array, collections, contextvars, csv, datetime, decimal, enum, functools, itertools, json
import operator, queue, re, struct, threading, time, types, typing, weakref, ctypes, asyncio, sqlite3, zoneinfo
import xml.etree.ElementTree as ElementTree

KEEP = []


def keep(*objects):
    KEEP.extend(objects)
    return objects[0]


def containers():
    for n in (0, 1, 2, 5, 8, 100, 5000):
        keep([object() for _ in range(n)], tuple(object() for _ in range(n)), {object() for _ in range(n)})
        keep(frozenset(object() for _ in range(n)), collections.deque(object() for _ in range(n)))
        keep({object(): object() for _ in range(n)}, {f"key{i}": object() for i in range(n)})
        keep(collections.OrderedDict((object(), object()) for _ in range(n)), bytearray(n), bytes(n), "x" * n)
        keep("\xe9" * n, "\u20ac" * n, "\U0001f600" * n, array.array("d", range(n)), array.array("b", bytes(n % 127)))
    grown = []
    for i in range(1000):
        grown.append(object())
    del grown[500:]
    keep(grown)
    holes = {i: object() for i in range(100)}
    for i in range(0, 100, 3):
        del holes[i]
    mixed = {"a": object(), 1: object(), None: object()}
    deleted = {"a": object(), "b": object()}
    del deleted["a"]
    shrunk = {object() for _ in range(100)}
    for _ in range(90):
        shrunk.pop()
    pushed = collections.deque(range(1000), maxlen=300)
    pushed.rotate(37)
    popped = collections.deque(object() for _ in range(500))
    for _ in range(400):
        popped.popleft()
    popped.extendleft(object() for _ in range(70))
    moved = collections.OrderedDict((f"k{i}", object()) for i in range(30))
    moved.move_to_end("k3")
    del moved["k7"]
    default = collections.defaultdict(list)
    default["a"].append(object())
    trimmed = bytearray(b"x" * 1000)
    del trimmed[:900]
    keep(holes, mixed, deleted, shrunk, pushed, popped, moved, default, trimmed, collections.Counter("abcabc"))
    keep(collections.ChainMap({"a": object()}, {}), collections.UserDict(a=object()), collections.UserList([object()]))
    keep(collections.namedtuple("Point", "x y")(object(), object()), time.localtime(), os.stat("/"), sys.flags)
    if sys.version_info >= (3, 15):
        keep(frozendict({object(): object()}), frozendict(), frozendict(a=object()))


def numbers():
    keep(0, 1, -1, 2**29, 2**30, -2**30, 2**31, 2**60, 2**600, -2**600, 1.5, 1j, True, None, ..., NotImplemented)
    keep(decimal.Decimal("1.5"), decimal.Decimal("1" * 500), decimal.getcontext(), range(2**70), range(3))
    keep(slice(object(), object(), object()), datetime.datetime.now(datetime.timezone.utc), datetime.timedelta(3))
    keep(datetime.time(tzinfo=datetime.timezone(datetime.timedelta(0, 60), "x")), datetime.date.today())


class Plain:
    def __init__(self):
        self.a = object()
        self.b = [object()]


class Slots:
    __slots__ = ("a", "b")


class SlotsWeak(Slots):
    __slots__ = ("c", "__weakref__", "__dict__")


class Meta(type):
    extra = 1


class WithMeta(metaclass=Meta):
    pass


class Many:
    def __init__(self, n):
        for i in range(n):
            setattr(self, f"attribute_{i}", object())


class Color(enum.Enum):
    RED = object()


class Finalizer:
    def __del__(self):
        pass


def instances():
    for _ in range(3):
        keep(Plain(), WithMeta())
    slots = keep(Slots())
    slots.a = object()
    weak = keep(SlotsWeak())
    weak.a, weak.b, weak.c, weak.d = object(), object(), object(), object()
    keep(weakref.ref(weak, lambda ref: None), weakref.proxy(weak, repr))
    deleted = keep(Plain())
    del deleted.a
    materialised = keep(Plain())
    materialised.__dict__["c"] = object()
    read = keep(Plain())
    keep(read.__dict__)
    orphan = Plain()
    keep(orphan.__dict__)
    replaced = keep(Plain())
    replaced.__dict__ = {"z": object()}
    shared = keep(Plain())
    shared.__dict__
    del shared.b
    shared.zz = object()
    for n in (0, 1, 5, 6, 25, 29, 30, 31, 40, 300):
        keep(Many(n))
    odd = keep(Plain())
    setattr(odd, "not an identifier", object())
    odd.__dict__[object()] = object()
    keep(Color.RED, Finalizer(), types.SimpleNamespace(a=object()), Slots(), SlotsWeak())
    referenced = keep(Plain())
    keep(weakref.ref(referenced), weakref.WeakSet([referenced]), weakref.WeakKeyDictionary({referenced: object()}))
    keep(weakref.WeakValueDictionary(a=referenced), weakref.finalize(referenced, repr, object()))


def subclasses():
    bases = (int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset, Exception, OSError)
    bases += (collections.deque, collections.OrderedDict, collections.defaultdict, types.ModuleType, property)
    bases += (array.array, datetime.datetime, decimal.Decimal, functools.partial, io.BytesIO, io.StringIO, type)
    bases += (threading.local, weakref.ref, queue.SimpleQueue, ElementTree.Element, staticmethod, classmethod)
    arguments = {
        int: (2**100,), str: ("sub\u20ac",), bytes: (b"sub",), list: ([object()],), tuple: ([object()],),
        dict: ({"a": object()},), array.array: ("d", [1.0]), datetime.datetime: (2020, 1, 1), types.ModuleType: ("m",),
        functools.partial: (repr, object()), weakref.ref: (Plain,), ElementTree.Element: ("tag",),
        staticmethod: (repr,), classmethod: (repr,), bytearray: (b"abc",), set: ([object()],),
    }
    for base in bases:
        if base is type:
            keep(type("Made", (), {}), Meta("MadeByMeta", (Plain,), {"x": object()}))
            continue
        args = arguments.get(base, ())
        with_dict = type("Sub_" + base.__name__, (base,), {})
        made = keep(with_dict(*args))
        made.attribute = object()
        keep(with_dict(*args))
        keep(type("Bare_" + base.__name__, (base,), {"__slots__": ()})(*args))
        if base.__itemsize__ == 0:
            slotted = keep(type("Slotted_" + base.__name__, (base,), {"__slots__": ("slot",)})(*args))
            slotted.slot = object()


def functions():
    def outer(a, b=object(), *, c=object()):
        d = object()

        def inner():
            return a, d

        return inner

    bound = Plain().__init__
    keep(outer, outer(object()), bound, repr, [].append, str.join, str.__add__, "".__add__, int.from_bytes)
    keep(Plain.__dict__, type.__dict__["__dict__"], Slots.a, int.real, property(repr), staticmethod(repr))
    keep(classmethod(repr), functools.partial(repr, object(), k=object()), super(Plain, Plain()))
    keep(operator.itemgetter(1, "a"), operator.attrgetter("a.b"), operator.methodcaller("x", object(), y=object()))
    cached = functools.lru_cache(maxsize=5)(lambda x: object())
    for i in range(10):
        cached(i)
    unbounded = functools.lru_cache(maxsize=None)(lambda x, **kw: object())
    unbounded(object(), k=object())
    keep(cached, unbounded, functools.cmp_to_key(repr)(object()), types.CellType(object()), types.CellType())
    outer.attribute = object()
    outer.__annotations__ = {"a": object()}
    exec("def made():\n    x = 1\n    return x", namespace := {})
    keep(namespace, compile("a = [b for c in d]", "file", "exec"), eval("lambda: (yield)"))
    keep(outer.__code__.co_code, outer.__code__.co_varnames)
    keep(types.MethodType(repr, object()), types.MappingProxyType({"a": object()}), list[int], list[int] | None)
    keep(typing.TypeVar("T"), typing.ParamSpec("P"), typing.Optional[int], typing.List[str], typing.Callable[[int], str])


def iterators():
    data = [object() for _ in range(10)]
    mapping = {object(): object()}
    made = [iter(data), iter(tuple(data)), iter(mapping), iter(mapping.items()), iter(mapping.values()), iter({1, 2})]
    made += [iter("abc"), iter("\u20acabc"), iter(b"abc"), iter(bytearray(b"abc")), iter(range(5)), iter(range(2**70))]
    made += [reversed(data), reversed(mapping), reversed((1, 2)), enumerate(data), zip(data, data), map(repr, data)]
    made += [filter(None, data), iter(repr, object()), iter(collections.deque(data)), iter(memoryview(b"abc"))]
    made += [iter(collections.OrderedDict(a=1)), mapping.keys(), mapping.values(), mapping.items(), iter(array.array("b"))]
    made += [itertools.chain(data, data), itertools.cycle(data), itertools.count(5), itertools.count(2**70, object and 3)]
    made += [itertools.repeat(object()), itertools.islice(data, 3), itertools.groupby(data), itertools.starmap(repr, data)]
    made += [itertools.accumulate(data), itertools.compress(data, data), itertools.dropwhile(repr, data)]
    made += [itertools.takewhile(repr, data), itertools.filterfalse(repr, data), itertools.zip_longest(data, data)]
    made += [itertools.product(data, repeat=2), itertools.permutations(data, 2), itertools.combinations(data, 2)]
    made += [itertools.combinations_with_replacement(data, 2), itertools.pairwise(data), *itertools.tee(iter(data))]
    for one in made:
        keep(one)
        try:
            next(iter(one))
        except (TypeError, StopIteration):
            pass


async def coroutine(x=None):
    local = object()
    await asyncio.sleep(3600)


async def async_generator():
    local = object()
    yield local
    yield local


def generator(argument):
    local = object()
    yield local
    try:
        raise ValueError(object())
    except ValueError as error:
        yield error
    yield from generator(argument)


def generators():
    for steps in (0, 1, 2, 3):
        made = keep(generator(object()))
        for _ in range(steps):
            next(made)
    done = keep((x for x in [object()]))
    list(done)
    closed = keep(generator(object()))
    next(closed)
    closed.close()
    asynchronous = keep(async_generator())
    started = keep(async_generator())
    try:
        started.__anext__().send(None)
    except StopIteration:
        pass
    keep(asynchronous.__anext__(), asynchronous.asend(object()), asynchronous.athrow(ValueError), coroutine().__await__())
    keep(coroutine())


def exceptions():
    def deep(n):
        local = object()
        if n:
            return deep(n - 1)
        raise KeyError(object())

    try:
        try:
            deep(5)
        except KeyError as error:
            raise ValueError(object()) from error
    except ValueError as error:
        keep(error)
        error.attribute = object()
        if hasattr(error, "add_note"):
            error.add_note("note \u20ac")
    for action in (lambda: open("/nonexistent/\u20ac"), lambda: b"\xff".decode(), lambda: "\u20ac".encode("ascii")):
        try:
            action()
        except Exception as error:
            keep(error)
    for action in (lambda: compile("a b", "f", "exec"), lambda: undefined, lambda: object().missing, lambda: next(iter(()))):
        try:
            action()
        except Exception as error:
            keep(error)
    for made in (StopIteration(object()), SystemExit(object()), ImportError("x", name="\u20ac", path=object()), KeyError()):
        keep(made)
    if sys.version_info >= (3, 11):
        keep(ExceptionGroup("group", [ValueError(object()), TypeError()]))


def modules_and_threads():
    variable = contextvars.ContextVar("variable", default=object())
    context = contextvars.copy_context()
    keep(variable, context, context.run(variable.set, object()))
    many = [contextvars.ContextVar(f"v{i}") for i in range(60)]
    for one in many:
        one.set(object())
    keep(many, contextvars.copy_context())
    local = keep(threading.local())
    local.value = object()
    keep(threading.Lock(), threading.RLock(), threading.Condition(), threading.Event(), threading.Semaphore())
    keep(queue.Queue(), simple := queue.SimpleQueue())
    for _ in range(20):
        simple.put(object())
    for _ in range(5):
        simple.get()
    module = keep(types.ModuleType("made"))
    module.value = object()


def buffers():
    data = bytearray(b"x" * 100)
    view = memoryview(data)
    keep(view, view[10:20], view.cast("B", (10, 10)), io.BytesIO(b"abc"), io.StringIO("abc\u20ac"))
    written = keep(io.BytesIO())
    written.write(b"x" * 1000)
    keep(io.BufferedReader(io.BytesIO(b"abc")), io.TextIOWrapper(io.BytesIO()), open("/dev/null"), open("/dev/null", "wb", 0))
    keep(io.BufferedRWPair(io.BytesIO(), io.BytesIO()), io.IncrementalNewlineDecoder(None, True))
    text = keep(io.StringIO())
    for _ in range(100):
        text.write("x\u20ac")
    keep(re.compile("(a)(?P<n>b)"), re.match("(a)(?P<n>b)", "ab"), struct.Struct("id"), json.JSONEncoder(), json.JSONDecoder())
    keep(csv.reader([]), csv.writer(io.StringIO()), struct.iter_unpack("i", b"abcd"))

    class Structure(ctypes.Structure):
        _fields_ = [("a", ctypes.c_int), ("b", ctypes.c_void_p), ("c", ctypes.py_object)]

    structure = keep(Structure())
    structure.c = object()
    keep(ctypes.c_int(5), (ctypes.c_char * 1000)(), ctypes.pointer(structure), ctypes.byref(structure))
    keep(ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 1), ctypes.create_string_buffer(b"abc"))
    connection = keep(sqlite3.connect(":memory:"))
    cursor = keep(connection.execute("select 1 as a, 'x' as b"))
    keep(cursor.fetchall())
    root = keep(ElementTree.Element("root", a="b"))
    for i in range(10):
        ElementTree.SubElement(root, "child").text = f"text{i}"
    keep(zoneinfo.ZoneInfo.__name__)


async def tasks(loop):
    async def sleeper(n):
        await asyncio.sleep(3600)

    keep(*(asyncio.create_task(sleeper(i), name=f"task{i}") for i in range(5)))
    finished = asyncio.create_task(asyncio.sleep(0, object()))
    await finished
    future = loop.create_future()
    future.add_done_callback(repr)
    future.add_done_callback(max)
    failed = loop.create_future()
    failed.set_exception(ValueError(object()))
    failed.exception()
    keep(finished, future, failed, iter(future))
    report()
    sys.stdin.readline()
    os._exit(0)


def everything():
    """Objects that the collector tracks, those that were made here, and what all of them refer to."""
    queue = gc.get_objects() + KEEP
    found = {}
    for x in queue:
        found[id(x)] = x
    while queue:
        for x in gc.get_referents(queue.pop()):
            if id(x) not in found:
                found[id(x)] = x
                queue.append(x)
    return found


def report():
    gc.collect()
    gc.collect()
    gc.disable()
    found = everything()
    skip = {id(found), id(sys._getframe())}
    lines = []
    skip.add(id(lines))
    for key, x in found.items():
        if key in skip or isinstance(x, types.FrameType):
            continue
        try:
            size = sys.getsizeof(x)
        except Exception:
            size = 0
        line = f"{key} {size}"
        for referent in gc.get_referents(x):
            if id(referent) not in skip:
                line += f" {id(referent)}"
        lines.append(line)
    x = referent = None
    found.clear()
    sys.stdout.write("\n".join(lines))
    print("\nkeep", id(KEEP))
    print("end", flush=True)


for build in (containers, numbers, instances, subclasses, functions, iterators, generators, exceptions):
    build()
modules_and_threads()
buffers()
loop = asyncio.new_event_loop()
loop.run_until_complete(tasks(loop))
