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
