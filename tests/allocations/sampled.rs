//! Estimates of a sampled recording hold the interval that is stated with them, at the rate that is stated.
//!
//! Two hundred lines of one program are two hundred independent trials: a Poisson process has no memory, so what is
//! sampled on one line says nothing about the next. Under `HEAPRAY_FULL=1` the same lines are tried with 200 seeds.
//! Bounds: a binomial of n trials at 90 % stays within 4 standard deviations, widened by 3 points below because the
//! normal interval on about 20 samples is a little narrow.

use std::collections::BTreeMap;
use std::fmt::Write;

use heapray_tests::{Program, Sum, is_full, record};

use crate::claims::{LIBC, PYTHON, outer_pythons};
use crate::native::prelude;

/// Half width of the stated 90 % interval, in standard deviations (docs/output.md).
const NORMAL_90: f64 = 1.644_853_6;
const INTERVAL: u64 = 16 << 10;

/// Estimate and truth of many lines.
#[derive(Default)]
pub(crate) struct Trials {
    pub(crate) n: u32,
    n_within: u32,
    sum_z: f64,
    sum_z2: f64,
}

impl Trials {
    fn add(&mut self, estimate: Sum, truth: f64) {
        self.add_shown(estimate.bytes, NORMAL_90 * estimate.bytes_variance.sqrt(), truth);
    }

    /// An estimate with the half of the interval that a report shows with it.
    pub(crate) fn add_shown(&mut self, bytes: f64, half: f64, truth: f64) {
        let z = (bytes - truth) / (half / NORMAL_90).max(1.0);
        self.n += 1;
        self.n_within += u32::from(z.abs() <= NORMAL_90);
        self.sum_z += z;
        self.sum_z2 += z * z;
    }

    fn rate(&self) -> f64 {
        f64::from(self.n_within) / f64::from(self.n)
    }

    pub(crate) fn report(&self) -> String {
        let n = f64::from(self.n);
        let (mean, square) = (self.sum_z / n, self.sum_z2 / n);
        format!(
            "{} of {} within ({:.3}), mean z {mean:+.3}, mean z² {square:.3}",
            self.n_within,
            self.n,
            self.rate()
        )
    }

    pub(crate) fn assert_holds(&self, who: &str) {
        let n = f64::from(self.n);
        let deviation = (0.9 * 0.1 / n).sqrt();
        assert!(self.rate() >= 0.87 - 4.0 * deviation, "{who}: intervals are too narrow: {}", self.report());
        assert!(
            self.rate() <= 0.9 + 4.0 * deviation + 0.02,
            "{who}: intervals are too wide: {}",
            self.report()
        );
        // The estimate and its own variance are correlated (few samples: small both), which drags z down a little.
        assert!(
            (self.sum_z / n).abs() < 0.15 + 4.0 / n.sqrt(),
            "{who}: estimates are off: {}",
            self.report()
        );
    }
}

#[test]
fn intervals_hold_for_python_objects_over_200_lines() {
    let (text, truth) = objects(200);
    for python in outer_pythons() {
        let trials = run(python, &text, &truth, (1, PYTHON));
        trials.assert_holds(&format!("{} objects", python.version()));
    }
}

#[test]
fn intervals_hold_for_malloc_over_200_lines() {
    let (text, truth) = blocks(200);
    for python in outer_pythons() {
        let trials = run(python, &text, &truth, (1, LIBC));
        trials.assert_holds(&format!("{} malloc", python.version()));
    }
}

/// Where a few bytes of each block go wrong it shows in the smallest: one more or less in the chance of 16 is 6 % of all.
#[test]
fn many_small_blocks_are_neither_more_nor_fewer() {
    let text = prelude() + "lib.blocks(0, 0, 16, 4000000, None)\nos._exit(0)\n";
    let line = text.lines().position(|line| line.starts_with("lib.blocks(")).expect("it is there") as u32 + 1;
    for python in outer_pythons() {
        let recorded =
            Program::new(python, &text).options(&["--sample-interval", "4096"]).variable("HEAPRAY_SEED", "1");
        let recorded = recorded.record_well();
        let sum = recorded.allocated(recorded.task(), LIBC)[&line];
        let (truth, deviation) = (64e6, sum.bytes_variance.sqrt());
        assert!(deviation < 0.01 * truth, "{}: {sum:?}", python.version());
        assert!((sum.bytes - truth).abs() < 4.0 * deviation, "{}: {sum:?} of {truth}", python.version());
        assert!((sum.count - truth / 16.0).abs() < 4.0 * deviation / 16.0, "{}: {sum:?}", python.version());
    }
}

