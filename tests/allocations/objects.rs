//! At the level of objects every line holds exactly what tracemalloc says it holds.

use std::collections::BTreeSet;
use std::fmt::Write;

use heapray_tests::{Dice, Program, is_full};

use crate::claims::{Counted, PYTHON, counted, pythons, whole};

/// Fills every free list of the interpreter's, so that both runs begin alike; tells its lines apart from those before.
///
/// What the lines keep are objects without free lists: a tuple that comes from one was allocated by whoever made it
/// first, and no allocator sees it go from hand to hand, while tracemalloc is told by `_Py_NewReference`.
const BEGIN: &str = r#"
import gc, json, os, sys, tracemalloc
gc.disable()
hold = [[float(i) + 0.5 for i in range(300)], [[] for _ in range(300)], [{"a": i} for i in range(300)], [{} for _ in range(300)]]
hold += [[(i,) * n for i in range(2100)] for n in range(1, 21)]
hold += [[i + 10**6 for i in range(300)], [iter([]) for _ in range(300)], [iter(()) for _ in range(300)], [range(n, 999) for n in range(300)]]
hold += [[iter(range(n, 999)) for n in range(300)], [[].append for _ in range(300)], [slice(n) for n in range(300)], [{1}.add for _ in range(300)]]
class Slots:
    __slots__ = ("a", "b")
def deep(n, size):
    return bytes(size) if n == 0 else deep(n - 1, size)
hold += [Slots() for n in range(300)] + [deep(60, 1)]
traced = "TRACED" in os.environ
kept = [None] * 4096
grown, table, n = [], {}, 0
if traced: tracemalloc.start()
"#;

const END: &str = r#"
if traced:
    stats = tracemalloc.take_snapshot().statistics("lineno")
    mine = {s.traceback[0].lineno: [s.count, s.size] for s in stats if s.traceback[0].filename == __file__}
    print(json.dumps(mine), flush=True)
os._exit(0)
"#;

#[test]
fn live_objects_per_line_are_those_of_tracemalloc() {
    let n_seeds = if is_full() { 20 } else { 2 };
    for python in pythons() {
        for seed in 0..n_seeds {
            let text = generated(seed, 120);
            let first = BEGIN.lines().count() as u32;
            let last = (text.lines().count() - END.lines().count()) as u32;
            let traced = Program::new(python, &text).variable("TRACED", "1").plain();
            let expected = counted(traced.stdout.lines().last().unwrap_or_else(|| panic!("{traced:?}")));
            let recorded = Program::new(python, &text).exact().record_well();
            let live = recorded.live(recorded.task(), PYTHON);
            let inside = |line| line > first && line <= last;
            let found = whole(&live, inside);
            let expected = expected.into_iter().filter(|(line, _)| inside(*line)).collect();
            assert_nearly_same(&format!("{} seed {seed}", python.version()), &text, (&found, &expected));
        }
    }
}

/// Asserts that nearly all lines are the same, and that the others differ by no more than the few objects of a line that
/// have free lists after all (its frame, an iterator): who is charged with those is a matter of the definition.
fn assert_nearly_same(who: &str, program: &str, (found, expected): (&Counted, &Counted)) {
    let lines: BTreeSet<u32> = found.keys().chain(expected.keys()).copied().collect();
    let of = |counted: &Counted, line: u32| counted.get(&line).copied().unwrap_or_default();
    let is_off = |line: u32| {
        let (ours, theirs) = (of(found, line), of(expected, line));
        ours.0.abs_diff(theirs.0) > 3 || ours.1.abs_diff(theirs.1) > 700
    };
    if let Some(line) = lines.iter().find(|line| is_off(**line)) {
        let both = (of(found, *line), of(expected, *line));
        panic!(
            "{who}: line {line} (recorded, counted) {both:?}: {}",
            program.lines().nth(*line as usize - 1).unwrap_or("")
        );
    }
    let n_same = lines.iter().filter(|line| of(found, **line) == of(expected, **line)).count();
    assert!(n_same * 10 >= lines.len() * 8, "{who}: only {n_same} of {} lines are the same", lines.len());
    let bytes = |counted: &Counted| counted.values().map(|sum| sum.1).sum::<u64>();
    assert!(
        bytes(found).abs_diff(bytes(expected)) < 4000,
        "{who}: {} and {} bytes in all",
        bytes(found),
        bytes(expected)
    );
    assert!(lines.len() > 60, "most lines hold something");
}

/// A program of `n` lines, each of which allocates in its own way and keeps, changes or drops what there is.
fn generated(seed: u64, n: u64) -> String {
    let mut dice = Dice::new(0x6f62_6a65 + seed);
    let mut text = BEGIN.to_owned();
    for at in 0..n {
        let size = 1 + dice.below(if at % 9 == 0 { 200_000 } else { 700 });
        let count = 2 + dice.below(60);
        let before = dice.below(at + 1);
        let line = match dice.below(13) {
            0 => format!("kept[{at}] = bytes({size})"),
            1 => format!("kept[{at}] = {{bytes([i]) * {size} for i in range({count})}}"),
            2 => format!("kept[{at}] = {{str(i) for i in range(1000, 1000 + {count})}}"),
            3 => format!("kept[{at}] = frozenset('a' * i for i in range(2, {count}))"),
            4 => format!("kept[{at}] = bytearray({size})"),
            5 => format!("kept[{at}] = {{Slots() for _ in range({count})}}"),
            6 => format!("kept[{at}] = 'x' * {size}"),
            7 => format!("n = {size} + 2**40; kept[{at}] = {{n ** i for i in range(2, {count})}}"),
            8 => format!("kept[{before}] = None"),
            9 => format!("kept[{at}] = deep({count}, {size})"),
            10 => format!("for i in range({count}): grown.append(bytes([i]) * {size})"),
            11 => format!("for i in range({count}): table[str(i) + '-{size}'] = i"),
            _ => format!(
                "kept[{at}] = set(kept[{before}]) if isinstance(kept[{before}], set) else repr(kept[{before}])"
            ),
        };
        writeln!(text, "{line}").expect("a string takes text");
    }
    text + END
}

/// A block of no bytes is asked for once more, in the raw domain, by the allocator of small objects.
#[test]
fn blocks_of_no_bytes_are_counted_once() {
    let text = "import ctypes, os\n\
        get = ctypes.pythonapi.PyMem_Malloc\n\
        get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_size_t]\n\
        give = ctypes.pythonapi.PyMem_Free\n\
        give.restype, give.argtypes = None, [ctypes.c_void_p]\n\
        for n in range(3000): give(get(0))\n\
        kept = [None] * 500\n\
        for n in range(500): kept[n] = get(0)\n\
        os._exit(0)\n";
    for python in pythons() {
        let recorded = Program::new(python, text).exact().record_well();
        let stacks = recorded.stacks(recorded.task());
        let empty = stacks.iter().filter(|(stack, _, sum)| {
            sum.count >= 500.0 && sum.bytes == 0.0 && stack.iter().any(|frame| frame.starts_with("Python "))
        });
        let mut counts: Vec<f64> = empty.map(|(_, _, sum)| sum.count).collect();
        counts.sort_unstable_by(f64::total_cmp);
        assert_eq!(counts, [500.0, 3000.0], "{}", python.version());
    }
}
