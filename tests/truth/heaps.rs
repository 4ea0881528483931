//! Programs that fill a heap, and tell what is on it.

/// Every builtin type, slots, inline values, subclasses; `dump(path)` writes what the collector says of each object:
/// address, `sys.getsizeof`, number and addresses of `gc.get_referents`, as 64-bit words.
pub(crate) const EVERY_TYPE: &str = r##"
import gc, sys, struct, collections, array, io, functools, weakref, types, itertools, operator, datetime, decimal, fractions, threading, contextvars, re, enum, dataclasses, asyncio, random, typing, ctypes, json, queue, uuid, pathlib, logging

class Plain:
    def __init__(self, i):
        self.a, self.b = i, [i]
class Slots:
    __slots__ = ("x", "y", "__weakref__")
    def __init__(self, i):
        self.x = [i]
class Both(Slots):
    __slots__ = ("z", "__dict__")
class Final:
    def __del__(self):
        pass
@dataclasses.dataclass
class Data:
    p: int
    q: list
class Color(enum.Enum):
    RED = 1
    BLUE = 2
class MyList(list):
    pass
class MyDict(dict):
    __slots__ = ("extra",)
class MyStr(str):
    pass
class MyInt(int):
    pass
class MyTuple(tuple):
    pass
class MyError(Exception):
    pass
Point = collections.namedtuple("Point", "x y")

def closure(n):
    def inner(more=[n]):
        return n, more
    return inner
def generator(n):
    local = [n]
    yield local
    yield n
async def coroutine(n):
    local = [n]
    await asyncio.sleep(n)
async def agen(n):
    local = {n: n}
    yield local
def raising(n):
    try:
        raise MyError(n, [n])
    except MyError as error:
        return error

def build(i, keep):
    keep += [i * 10**20, -i, float(i), complex(i, 1), str(i) * (i % 50 + 1), "\u20ac" * i, "\U0001f600" * (i % 7), bytes(i), bytearray(i + 1)]
    keep += [[], [i] * (i % 40), (), (i, [i]), {}, {i: [i]}, {str(i): i, "key": [i]}, set(), {i, str(i), (i,)}, frozenset({i, "x"})]
    changed = Plain(i); changed.c = [i]; del changed.a
    opened = Plain(i); opened.__dict__["d"] = [i]; opened.__dict__[i] = "odd"
    both = Both(i); both.z = 1; both.free = [i]; both.y = Slots(i)
    keep += [Plain(i), changed, opened, both, Slots(i), Final(), Data(i, [i]), Color.RED, Point(i, [i])]
    mine = MyDict(a=[i]); mine.extra = [i]
    listed = MyList([i, [i]]); listed.more = {i}
    keep += [mine, listed, MyStr(i), MyInt(i * 10**9), MyTuple([i, [i]]), raising(i)]
    ordered = collections.OrderedDict([(i, [i]), ("k", {})]); ordered.move_to_end(i)
    filled = collections.defaultdict(list); filled[i].append(i)
    keep += [ordered, filled, collections.Counter([i, i]), collections.ChainMap({}, {i: i}), collections.deque(range(i % 200)), collections.deque([[i]], maxlen=3)]
    keep += [closure(i), lambda: i, functools.partial(print, [i], end=""), operator.attrgetter("a.b"), operator.itemgetter(i, "x"), [].append, Plain(i).__init__, staticmethod(build), classmethod(build), property(build)]
    started, fresh, done = generator(i), generator(i), generator(i); next(started); list(done)
    keep += [started, fresh, done, iter([i]), iter({i: i}), enumerate([i]), zip([i], (i,)), map(str, [i]), filter(None, [i]), reversed([i]), itertools.chain([i]), itertools.islice([i], 1), itertools.count(i * 10**10)]
    waiting = coroutine(i); suspended = agen(i)
    try:
        suspended.__anext__().send(None)
    except StopIteration:
        pass
    keep += [suspended, weakref.ref(started, lambda r, i=i: i), weakref.proxy(fresh), slice(i, [i]), range(i * 10**18, i * 10**19), memoryview(bytearray(i + 1)), array.array("d", range(i % 99))]
    waiting.close()
    keep += [io.BytesIO(bytes(i)), io.StringIO("x" * i), types.SimpleNamespace(a=[i]), types.MappingProxyType({i: i}), datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), datetime.timedelta(i), decimal.Decimal(i), fractions.Fraction(i, 7)]
    keep += [threading.Lock(), threading.RLock(), threading.local(), contextvars.ContextVar("v", default=[i]), re.compile("a" + str(i % 20)), re.match("a", "ab"), uuid.UUID(int=i), pathlib.PurePath("a", str(i)), logging.getLogger("n%d" % (i % 10)), queue.SimpleQueue(), queue.Queue()]
    keep += [(ctypes.c_int * (i % 9 + 1))(), ctypes.py_object([i]), ctypes.pointer(ctypes.c_int(i)), struct.Struct("ii"), list[int], typing.Optional[int], random.Random(i)] if i % 16 == 0 else []

def dump(path):
    gc.disable()
    objects = gc.get_objects()
    own = id(objects)
    with open(path, "wb") as out:
        for o in objects:
            refs = [id(r) for r in gc.get_referents(o)]
            try:
                size = sys.getsizeof(o)
            except Exception:
                size = 0
            array.array("Q", [id(o), size, len(refs)] + refs).tofile(out)
            refs = None
    del objects

keep = []
for i in range(ROUNDS):
    build(i, keep)
gc.collect()
dump(PATH)
print("ready", flush=True)
sys.stdin.readline()
"##;
