//! Estimates hold the interval that reports show with them while the distance of samples changes by itself: it grows while
//! samples come fast or many live, and goes back when they come slowly.
//!
//! Every line allocates before, while and after it changes. What the lines did, the program counts; what is claimed is what
//! `heapray top` shows. When it changes depends on the clock, so a seed does not repeat a run, and all of it runs under
//! `HEAPRAY_FULL=1` only; bounds are those of [`crate::sampled`], 4 standard deviations of a binomial and 3 points.

use std::collections::BTreeMap;
use std::fmt::Write;

use heapray_testkit::Python;
use heapray_tests::{Program, Recorded, is_full, record};

use crate::claims::outer_pythons;
use crate::native::prelude;
use crate::sampled::Trials;

/// What a line does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// Allocates and drops, by malloc and as objects.
    Drops,
    /// Keeps, in the same rounds.
    Keeps,
    /// Keeps, in the calm afterwards.
    KeepsLater,
}

/// A program, and of each of its lines what it does and how many bytes in a round.
struct Story {
    text: String,
    lines: BTreeMap<u64, (Kind, u64)>,
}

impl Story {
    fn new() -> Story {
        let text = prelude()
            + "from collections import deque\n\
               from itertools import repeat\n\
               lines, later, kept = [], [], []\n\
               def room(n): kept.append((c_void_p * n)()); return kept[-1]\n";
        Story { text, lines: BTreeMap::new() }
    }

    /// One more line: `code` allocates `bytes` each time.
    fn line(&mut self, kind: Kind, code: &str, bytes: u64) {
        writeln!(self.text, "place = lambda: {code}").expect("a string takes text");
        self.lines.insert(self.text.lines().count() as u64, (kind, bytes));
        self.text += if kind == Kind::KeepsLater { "later.append(place)\n" } else { "lines.append(place)\n" };
    }

    /// Allocates `n` blocks and drops them.
    fn blocks(&mut self, size: u64, n: u64) {
        self.line(Kind::Drops, &format!("lib.blocks(0, 0, {size}, {n}, None)"), size * n);
    }

    /// Makes and drops `n` objects, of which each asks for a header of 32 bytes and a zero beside its own.
    fn objects(&mut self, size: u64, n: u64) {
        self.line(Kind::Drops, &format!("deque(map(bytes, repeat({size}, {n})), 0)"), (size + 33) * n);
    }

    /// Allocates `n` blocks and keeps them.
    fn kept(&mut self, kind: Kind, size: u64, n: u64) {
        self.line(kind, &format!("lib.blocks(0, 0, {size}, {n}, room({n}))"), size * n);
    }
}

/// About 1.3 GB/s for two seconds, in even rounds of all lines, then some 50 MB/s.
const BURST_AND_CALM: &str = r"
begin = time.monotonic()
rounds = 0
while time.monotonic() < begin + 2:
    for line in lines: line()
    rounds += 1
    while time.monotonic() < begin + rounds * 0.01: pass
begin = time.monotonic()
for n in range(50):
    for line in later: line()
    time.sleep(max(0, begin + (n + 1) * 0.03 - time.monotonic()))
print(json.dumps([rounds, 50]), flush=True)
os._exit(0)
";

fn burst_and_calm() -> Story {
    let mut story = Story::new();
    for i in 0..20 {
        let size = 50 + 41 * i + [0, 0, 900, 6_000][(i % 4) as usize];
        story.blocks(size, 320_000 / size);
        let size = 20 + 22 * i;
        story.objects(size, 320_000 / (size + 33));
    }
    for i in 0..8 {
        let size = 60 + 111 * i;
        story.kept(Kind::Keeps, size, 80_000 / size);
        story.kept(Kind::KeepsLater, size, 200_000 / size);
    }
    story.text += BURST_AND_CALM;
    story
}

/// Keeps 120 MB, at a pace that the ring has room for: slower while nearly every block is a sample.
const GROWTH: &str = r"
for rounds in range(200):
    next = time.monotonic() + (0.02 if rounds < 50 else 0.005)
    for line in lines: line()
    time.sleep(max(0, next - time.monotonic()))
print(json.dumps([200, 0]), flush=True)
os._exit(0)
";

fn growth() -> Story {
    let mut story = Story::new();
    for i in 0..60 {
        let size = 50 + 41 * (i % 17);
        story.kept(Kind::Keeps, size, 10_000 / size);
    }
    story.text += GROWTH;
    story
}

/// Estimates and truths of lines that did the same, and the distances of samples, slice by slice, of each run.
#[derive(Default)]
struct Shown {
    trials: BTreeMap<Kind, Trials>,
    distances: Vec<Vec<f64>>,
}

