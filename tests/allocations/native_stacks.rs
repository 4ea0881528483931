//! Native frames are those that are there now, also where the Python frames around them are as they were last time.

use std::fs;

use heapray_capture::RecordingReader;
use heapray_tests::Program;
use heapray_wire::{EventRow, FrameKind};

use crate::claims::pythons;
use crate::native::{libraries, prelude};

/// Functions that call one another through one instruction by way of different C functions, and allocate before, between and after:
/// blocks of sizes that are never used again. Prints each with the C functions that were on the way, outermost first. Each
/// depth has functions of its own, so that nothing is a recursion.
const PROGRAM: &str = r#"
import itertools, random
through = ctypes.CDLL(LIBRARY)
Callback = ctypes.CFUNCTYPE(None)
numbers, rows, kept = itertools.count(), [], []

def allocate(path):
    size = 50000 + 16 * next(numbers)
    bytes(size - 33)
    kept.append([size, str(size)])
    rows.append([size, path])

LEVEL = """
def by(function, n): return lambda call: function(Callback(call), n)
ways = [
    (['through_a'], by(through.through_a, 1)),
    (['through_a'] * 3, by(through.through_a, 3)),
    (['through_b'], by(through.through_b, 1)),
    (['through_b', 'through_a'], by(through.through_b, 2)),
    ([], lambda call: call()),
    ([], lambda call: list(map(lambda _: call(), 'a'))),
    ([], lambda call: list(call() for _ in 'a')),
]
def go(dice, path):
    for names, way in dice.sample(ways, 2):
        allocate(path)
        if further:
            inner = path + names
            way(lambda: further(dice, inner))
        allocate(path)
"""
go = None
for _ in range(6):
    level = {**globals(), 'further': go}
    exec(LEVEL, level)
    go = level['go']

workers = [threading.Thread(target=go, args=(random.Random(seed), [])) for seed in range(2)]
for worker in workers: worker.start()
go(random.Random(2), [])
for worker in workers: worker.join()
print(json.dumps(rows), flush=True)
os._exit(0)
"#;

#[test]
fn native_frames_are_those_that_are_on_the_way() {
    let library = format!("{:?}", libraries().through);
    let text = prelude() + &PROGRAM.replace("LIBRARY", &library);
    for python in pythons() {
        let recorded =
            Program::new(python, &text).exact().options(&["--native", "--all-events"]).record_well();
        let rows: Vec<(u64, Vec<String>)> =
            serde_json::from_str(recorded.last_line()).expect("the program prints JSON");
        assert!(rows.len() > 200);
        let bytes = fs::read(recorded.file()).expect("the recording is there");
        let mut reader = RecordingReader::new("recording.hr").keep_events();
        let tables = reader.push(&bytes).and_then(|()| reader.finish()).expect("it is a recording");
        let frames = |node| tables.stack(node).map(|node| tables.frame(node));
        let names = |node, kind| {
            let those = frames(node).filter(move |frame| frame.kind == kind);
            those.map(|frame| tables.text(frame.function))
        };
        // Others may be as large by chance.
        let ours = |node| names(node, FrameKind::Python).next() == Some("allocate");
        for (size, expected) in rows {
            let mut events = tables.tasks.iter().flat_map(|task| &task.events);
            let event = events
                .find(|event| event.kind == EventRow::ALLOC && event.size == size && ours(event.node))
                .unwrap_or_else(|| panic!("{}: {size} bytes are recorded", python.version()));
            // A compiler may say `through_a.localalias`.
            let natives = names(event.node, FrameKind::Native).filter_map(|name| name.split('.').next());
            let mut found: Vec<&str> = natives.filter(|name| name.starts_with("through_")).collect();
            found.reverse();
            assert_eq!(found, expected, "{}: {size} bytes", python.version());
        }
    }
}

/// An exception thrown into a generator goes to the innermost one by way of C alone: those around it are frames of the thread without
/// an activation of their own. In new threads too, whose memory nobody has cleared.
const THROWN: &str = r#"
through = ctypes.CDLL(LIBRARY)
Callback = ctypes.CFUNCTYPE(None)
kept = []

def inner():
    try: yield
    except ValueError: kept.append(bytes(5000)); raise
def middle(): yield from inner()
def outer(): yield from middle()
def throw():
    generator = outer()
    next(generator)
    try: generator.throw(ValueError)
    except ValueError: pass
def go():
    for _ in range(20): through.through_a(Callback(throw), 2)

go()
for _ in range(30):
    worker = threading.Thread(target=go)
    worker.start()
    worker.join()
print('done', flush=True)
os._exit(0)
"#;

#[test]
fn generators_that_an_exception_is_thrown_through_stand_where_it_was_thrown() {
    let text = prelude() + &THROWN.replace("LIBRARY", &format!("{:?}", libraries().through));
    for python in pythons() {
        let recorded = Program::new(python, &text).exact().options(&["--native"]).record_well();
        let version = python.version();
        assert_eq!(recorded.last_line(), "done", "{version}");
        let stacks = recorded.stacks(recorded.task());
        let of_ours =
            stacks.iter().filter(|(stack, ..)| stack.iter().any(|frame| frame.starts_with("Python inner ")));
        let mut n_seen = 0;
        for (stack, ..) in of_ours {
            let at = |name: &str| stack.iter().position(|frame| frame.starts_with(name));
            let names = [
                "Python go ",
                "Native through_a",
                "Python throw ",
                "Python outer ",
                "Python middle ",
                "Python inner ",
            ];
            let places = names.map(at);
            let is_merged = places[0].is_some() && places.is_sorted();
            let is_marked = stack.iter().any(|frame| frame.starts_with("Cut native frames missing"));
            assert!(is_merged || is_marked && version.starts_with("3.10"), "{version}: {stack:?}");
            n_seen += 1;
        }
        assert!(n_seen > 0, "{version}");
    }
}
