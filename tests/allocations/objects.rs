//! At the level of objects every line holds exactly what tracemalloc says it holds.

use std::fmt::Write;

use heapray_tests::{Dice, Program, is_full};

use crate::claims::{PYTHON, assert_same, counted, pythons, whole};

/// Fills every free list of the interpreter's, so that both runs begin alike; tells its lines apart from those before.
const BEGIN: &str = r#"
import gc, json, os, sys, tracemalloc
gc.disable()
hold = [[float(i) + 0.5 for i in range(300)], [[] for _ in range(300)], [{"a": i} for i in range(300)], [{} for _ in range(300)]]
hold += [[(i,) * n for i in range(2100)] for n in range(1, 21)]
hold += [[i + 10**6 for i in range(300)], [iter([]) for _ in range(300)], [iter(()) for _ in range(300)], [range(n, 999) for n in range(300)]]
hold += [[iter(range(n, 999)) for n in range(300)], [[].append for _ in range(300)], [slice(n) for n in range(300)], [{1}.add for _ in range(300)]]
class Node:
    def __init__(self, n):
        self.n = n
        self.text = str(n)
class Slots:
    __slots__ = ("a", "b")
def deep(n, size):
    return [bytes(size)] if n == 0 else deep(n - 1, size)
def values(n):
    for i in range(n):
        yield (i, [i])
hold += [Node(n) for n in range(300)] + [Slots() for n in range(300)] + [deep(30, 1)] + list(values(3))
hold += [method for n in range(300) for method in [Node(n).__init__]]
traced = "TRACED" in os.environ
kept = [None] * 4096
at = 0
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
            assert_same(&format!("{} seed {seed}", python.version()), &text, &found, &expected);
            assert!(found.len() > 60, "most lines hold something");
        }
    }
}

/// A program of `n` lines, each of which allocates in its own way and keeps, changes or drops what there is.
fn generated(seed: u64, n: u64) -> String {
    let mut dice = Dice::new(0x6f62_6a65 + seed);
    let mut text = BEGIN.to_owned();
    for at in 0..n {
        let size = 1 + dice.below(if at % 9 == 0 { 200_000 } else { 700 });
        let count = 1 + dice.below(60);
        let before = dice.below(at + 1);
        let line = match dice.below(16) {
            0 => format!("kept[{at}] = bytes({size})"),
            1 => format!("kept[{at}] = [bytes({size}) for _ in range({count})]"),
            2 => format!("kept[{at}] = dict.fromkeys(range({count}, {size} + {count}))"),
            3 => format!("kept[{at}] = [(i, str(i)) for i in range({count}, {count} + {count})]"),
            4 => format!("kept[{at}] = bytearray({size})"),
            5 => format!("kept[{at}] = set(range({size}, {size} + {count}))"),
            6 => format!("kept[{at}] = [Node(i) for i in range({count})]"),
            7 => format!("kept[{at}] = 'x' * {size}"),
            8 => format!("n = {size} + {count}; kept[{at}] = [n ** i for i in range({count})]"),
            9 => format!("kept[{before}] = None"),
            10 => format!("kept[{at}] = deep({count}, {size})"),
            11 => format!("for i in range({count}): grown.append(i + {size})"),
            12 => format!("for i in range({count}): table[i * {size}] = [i]"),
            13 => format!("kept[{at}] = list(values({count}))"),
            14 => format!("kept[{at}] = [Slots() for _ in range({count})]; kept[{at}][0].a = [1.5 * {size}]"),
            _ => format!(
                "kept[{at}] = kept[{before}] and (list(kept[{before}]) if isinstance(kept[{before}], (list, set)) else repr(kept[{before}]))"
            ),
        };
        writeln!(text, "{line}").expect("a string takes text");
    }
    text + END
}