impl Shown {
    fn run(&mut self, python: &Python, story: &Story, (seed, options): (u64, &[&str])) {
        let program = Program::new(python, &story.text).options(options);
        let recorded = program.variable("HEAPRAY_SEED", &seed.to_string()).record_well();
        let [rounds, later]: [u64; 2] = serde_json::from_str(recorded.last_line()).expect("two numbers");
        self.distances.push(distances(&recorded));
        let top = recorded.ask(&["top", "--limit", "100000", "--from", "0s"]);
        assert_eq!(top["recording"]["doubt"]["lost_events"], 0, "{}", python.version());
        let shown = |line: u64, what: &str, field: &str| {
            let rows = top["rows"].as_array().expect("rows");
            let is_it = |row: &&serde_json::Value| row["line"] == line && row["function"] == "<lambda>";
            rows.iter().find(is_it).and_then(|row| row[what][field].as_f64()).unwrap_or(0.0)
        };
        for (line, (kind, bytes)) in &story.lines {
            let truth = (bytes * if *kind == Kind::KeepsLater { later } else { rounds }) as f64;
            // A line that keeps allocates a little more, for the call: it is its live bytes that the program knows.
            let what = if *kind == Kind::Drops { "allocated" } else { "live" };
            let (bytes, half) = (shown(*line, what, "bytes"), shown(*line, what, "bytes_error"));
            self.trials.entry(*kind).or_default().add_shown(bytes, half, truth);
            let left = if *kind == Kind::Drops { shown(*line, "live", "bytes") } else { 0.0 };
            assert!(left < 0.02 * truth, "{}: line {line} keeps {left}", python.version());
        }
    }

    /// Asserts that the intervals hold, and adds what was found to a table.
    fn check(&self, who: &str, table: &mut String) {
        let farthest = self.distances.iter().flatten().copied().fold(0.0, f64::max) / 1024.0;
        for (kind, trials) in &self.trials {
            let what = match kind {
                Kind::Drops => "allocated and dropped",
                Kind::Keeps => "live",
                Kind::KeepsLater => "live, of the calm",
            };
            trials.assert_holds(&format!("{who}, {what}"));
            writeln!(table, "| {who} | {what} | {} | {farthest:.0} KiB |", trials.report())
                .expect("a string takes text");
        }
    }
}

/// Bytes that a record stood for on average, in each slice: about the distance of samples, since blocks are smaller.
fn distances(recorded: &Recorded) -> Vec<f64> {
    let sums = recorded.task().slices.iter().map(|slice| {
        let n: u64 = slice.allocs.iter().map(|row| row.n_records).sum();
        (slice.allocs.iter().map(|row| row.bytes).sum::<f64>(), n)
    });
    sums.filter(|(_, n)| *n > 0).map(|(bytes, n)| bytes / n as f64).collect()
}

/// Seeds that each Python is tried with.
const N_SEEDS: u64 = 25;

/// Tries a story under some seeds, on some Pythons; `changes` says of a run's distances whether they changed as they were to.
fn hold(story: &Story, options: &[&str], changes: impl Fn(&[f64]) -> bool) -> String {
    let mut table =
        "| Python | bytes | within the stated interval | samples at most apart, mean of a slice |\n\
                     |---|---|---|---|\n"
            .to_owned();
    for python in outer_pythons() {
        let mut shown = Shown::default();
        (1..=N_SEEDS).for_each(|seed| shown.run(python, story, (seed, options)));
        for distances in &shown.distances {
            assert!(changes(distances), "{}: {distances:?}", python.version());
        }
        shown.check(&python.version(), &mut table);
    }
    table
}

#[test]
fn shown_intervals_hold_while_the_distance_of_samples_changes() {
    if !is_full() {
        return;
    }
    // 64 KiB, then 1 MiB where the machine is free, then back.
    let burst = hold(&burst_and_calm(), &[], |distances| {
        let farthest = distances.iter().copied().fold(0.0, f64::max);
        let last = distances.last().copied().unwrap_or(0.0);
        farthest > 4.0 * 65_536.0 && last < farthest / 2.0
    });
    let growth = hold(&growth(), &["--sample-interval", "256"], |distances| {
        distances.last().zip(distances.first()).is_some_and(|(last, first)| *last > 1.3 * first)
    });
    let text = format!(
        "Lines of known bytes under {N_SEEDS} seeds, what `heapray top` shows of each: how often the truth lies in the stated 90 % interval.\n\n\
         ## While samples come fast\n\nAbout 1.3 GB/s for two seconds, then 50 MB/s; the distance begins at 64 KiB.\n\n{burst}\n\
         ## While samples live\n\n120 MB are kept; the distance begins at 256 bytes.\n\n{growth}"
    );
    record("sampling-changing", "Stated intervals while the sample interval changes", text.trim_end());
}
