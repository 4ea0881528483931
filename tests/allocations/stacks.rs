//! The stack of an allocation is the interpreter's own, frame for frame, with lines and columns; a deep one is cut.

use std::collections::BTreeMap;
use std::fs;

use heapray_capture::{Recording, RecordingReader};
use heapray_tests::{Program, Recorded};
use heapray_wire::{EventRow, FrameKind};

use crate::claims::{outer_pythons, pythons};

/// Allocates in every kind of frame, each time a block of another size, and prints what the interpreter says of the stack:
/// `file|name|line|column|last line|column behind`, innermost first.
const PROGRAM: &str = r#"
import asyncio, functools, gc, json, os, re, signal, sys, tempfile, threading, weakref, zipfile
HAS_COLUMNS = hasattr((lambda: 0).__code__, 'co_positions')
positions = functools.cache(lambda code: list(code.co_positions()))
rows, lock = [], threading.Lock()

def describe(frame):
    code, line = frame.f_code, frame.f_lineno
    if not HAS_COLUMNS: return f'{code.co_filename}|{code.co_name}|{line}|0|{line}|0'
    line, last, column, behind = positions(code)[frame.f_lasti // 2]
    places = [line, column + 1, last, behind + 1] if column is not None else [line, 0, last, 0]
    return '|'.join(map(str, [code.co_filename, code.co_qualname, *places]))

def mark(what):
    with lock: rows.append(None); idx = len(rows) - 1
    block = bytes(200000 + 16 * idx); frame = sys._getframe(); line = frame.f_lineno
    stack = [f'{frame.f_code.co_filename}|mark|{line}']; frame = frame.f_back
    while frame: stack.append(describe(frame)); frame = frame.f_back
    rows[idx] = [what, sys.getsizeof(block), stack]
    return True

def recurse(n, leaf): return recurse(n - 1, leaf) if n else leaf()
def generator(n):
    mark('generator begins')
    for idx in range(n): mark('generator'); yield idx
def delegating(n):
    yield from generator(n)
    mark('delegating')
def decorated(function):
    @functools.wraps(function)
    def wrapper(*args): return function(*args)
    return wrapper
class Meta(type):
    def __call__(cls): mark('meta'); return super().__call__()
class Thing(metaclass=Meta):
    mark('class body')
    def __init__(self): mark('init')
    @decorated
    def method(self): mark('method')
    @property
    def value(self): return mark('property')
    def __getattr__(self, name): return mark('getattr')
    def __add__(self, other): return mark('add')
    def __enter__(self): mark('enter')
    def __exit__(self, *_): mark('exit')
    def __del__(self): mark('del')
def calls():
    thing = Thing(); thing.method(); thing.value; thing.other; thing + thing
    with thing: mark('with')
    del thing
    for depth in (0, 1, 2, 500): recurse(depth, lambda: mark('recursion'))
    (lambda: mark('lambda'))()
    [mark('list') for _ in range(2)]; {mark('set') for _ in range(2)}; {idx: mark('dict') for idx in range(2)}
    [[mark('inner') for _ in range(2)] for _ in range(2)]; list(mark('expression') for _ in range(2))
    mark(
        'over'
        ' lines')
def generators():
    for _ in generator(3): mark('over a generator')
    for _ in delegating(2): mark('over a delegating one')
    def receiving():
        try:
            while True: mark(str((yield)))
        except ValueError: mark('thrown'); yield
        finally: mark('closed')
    it = receiving(); next(it); it.send('sent'); it.throw(ValueError); it.close()
def callbacks():
    sorted([3, 1, 2], key=lambda _: mark('key')); list(map(lambda _: mark('map'), range(2)))
    re.sub('a', lambda _: str(mark('sub')), 'aa'); functools.reduce(lambda a, b: mark('reduce'), range(3))
    functools.lru_cache(lambda n: mark('cached'))(1)
    kept = Thing(); kept.me = kept; del kept; gc.collect()
    class Plain: pass
    plain = Plain(); ref = weakref.ref(plain, lambda _: mark('weak')); del plain
    signal.signal(signal.SIGUSR1, lambda *_: mark('signal')); os.kill(os.getpid(), signal.SIGUSR1)
    for _ in range(100): pass
def texts():
    for idx in range(20): exec(compile('\n' * (idx % 3) + "mark('exec')", f'<text {idx}>', 'exec'), globals())
    exec("def f(): return mark('defined in a text')\nf()\nclass K: mark('class in a text')", globals())
    eval("mark('eval')")
    with tempfile.TemporaryDirectory() as folder:
        path = folder + '/archive.zip'
        with zipfile.ZipFile(path, 'w') as archive: archive.writestr('zipped.py', 'import __main__\n\ndef f():\n    __main__.mark("zip")\nf()')
        sys.path.insert(0, path)
        import zipped
        zipped.f()
def exceptions():
    try:
        try: 1 / 0
        finally: mark('finally')
    except ZeroDivisionError: mark('except')
    try: recurse(3, lambda: 1 / 0)
    except ZeroDivisionError: mark('except after frames')
def coroutines():
    async def leaf(): mark('coroutine'); await asyncio.sleep(0); mark('resumed')
    async def middle(n): await (middle(n - 1) if n else leaf()); mark('middle')
    async def asynchronous():
        for idx in range(2): mark('async generator'); yield idx; await asyncio.sleep(0)
    async def main():
        await asyncio.gather(*[middle(n) for n in range(4)])
        async for _ in asynchronous(): mark('async for')
        [mark('async comprehension') async for _ in asynchronous()]
    asyncio.run(main())
def threads():
    workers = [threading.Thread(target=recurse, args=(n, lambda: [mark('thread') for _ in range(20)])) for n in (1, 4, 9)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
def greenlets():
    try: import greenlet
    except ImportError: return
    def body(n):
        for _ in range(5): mark('greenlet'); greenlet.getcurrent().parent.switch(); mark('switched to')
        recurse(n, lambda: greenlet.getcurrent().parent.switch()); mark('last')
    several = [greenlet.greenlet(lambda n=n: list(map(body, [n]))) for n in range(4)]
    for _ in range(8):
        for one in several:
            if not one.dead: one.switch()
            mark('main greenlet')
for part in (calls, generators, callbacks, texts, exceptions, coroutines, threads, greenlets): part(); part()
sys.settrace(lambda *_: None); calls(); sys.settrace(None)
sys.setrecursionlimit(5000); recurse(1500, lambda: mark('deep'))
print(json.dumps(rows), flush=True)
"#;

/// What, size, frames.
type Row = (String, u64, Vec<String>);

/// Most frames that are recorded.
const DEPTH_MAX: usize = 1024;

#[test]
fn stacks_are_those_of_the_interpreter() {
    for python in pythons() {
        for options in [&[][..], &["--native"]] {
            let recorded = Program::new(python, PROGRAM)
                .exact()
                .options(&["--all-events"])
                .options(options)
                .record_well();
            let rows: Vec<Row> = serde_json::from_str(recorded.last_line()).expect("the program prints JSON");
            assert!(rows.len() > 300);
            let tables = with_events(&recorded);
            let places = places(&tables);
            let n_native = tables.frames.iter().filter(|frame| frame.kind == FrameKind::Native).count();
            assert_eq!(n_native > 0, !options.is_empty(), "{}: {n_native} native frames", python.version());
            for (what, size, expected) in rows {
                let who = format!("{} {options:?}: {what}", python.version());
                let node =
                    places.get(&size).unwrap_or_else(|| panic!("{who}: {size} bytes are not recorded"));
                check(&who, &tables, *node, &expected);
            }
        }
    }
}

/// The recording with its events.
fn with_events(recorded: &Recorded) -> Recording {
    let bytes = fs::read(recorded.file()).expect("the recording is there");
    let mut reader = RecordingReader::new("recording.hr").keep_events();
    reader.push(&bytes).and_then(|()| reader.finish()).expect("it is a recording")
}

/// The node of each block by its size: the last one's.
fn places(tables: &Recording) -> BTreeMap<u64, u32> {
    let events = tables.tasks.iter().flat_map(|task| &task.events);
    events.filter(|event| event.kind == EventRow::ALLOC).map(|event| (event.size, event.node)).collect()
}

fn check(who: &str, tables: &Recording, node: u32, expected: &[String]) {
    let kinds: Vec<FrameKind> = tables.stack(node).map(|node| tables.frame(node).kind).collect();
    let python = tables.stack(node).filter(|node| tables.frame(*node).kind == FrameKind::Python);
    let mut found: Vec<String> = python
        .map(|node| {
            let frame = tables.frame(node);
            let (file, function) = (tables.text(frame.file), tables.text(frame.function));
            let places = [frame.line, frame.column, frame.end_line, frame.end_column];
            format!("{file}|{function}|{}|{}|{}|{}", places[0], places[1], places[2], places[3])
        })
        .collect();
    // The innermost frame has gone on when it describes itself, so it says no columns.
    let innermost = found.first().map_or("", |frame| frame.as_str());
    assert!(innermost.starts_with(&format!("{}|", expected[0])), "{who}: {innermost} is not {}", expected[0]);
    let reasons = tables.stack(node).filter(|node| tables.frame(*node).kind == FrameKind::Cut);
    let reasons: Vec<&str> = reasons.map(|node| tables.text(tables.frame(node).function)).collect();
    let is_shortened = reasons.contains(&"recursion, shortened");
    let is_cut = kinds.contains(&FrameKind::Cut) && !is_shortened;
    let is_native = kinds.contains(&FrameKind::Native);
    // A cut leaves the outermost frames out.
    let is_deep = expected.len() > DEPTH_MAX || is_native && expected.len() > DEPTH_MAX / 3;
    assert!(!is_cut || is_deep, "{who}: cut after {} frames of {}", found.len(), expected.len());
    assert_eq!(kinds.last(), Some(&FrameKind::Thread), "{who}");
    found.remove(0);
    if is_shortened {
        return check_shortened(who, (&kinds, &found), &expected[1..]);
    }
    let shown = if is_cut { found.len() } else { expected.len() - 1 };
    assert_eq!(found, expected[1..=shown], "{who}");
}

/// A large tree leaves out frames in the middle of a recursion: what stands before the first mark and behind the last one is
/// right. (The last one may be that of a stack that is too deep, behind which there is nothing.)
fn check_shortened(who: &str, (kinds, found): (&[FrameKind], &[String]), expected: &[String]) {
    let python_before = |end: usize| kinds[..end].iter().filter(|kind| **kind == FrameKind::Python).count();
    let mark = |kind: &FrameKind| *kind == FrameKind::Cut;
    let n_inner = python_before(kinds.iter().position(mark).expect("there is a mark")) - 1;
    let last_mark = kinds.iter().rposition(mark).expect("there is a mark");
    let n_outer = found.len() + 1 - python_before(last_mark);
    assert!(n_inner + n_outer <= expected.len(), "{who}: {n_inner} and {n_outer} frames");
    assert_eq!(found[..n_inner], expected[..n_inner], "{who}: inside of the mark");
    assert_eq!(
        found[found.len() - n_outer..],
        expected[expected.len() - n_outer..],
        "{who}: outside of the mark"
    );
}

const TAGS: &str = r#"
import ctypes, threading
set_tag = ctypes.CDLL(None).heapray_tag
def tag(text): set_tag(text, ctypes.c_size_t(len(text)))
def work(text, n):
    tag(text)
    kept.append(bytes(n))
    tag(b'')
    kept.append(bytes(n + 1000))
kept = []
work(b'/index', 300000)
worker = threading.Thread(target=work, args=(b'/other', 400000))
worker.start()
worker.join()
kept.append(bytes(500000))
print('done', flush=True)
"#;

#[test]
fn a_label_is_the_threads_until_it_is_taken_off() {
    for python in outer_pythons() {
        let recorded = Program::new(python, TAGS).exact().options(&["--all-events"]).record_well();
        let tables = with_events(&recorded);
        let places = places(&tables);
        let tag = |size: u64| {
            let mut stack = tables.stack(places[&(size + 33)]).map(|node| tables.frame(node));
            stack.find(|frame| frame.kind == FrameKind::Tag).map(|frame| tables.text(frame.function))
        };
        let found = [300_000, 301_000, 400_000, 401_000, 500_000].map(tag);
        assert_eq!(found, [Some("/index"), None, Some("/other"), None, None], "{}", python.version());
    }
}
