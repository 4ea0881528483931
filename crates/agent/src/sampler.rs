//! Poisson sampling by bytes: countdowns, and how far to the next sample. The mathematics is in `docs/sampling.md`.
//!
//! Hooks subtract a block's size from a countdown and go on, unless it falls below zero. The object and mem domains
//! of Python have one countdown each, because the interpreter's lock is held there. The system's allocator and the raw domain
//! share [`SHARDS`], chosen by the thread's pointer; two threads on one shard may lose each other's subtraction, which
//! shifts the next sample by a few bytes and nothing else.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicI64, AtomicU8, AtomicU64};

use heapray_wire::ring::cells::Allocator;
use heapray_wire::ring::{RING_OFFSET, ring_cells};

use crate::arch::thread_pointer;
use crate::kernel;
use crate::ring::{control, header};

/// Distance while recording is off, in bytes: how often it is looked at.
const OFF_BYTES: i64 = 1 << 20;
/// After so many bytes without a sample, in bytes, the next distance is drawn anew: the mean may be another one by now.
const LOOK_BYTES: i64 = 1 << 20;
/// A countdown below this was pushed there to force the slow path.
pub(crate) const FORCED: i64 = i64::MIN / 4;
/// Countdowns for threads.
pub(crate) const N_SHARDS: usize = 64;
/// Counts of the filter.
const FILTER_BYTES: usize = 1 << 18;

/// One countdown on a cache line of its own.
#[repr(C, align(64))]
pub(crate) struct Countdown {
    /// Bytes to the next sample. The entries in `arch` count it down.
    pub(crate) left: AtomicI64,
    /// Those to the next sample behind them.
    beyond: AtomicI64,
    /// The interval that they were drawn with.
    interval: AtomicU64,
    /// The interval that those to the last sample were drawn with.
    sampled: AtomicU64,
}

/// The object domain's.
pub(crate) static OBJECT_LEFT: Countdown = Countdown::new();
/// The mem domain's.
pub(crate) static MEM_LEFT: Countdown = Countdown::new();
/// Those of `malloc` and the raw domain. The entries in `arch` know the shape: 64 bytes each.
pub(crate) static SHARDS: [Countdown; N_SHARDS] = [const { Countdown::new() }; N_SHARDS];

/// How many sampled blocks have an address with this hash; 255 stays. A free whose count is 0 is of no interest.
static FILTER: [AtomicU8; FILTER_BYTES] = [const { AtomicU8::new(0) }; FILTER_BYTES];

static RANDOM: AtomicU64 = AtomicU64::new(0x2545_f491_4f6c_dd1d);

/// Draws from the kernel what the first sample depends on, or takes it from the collector's seed, and restarts all countdowns.
pub(crate) fn restart() {
    let first = match control().seed.load(Relaxed) {
        0 => kernel::random(),
        // Odd, so that it is not 0, of which nothing else would follow.
        seed => seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
    };
    RANDOM.store(first, Relaxed);
    OBJECT_LEFT.redraw();
    MEM_LEFT.redraw();
    for shard in &SHARDS {
        shard.redraw();
    }
}

/// This thread's shard, as the entries in `arch` compute it.
#[inline]
pub(crate) fn shard() -> &'static Countdown {
    &SHARDS[thread_pointer() >> 12 & (N_SHARDS - 1)]
}

/// The countdown that the calling thread's blocks of an allocator are counted by.
#[inline]
pub(crate) fn of(allocator: Allocator) -> &'static Countdown {
    match allocator {
        Allocator::PythonObject => &OBJECT_LEFT,
        Allocator::PythonMem => &MEM_LEFT,
        _ => shard(),
    }
}

/// Whether samples are to be taken.
#[inline]
pub(crate) fn is_on() -> bool {
    control().recording.load(Relaxed) != 0 && control().stop.load(Relaxed) == 0
}

/// Mean distance of samples now, in bytes: the collector's, and more while the ring fills faster than that can hear of it.
fn interval() -> u64 {
    let n_cells = ring_cells((control().slot_bytes.load(Relaxed) as usize).max(RING_OFFSET));
    let n_waiting = header().head.load(Relaxed).saturating_sub(header().tail.load(Relaxed));
    (control().sample_interval.load(Relaxed).clamp(1, 1 << 40)) << haste(n_waiting, n_cells)
}

