//! Threads, their stacks, and what their frames hold, against what the interpreter says of itself.

use heapray_cpython::frames::{self, FrameRef};
use heapray_cpython::threads::{self, Thread};
use heapray_cpython::{Label, Runtime, Sink, Strength, code, strings};
use heapray_testkit::{ProcMemory, Python, Target, find_pythons};

fn runtime(mem: &ProcMemory) -> Runtime {
    Runtime::find(mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"))
}

#[derive(Default)]
struct Edges(Vec<(u64, Label, Strength)>);

impl Sink for Edges {
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        self.0.push((target, label, strength));
    }
    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

fn stack(mem: &ProcMemory, rt: &Runtime, thread: &Thread) -> Vec<FrameRef> {
    let mut found = Vec::new();
    let n = frames::stack(mem, rt, thread, |frame| found.push(frame));
    assert_eq!(n as usize, found.len());
    found
}

/// `name:line` of each frame, innermost first.
fn names(mem: &ProcMemory, rt: &Runtime, stack: &[FrameRef]) -> Vec<String> {
    let name = |frame: &FrameRef| {
        let info = code::info(mem, rt, frame.code).expect("a code object");
        format!("{}:{}", info.name, frame.line.map_or("?".into(), |line| line.to_string()))
    };
    stack.iter().map(name).collect()
}

/// Several threads at rest in different functions; prints for each its ident and `traceback`'s view of its stack.
const THREADS: &str = "
import sys, threading, traceback
stop = threading.Event()
ready = threading.Barrier(4)
def leaf(n):
    ready.wait()
    stop.wait()
def recurse(n):
    if n:
        return recurse(n - 1)
    return leaf(n)
def gen():
    yield leaf(1)
def through_generator():
    for x in gen():
        pass
def through_c():
    return list(map(leaf, [1]))
workers = [threading.Thread(target=t, args=a, daemon=True)
           for t, a in ((recurse, (7,)), (through_generator, ()), (through_c, ()))]
for w in workers: w.start()
ready.wait()
import linecache, time
def is_settled(f):
    line = linecache.getline(f.f_code.co_filename, f.f_lineno).strip()
    return line == 'waiter.acquire()' and f.f_back.f_back.f_code is leaf.__code__
def settled():
    frames = sys._current_frames()
    return all(is_settled(frames[w.ident]) for w in workers)
while not settled(): time.sleep(0)
frames = sys._current_frames()
for w in workers:
    rows = [f'{f.f_code.co_name}:{n}' for f, n in traceback.walk_stack(frames[w.ident])]
    print(w.ident, getattr(w, 'native_id', 0), *rows)
del frames
print('end', flush=True)
sys.stdin.readline()
";

#[test]
fn stacks_are_those_of_traceback() {
    for python in find_pythons() {
        let mut target = Target::start(python, THREADS);
        let mut expected = Vec::new();
        loop {
            let line = target.line();
            if line == "end" {
                break;
            }
            expected.push(line);
        }
        let mem = target.memory();
        let rt = runtime(&mem);
        let threads = threads::threads(&mem, &rt, rt.interpreters[0]);
        assert_eq!(threads.len(), expected.len() + 1, "{}", python.version());
        for line in expected {
            let mut words = line.split(' ');
            let ident: u64 = words.next().and_then(|word| word.parse().ok()).expect("an ident");
            let native: u32 = words.next().and_then(|word| word.parse().ok()).expect("a native id");
            let thread = threads.iter().find(|thread| thread.python_id == ident).expect("listed");
            assert!(thread.native_tid.is_none_or(|tid| tid == native), "{}", python.version());
            let found = names(&mem, &rt, &stack(&mem, &rt, thread));
            assert_eq!(found, words.collect::<Vec<_>>(), "{}", python.version());
        }
    }
}

#[test]
fn thousands_of_threads_are_listed() {
    for python in find_pythons() {
        let script = "
import threading, sys
threading.stack_size(65536)
stop = threading.Event()
for _ in range(2000): threading.Thread(target=stop.wait, daemon=True).start()
print(threading.active_count(), flush=True)
sys.stdin.readline()";
        let mut target = Target::start(python, script);
        let n = target.numbers()[0] as usize;
        let mem = target.memory();
        let rt = runtime(&mem);
        let threads = threads::threads(&mem, &rt, rt.interpreters[0]);
        assert_eq!(threads.len(), n, "{}", python.version());
        assert!(threads.iter().all(|thread| !stack(&mem, &rt, thread).is_empty()));
    }
}

/// The edges of the frame of the function `name` in any thread.
fn edges_of(mem: &ProcMemory, rt: &Runtime, name: &str) -> Vec<(u64, Label, Strength)> {
    let mut edges = Edges::default();
    for thread in threads::threads(mem, rt, rt.interpreters[0]) {
        for frame in stack(mem, rt, &thread) {
            if code::info(mem, rt, frame.code).is_some_and(|info| info.name == name) {
                frames::references(mem, rt, frame.address, &mut edges);
            }
        }
    }
    edges.0
}

fn label_text(mem: &ProcMemory, rt: &Runtime, label: Label) -> String {
    match label {
        Label::Local(name) => strings::read(mem, rt, name, 100).expect("a name"),
        Label::Closure(name) => format!("({})", strings::read(mem, rt, name, 100).expect("a name")),
        Label::Field(name) => format!(".{name}"),
        Label::Stack(_) => "stack".into(),
        other => format!("{other:?}"),
    }
}

const LOCALS: &str = "
import sys
class Thing: pass
def outer():
    free = Thing()
    def inner(argument, *args, key=None, **kwargs):
        cell = Thing()
        local = Thing()
        later = lambda: cell
        print(id(argument), id(args), id(key), id(kwargs), id(local), id(later), id(free), id(cell), flush=True)
        sys.stdin.readline()
        unset = 1
        return free, later
    return inner
outer()(Thing(), 1, 2, key=Thing(), other=3)
";

#[test]
fn locals_and_closures_are_named() {
    for python in find_pythons() {
        let mut target = Target::start(python, LOCALS);
        let ids = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        let edges = edges_of(&mem, &rt, "inner");
        let named = |wanted: u64| {
            let found = edges.iter().find(|edge| edge.0 == wanted && matches!(edge.1, Label::Local(_)));
            found
                .map(|edge| label_text(&mem, &rt, edge.1))
                .unwrap_or_else(|| panic!("{}: {wanted:#x}", python.version()))
        };
        let found: Vec<String> = ids[..6].iter().map(|id| named(*id)).collect();
        assert_eq!(found, ["argument", "args", "key", "kwargs", "local", "later"], "{}", python.version());
        let cells: Vec<String> = edges
            .iter()
            .filter(|edge| matches!(edge.1, Label::Closure(_)))
            .map(|edge| label_text(&mem, &rt, edge.1))
            .collect();
        assert_eq!(cells, ["(cell)", "(free)"], "{}", python.version());
        assert!(!edges.iter().any(|edge| label_text(&mem, &rt, edge.1) == "unset"));
    }
}

#[test]
fn a_value_only_on_the_evaluation_stack_is_seen() {
    for python in find_pythons() {
        let script = "
import sys
class Thing:
    def wait(self, other):
        sys.stdin.readline()
def made(kind):
    thing = Thing()
    print(id(thing), flush=True)
    return thing
def holder(kind):
    return [made(kind), len(sys.stdin.readline())]
holder(1)";
        let mut target = Target::start(python, script);
        let id = target.numbers()[0];
        let mem = target.memory();
        let rt = runtime(&mem);
        let edges = edges_of(&mem, &rt, "holder");
        let found = edges.iter().find(|edge| edge.0 == id && matches!(edge.1, Label::Stack(_)));
        assert!(found.is_some(), "{}: {edges:x?}", python.version());
    }
}

/// Finds frames inside generator objects as the object readers do: by the offset of the frame in the generator.
fn generator_frame(python: &Python) -> u64 {
    let script = "
import sys
def g():
    x = yield
it = g(); next(it)
print(id(it), id(it.gi_frame), flush=True)
sys.stdin.readline()";
    let mut target = Target::start(python, script);
    let ids = target.numbers();
    let mem = target.memory();
    let rt = runtime(&mem);
    // The one word in a generator from which a frame with this frame object can be read.
    (16..200)
        .step_by(8)
        .find(|offset| {
            frames::read(&mem, &rt, ids[0] + offset).is_some_and(|frame| frame.object == Some(ids[1]))
        })
        .unwrap_or_else(|| panic!("{}: no frame in a generator", python.version()))
}

#[test]
fn suspended_generators_and_coroutines_hold_their_locals() {
    for python in find_pythons().iter().filter(|python| python.minor() > 10) {
        let offset = generator_frame(python);
        let script = "
import sys, types
class Thing: pass
def g():
    in_generator = Thing()
    print(id(in_generator))
    yield len([in_generator])
@types.coroutine
def pause():
    yield
async def c():
    in_coroutine = Thing()
    print(id(in_coroutine))
    await pause()
it = g(); next(it)
co = c(); co.send(None)
print(id(it), id(co), it.gi_frame.f_lineno, co.cr_frame.f_lineno, flush=True)
sys.stdin.readline()";
        let mut target = Target::start(python, script);
        let things = [target.numbers()[0], target.numbers()[0]];
        let said = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        for idx in 0..2 {
            let frame = frames::read(&mem, &rt, said[idx] + offset).expect("a frame");
            assert_eq!(frame.line.map(u64::from), Some(said[idx + 2]), "{}", python.version());
            assert_eq!(frame.owner, frames::FrameOwner::Generator);
            let mut edges = Edges::default();
            frames::references(&mem, &rt, frame.address, &mut edges);
            let edge =
                edges.0.iter().find(|edge| edge.0 == things[idx] && edge.2 == Strength::Owned).expect("held");
            assert_eq!(label_text(&mem, &rt, edge.1), ["in_generator", "in_coroutine"][idx]);
        }
    }
}

#[test]
fn thread_roots_hold_thread_locals_context_and_exceptions() {
    for python in find_pythons() {
        let script = "
import sys, contextvars
var = contextvars.ContextVar('v')
var.set([1])
sys.setprofile(lambda *a: None)
try:
    raise ValueError('held')
except ValueError as error:
    print(id(error), id(sys.getprofile()), flush=True)
    sys.stdin.readline()";
        let mut target = Target::start(python, script);
        let ids = target.numbers();
        let mem = target.memory();
        let rt = runtime(&mem);
        let thread = threads::threads(&mem, &rt, rt.interpreters[0])[0];
        let mut edges = Edges::default();
        threads::roots(&mem, &rt, &thread, &mut edges);
        let label =
            |id: u64| edges.0.iter().find(|edge| edge.0 == id).map(|edge| label_text(&mem, &rt, edge.1));
        assert_eq!(label(ids[0]).as_deref(), Some(".exception being handled"), "{}", python.version());
        assert_eq!(label(ids[1]).as_deref(), Some(".profile function"), "{}", python.version());
        assert!(edges.0.iter().any(|edge| edge.1 == Label::Field("context")));
        assert!(
            edges.0.iter().all(|edge| edge.0 > 0xffff && edge.0 & 7 == 0),
            "{}: {edges:x?}",
            python.version(),
            edges = edges.0
        );
    }
}