#[test]
fn a_sampled_block_that_is_freed_is_seen_to_be_freed() {
    let (text, _) = objects(60);
    let (more, _) = blocks(60);
    let text = text.replace("os._exit(0)", "kept.clear()")
        + &more.replace("os._exit(0)", "for p, n in out: lib.drop_all(p, n)\nos._exit(0)");
    for python in outer_pythons() {
        let recorded = sampled(python, &text, 3).record_well();
        let (task, line_of) =
            (recorded.task(), |line: u32| text.lines().nth(line as usize - 1).unwrap_or(""));
        let fed =
            |line: &u32| line_of(*line).contains("return bytes") || line_of(*line).contains("lib.blocks");
        assert!(recorded.allocated(task, &[]).keys().filter(|line| fed(line)).count() > 100);
        let left: BTreeMap<u32, Sum> =
            recorded.live(task, &[]).into_iter().filter(|(line, _)| fed(line)).collect();
        let bytes: f64 = left.values().map(|sum| sum.bytes).sum();
        assert!(bytes < 3.0 * INTERVAL as f64, "{}: {left:?}", python.version());
    }
}

#[test]
fn intervals_hold_over_200_seeds() {
    if !is_full() {
        return;
    }
    let mut rows = String::from(
        "| Python | what | trials | within the 90 % interval | mean z | mean z² |\n|---|---|---|---|---|---|\n",
    );
    for python in outer_pythons() {
        for (what, (text, truth), allocators) in
            [("objects", objects(20), PYTHON), ("malloc", blocks(20), LIBC)]
        {
            let mut all = Trials::default();
            for seed in 1..=200 {
                let one = run(python, &text, &truth, (seed, allocators));
                all.n += one.n;
                all.n_within += one.n_within;
                all.sum_z += one.sum_z;
                all.sum_z2 += one.sum_z2;
            }
            all.assert_holds(&format!("{} {what}", python.version()));
            let n = f64::from(all.n);
            let (mean, square) = (all.sum_z / n, all.sum_z2 / n);
            writeln!(
                rows,
                "| {} | {what} | {} | {:.3} | {mean:+.3} | {square:.3} |",
                python.version(),
                all.n,
                all.rate()
            )
            .expect("a string takes text");
        }
    }
    let head = "Twenty lines of known bytes under 200 seeds each, `--sample-interval` 16 KiB: how often the truth lies in the stated interval.\n\n";
    record("sampling", "Stated intervals of sampled estimates", &(head.to_owned() + &rows));
}

fn sampled<'a>(python: &'a heapray_testkit::Python, text: &str, seed: u64) -> Program<'a> {
    let interval = INTERVAL.to_string();
    let options = ["--mode", "sampled", "--sample-interval", &interval];
    Program::new(python, text).options(&options).variable("HEAPRAY_SEED", &seed.to_string())
}

fn run(
    python: &heapray_testkit::Python,
    text: &str,
    truth: &BTreeMap<u32, u64>,
    (seed, allocators): (u64, &[u8]),
) -> Trials {
    let recorded = sampled(python, text, seed).record_well();
    let allocated = recorded.allocated(recorded.task(), allocators);
    let mut trials = Trials::default();
    for (line, bytes) in truth {
        trials.add(allocated.get(line).copied().unwrap_or_default(), *bytes as f64);
    }
    trials
}

/// `n` lines that each keep blocks of their own size, and the bytes of each line: objects of 40 B to 120 kB.
///
/// `bytes(n)` asks the allocator for its header of 32 bytes, for `n` bytes and a zero.
fn objects(n: u64) -> (String, BTreeMap<u32, u64>) {
    let mut text = String::from("import os\nkept = []\n");
    let mut calls = String::new();
    let mut truth = BTreeMap::new();
    for i in 0..n {
        let size = 8 + 37 * (i % 50) + [0, 300, 9_000, 120_000][(i % 4) as usize];
        let count = (24 * INTERVAL).div_ceil(size).clamp(1, 40_000);
        writeln!(text, "def make{i}(): return bytes({size})").expect("a string takes text");
        writeln!(calls, "kept.append([make{i}() for _ in range({count})])").expect("a string takes text");
        truth.insert(text.lines().count() as u32, count * (size + 33));
    }
    (text + &calls + "os._exit(0)\n", truth)
}

/// The same by malloc.
fn blocks(n: u64) -> (String, BTreeMap<u32, u64>) {
    let mut text =
        prelude() + "out = []\ndef room(n): out.append(((c_void_p * n)(), n)); return out[-1][0]\n";
    let mut truth = BTreeMap::new();
    for i in 0..n {
        let size = 16 + 53 * (i % 60) + [0, 500, 20_000, 300_000][(i % 4) as usize];
        let count = (24 * INTERVAL).div_ceil(size).clamp(1, 40_000);
        let kind = [0, 1, 2, 4][(i % 4) as usize];
        writeln!(text, "to = room({count})").expect("a string takes text");
        writeln!(text, "lib.blocks(0, {kind}, {size}, {count}, to)").expect("a string takes text");
        truth.insert(text.lines().count() as u32, count * size);
    }
    text.push_str("os._exit(0)\n");
    (text, truth)
}