/// By which power of two fewer samples are drawn with so many cells of a ring waiting to be read.
fn haste(n_waiting: u64, n_cells: u64) -> u32 {
    match (8 * n_waiting).checked_div(n_cells) {
        None | Some(0..3) => 0,
        Some(3) => 2,
        Some(4) => 4,
        Some(5) => 6,
        Some(_) => 8,
    }
}

impl Countdown {
    const fn new() -> Countdown {
        Countdown {
            left: AtomicI64::new(OFF_BYTES),
            beyond: AtomicI64::new(0),
            interval: AtomicU64::new(0),
            sampled: AtomicU64::new(0),
        }
    }

    /// The interval of the last sample: the collector may have changed it since its distance was drawn.
    pub(crate) fn sampled_interval(&self) -> u64 {
        self.sampled.load(Relaxed).max(1)
    }

    /// Starts over: the distance to the next sample.
    pub(crate) fn redraw(&self) {
        let interval = interval();
        self.sampled.store(self.interval.swap(interval, Relaxed), Relaxed);
        let distance = if is_on() { distance(next_random(), interval) } else { OFF_BYTES };
        let left = distance.min(LOOK_BYTES);
        self.beyond.store(distance - left, Relaxed);
        self.left.store(left, Relaxed);
    }

    /// Takes `size` off; whether a sample is due. For hooks that are rare; the frequent ones do it in assembly.
    pub(crate) fn passes(&self, size: usize) -> bool {
        let left = self.left.load(Relaxed).wrapping_sub(size as i64);
        self.left.store(left, Relaxed);
        if left >= 0 {
            return false;
        }
        self.is_due()
    }

    /// Called when the countdown has fallen below zero: starts over, answers whether to sample.
    pub(crate) fn is_due(&self) -> bool {
        let left = self.left.load(Relaxed);
        if left < FORCED {
            return false;
        }
        let is_reached = left + self.beyond.load(Relaxed) < 0;
        self.redraw();
        is_reached && is_on()
    }
}

/// Xorshift (Marsaglia 2003). Threads may race; then two of them draw the same number once.
fn next_random() -> u64 {
    let mut x = RANDOM.load(Relaxed);
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    RANDOM.store(x, Relaxed);
    x
}

/// An exponentially distributed distance with mean `interval` from 64 random bits: `-ln(u) * interval`, rounded down.
pub(crate) fn distance(random: u64, interval: u64) -> i64 {
    let uniform = ((random >> 11) + 1) as f64 / (1_u64 << 53) as f64;
    (-ln(uniform) * interval as f64) as i64
}

/// The natural logarithm of a positive normal number, to 1e-9 (there is no library to ask).
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let exponent = (bits >> 52 & 0x7ff) as i64 - 1023;
    let mantissa = f64::from_bits(bits & ((1 << 52) - 1) | 1023 << 52);
    // ln(m) = 2 artanh((m - 1) / (m + 1)), |argument| <= 1/3.
    let z = (mantissa - 1.0) / (mantissa + 1.0);
    let square = z * z;
    let series = (0..9).rev().fold(0.0, |sum, k| sum * square + 1.0 / f64::from(2 * k + 1));
    2.0 * z * series + exponent as f64 * core::f64::consts::LN_2
}

fn filter_of(ptr: usize) -> &'static AtomicU8 {
    let hash = (ptr as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 46;
    &FILTER[hash as usize & (FILTER_BYTES - 1)]
}

/// Notes that the block at `ptr` is sampled.
pub(crate) fn note(ptr: usize) {
    let _ = filter_of(ptr).fetch_update(Relaxed, Relaxed, |n| (n < u8::MAX).then_some(n + 1));
}

/// Notes that the block at `ptr` is gone.
pub(crate) fn forget(ptr: usize) {
    let _ = filter_of(ptr).fetch_update(Relaxed, Relaxed, |n| (n > 0 && n < u8::MAX).then(|| n - 1));
}

