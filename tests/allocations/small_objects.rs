//! The growth of small objects is charged to the line that makes them, not to the one that happened to open an arena.

use heapray_tests::Program;

use crate::claims::{PYTHON, pythons};

/// One line makes all that grows; another makes much that goes at once, and opens most arenas. Bytes have no free list:
/// a list made by the second line could be handed to the first, which no allocator sees.
const TEXT: &str = r#"
import os
def grows(kept): kept.append(bytes(60 + len(kept) % 7))
def passes(): [bytes(64) for _ in range(4000)]
kept = []
for round in range(20_000):
    grows(kept)
    if round % 50 == 0: passes()
os._exit(0)
"#;

#[test]
fn growth_is_charged_to_the_line_that_makes_it() {
    let line =
        |text: &str| TEXT.lines().position(|line| line.starts_with(text)).expect("it is there") as u32 + 1;
    for python in pythons() {
        for options in [&["--sample-interval", "8192"][..], &["--mode", "exact", "--level", "objects"]] {
            let recorded = Program::new(python, TEXT).options(options).record_well();
            let live = recorded.live(recorded.task(), &[]);
            let all: f64 = live.values().map(|sum| sum.bytes).sum();
            let grown = live[&line("def grows")].bytes;
            assert!(grown > 0.8 * all, "{} {options:?}: {live:?}", python.version());
            let truth = recorded.allocated(recorded.task(), PYTHON)[&line("def passes")].bytes;
            assert!(truth > grown, "what passes was seen to pass");
            assert!(live.get(&line("def passes")).is_none_or(|sum| sum.bytes < 0.1 * grown), "{live:?}");
        }
    }
}