/// Whether the block at `ptr` may be sampled.
#[inline]
pub(crate) fn may_be_sampled(ptr: usize) -> bool {
    filter_of(ptr).load(Relaxed) != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithm_agrees_with_the_library() {
        for x in [f64::MIN_POSITIVE, 1e-300, 1e-9, 0.1, 0.5, 0.999_999, 1.0, 1.5, 1.999_999, 2.0, 7.0] {
            assert!((ln(x) - x.ln()).abs() < 1e-9 * x.ln().abs().max(1.0), "{x}: {} {}", ln(x), x.ln());
        }
    }

    #[test]
    fn distances_are_exponential() {
        let mut random = 88_172_645_463_325_252_u64;
        let interval = 65_536;
        let n = 200_000;
        let (mut sum, mut beyond) = (0.0, 0);
        for _ in 0..n {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let distance = distance(random, interval);
            sum += distance as f64;
            beyond += u32::from(distance > interval as i64);
        }
        let mean = sum / f64::from(n) / interval as f64;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
        let share = f64::from(beyond) / f64::from(n);
        assert!((share - (-1.0_f64).exp()).abs() < 0.005, "{share}");
        assert!(super::distance(0, interval) > 0 && super::distance(u64::MAX, interval) == 0);
    }

    #[test]
    fn filter_counts_what_shares_a_hash() {
        let ptr = 0x7f00_1234_5000;
        assert!(!may_be_sampled(ptr));
        note(ptr);
        note(ptr);
        forget(ptr);
        assert!(may_be_sampled(ptr));
        forget(ptr);
        assert!(!may_be_sampled(ptr));
    }

    /// Blocks of many sizes, as `docs/sampling.md` speaks of them.
    fn sizes() -> impl Iterator<Item = usize> {
        (0..20_000_usize).map(|idx| match idx % 100 {
            0 => 100_000 + idx,
            1..10 => 4096 + idx % 7,
            _ => 16 + idx * 37 % 500,
        })
    }

    struct Random(u64);

    impl Random {
        fn new(seed: u64) -> Random {
            Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
        }

        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }
    }

    /// Sizes of the sampled blocks, drawn as the hooks draw.
    fn sampled(random: &mut Random, interval: u64) -> std::vec::Vec<usize> {
        let mut left = distance(random.next(), interval);
        let mut is_sampled = |size: &usize| {
            left -= *size as i64;
            let is_due = left < 0;
            if is_due {
                left = distance(random.next(), interval);
            }
            is_due
        };
        sizes().filter(|size| is_sampled(size)).collect()
    }

    fn probability(size: usize, interval: u64) -> f64 {
        1.0 - (-(size as f64) / interval as f64).exp()
    }

    /// (bytes, count) and their variances as estimated from samples.
    fn estimate(samples: &[usize], interval: u64) -> [f64; 4] {
        samples.iter().fold([0.0; 4], |sum, size| {
            let (n, p) = (*size as f64, probability(*size, interval));
            let variance = (1.0 - p) / (p * p);
            [sum[0] + n / p, sum[1] + 1.0 / p, sum[2] + n * n * variance, sum[3] + variance]
        })
    }

    const INTERVAL: u64 = 65_536;
    const SEEDS: u64 = 200;

    fn estimates() -> std::vec::Vec<[f64; 4]> {
        (1..=SEEDS).map(|seed| estimate(&sampled(&mut Random::new(seed), INTERVAL), INTERVAL)).collect()
    }

    fn truth() -> [f64; 2] {
        [sizes().sum::<usize>() as f64, sizes().count() as f64]
    }

    fn true_variance(what: usize, interval: u64) -> f64 {
        let of = |size: usize| {
            let p = probability(size, interval);
            let n = if what == 0 { size as f64 } else { 1.0 };
            n * n * (1.0 - p) / p
        };
        sizes().map(of).sum()
    }

    fn mean(values: impl Iterator<Item = f64>) -> f64 {
        values.sum::<f64>() / SEEDS as f64
    }

    #[test]
    fn a_ring_that_fills_gets_fewer_samples() {
        let at = |eighths: u64| haste(8192 * eighths, 65_536);
        assert_eq!([0, 2, 3, 4, 5, 6, 8].map(at), [0, 0, 2, 4, 6, 8, 8]);
        assert_eq!(haste(0, 0), 0);
    }

    #[test]
    fn weights_are_unbiased() {
        let all = estimates();
        for (what, expected) in truth().into_iter().enumerate() {
            let seen = mean(all.iter().map(|estimate| estimate[what]));
            let error = (true_variance(what, INTERVAL) / SEEDS as f64).sqrt();
            assert!((seen - expected).abs() < 3.0 * error, "{what}: {seen} {expected} {error}");
        }
    }

    #[test]
    fn variance_is_estimated_from_the_samples() {
        let all = estimates();
        for (what, expected) in truth().into_iter().enumerate() {
            let variance = true_variance(what, INTERVAL);
            let estimated = mean(all.iter().map(|estimate| estimate[what + 2]));
            assert!((estimated / variance - 1.0).abs() < 0.1, "{what}: {estimated} {variance}");
            let spread = mean(all.iter().map(|estimate| (estimate[what] - expected).powi(2)));
            // The mean square of 200 draws has a relative deviation of sqrt(2/200).
            assert!((spread / variance - 1.0).abs() < 0.35, "{what}: {spread} {variance}");
        }
    }

    #[test]
    fn intervals_cover_the_truth() {
        let covered = |what: usize| {
            let is_inside = |estimate: &&[f64; 4]| {
                (estimate[what] - truth()[what]).abs() <= 1.96 * estimate[what + 2].sqrt()
            };
            estimates().iter().filter(is_inside).count()
        };
        assert!(covered(0) >= 180, "{}", covered(0));
        assert!(covered(1) >= 175, "{}", covered(1));
    }

    /// Samples that live, of a program that always holds 5,000 blocks of 200 bytes and replaces the oldest: at a fixed
    /// moment, and the most at any moment while each is replaced twenty times.
    fn held(seed: u64) -> (usize, usize) {
        let mut random = Random::new(seed);
        let mut left = distance(random.next(), INTERVAL);
        let mut held = std::vec![false; 5_000];
        let (mut live, mut fixed, mut most) = (0, 0, 0);
        for round in 0..21 {
            for slot in &mut held {
                left -= 200;
                let is_sampled = left < 0;
                if is_sampled {
                    left = distance(random.next(), INTERVAL);
                }
                live = live + usize::from(is_sampled) - usize::from(core::mem::replace(slot, is_sampled));
                most = most.max(live);
            }
            fixed = if round == 10 { live } else { fixed };
        }
        (fixed, most)
    }

    #[test]
    fn highest_of_estimates_reads_high() {
        let all: std::vec::Vec<(usize, usize)> = (1..=SEEDS).map(held).collect();
        let p = probability(200, INTERVAL);
        let bytes = |samples: usize| samples as f64 * 200.0 / p;
        let error = |samples: usize| 1.645 * (samples as f64 * (1.0 - p)).sqrt() * 200.0 / p;
        let fixed = mean(all.iter().map(|(fixed, _)| bytes(*fixed)));
        assert!((fixed / 1e6 - 1.0).abs() < 0.05, "unbiased where the moment is given: {fixed}");
        let most = mean(all.iter().map(|(_, most)| bytes(*most)));
        assert!(most > 1.4e6, "{most}");
        let covers = |(_, most): &&(usize, usize)| bytes(*most) - error(*most) <= 1e6;
        let covered = all.iter().filter(covers).count();
        assert!(covered < 40, "the stated interval of the most holds the truth {covered} times of {SEEDS}");
    }

    #[test]
    fn thinned_samples_are_samples_at_the_larger_interval() {
        let larger = 4 * INTERVAL;
        let mut all = std::vec::Vec::new();
        for seed in 1..=SEEDS {
            let mut random = Random::new(seed + 1000);
            let mut samples = sampled(&mut random, INTERVAL);
            samples.retain(|size| {
                let kept = probability(*size, larger) / probability(*size, INTERVAL);
                ((random.next() >> 11) as f64 / (1_u64 << 53) as f64) < kept
            });
            all.push(estimate(&samples, larger));
        }
        for (what, expected) in truth().into_iter().enumerate() {
            let seen = mean(all.iter().map(|estimate| estimate[what]));
            let variance = true_variance(what, larger);
            assert!((seen - expected).abs() < 3.0 * (variance / SEEDS as f64).sqrt(), "{what}: {seen}");
            let spread = mean(all.iter().map(|estimate| (estimate[what] - expected).powi(2)));
            assert!((spread / variance - 1.0).abs() < 0.35, "{what}: {spread} {variance}");
        }
    }
}
