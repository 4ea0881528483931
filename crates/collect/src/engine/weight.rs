//! What a record stands for, and sums of that.
//!
//! A sampled allocation of n bytes was taken with probability p = 1 − exp(−n/R), R being the mean interval when it was
//! taken, so that it stands for 1/p blocks and n/p bytes (Horvitz–Thompson); each sum of samples has the unbiased
//! variance estimate Σ (1 − p)/p² for blocks and n² times that for bytes. Exact records have p = 1.

use std::ops::{AddAssign, SubAssign};

/// A number of records and what they stand for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Sum {
    /// Records.
    pub(crate) n_records: u64,
    /// Blocks; left at 0 in sums of exact records, whose `n_records` says it.
    pub(crate) count: f64,
    /// Bytes.
    pub(crate) bytes: f64,
    /// Variance of `count`.
    pub(crate) count_variance: f64,
    /// Variance of `bytes`.
    pub(crate) bytes_variance: f64,
}

impl Sum {
    /// One allocation that was certain to be recorded.
    #[inline]
    pub(crate) fn exact(size: u64) -> Self {
        Self { n_records: 1, bytes: size as f64, ..Self::default() }
    }

    /// With its blocks filled in, for records drawn with mean interval `interval`.
    pub(crate) fn told(self, interval: u64) -> Self {
        if interval == 0 { Self { count: self.n_records as f64, ..self } } else { self }
    }

    /// One allocation that was sampled with mean interval `interval` bytes; 0 means that it was certain.
    #[inline]
    pub(crate) fn of(size: u64, interval: u64) -> Self {
        if interval == 0 { Self::exact(size) } else { Self::sampled(size, interval) }
    }

    /// Empty blocks are never sampled; one that says so all the same counts as one of a byte, which is finite.
    fn sampled(size: u64, interval: u64) -> Self {
        let n = size as f64;
        let p = -(-n.max(1.0) / interval as f64).exp_m1();
        let variance = (1.0 - p) / (p * p);
        Self {
            n_records: 1,
            count: 1.0 / p,
            bytes: n / p,
            count_variance: variance,
            bytes_variance: n * n * variance,
        }
    }

    /// Holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Rounding of sums that went up and down must not outlive the last record.
    #[inline]
    pub(crate) fn settle(&mut self) {
        if self.n_records == 0 {
            *self = Self::default();
        }
    }
}

impl AddAssign for Sum {
    #[inline]
    fn add_assign(&mut self, other: Self) {
        self.n_records = self.n_records.saturating_add(other.n_records);
        self.count += other.count;
        self.bytes += other.bytes;
        self.count_variance += other.count_variance;
        self.bytes_variance += other.bytes_variance;
    }
}

impl SubAssign for Sum {
    #[inline]
    fn sub_assign(&mut self, other: Self) {
        self.n_records = self.n_records.saturating_sub(other.n_records);
        self.count -= other.count;
        self.bytes -= other.bytes;
        self.count_variance -= other.count_variance;
        self.bytes_variance -= other.bytes_variance;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_block_stands_for_itself_and_a_small_one_for_many() {
        let large = Sum::of(64 << 20, 65_536);
        assert!((large.count - 1.0).abs() < 1e-12 && large.bytes_variance < 1.0);
        let small = Sum::of(64, 65_536);
        assert!((small.count - 1024.5).abs() < 0.1, "{small:?}");
        assert!((small.bytes - 64.0 * small.count).abs() < 1e-6);
        assert!(Sum::of(0, 65_536).count.is_finite());
        assert_eq!(Sum::of(100, 0), Sum::exact(100));
    }

    /// Simulation of the agent's sampler, which takes a block's size off its countdown (`crates/agent/src/sampler.rs`): the mean over
    /// many blocks equals the truth within four standard errors.
    #[test]
    fn estimates_are_unbiased_for_every_size() {
        let mut state = 7u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
        };
        for size in [1u64, 16, 500, 5_000, 100_000] {
            let (interval, n) = (10_000u64, 10_000_000 / size.max(50));
            let mut sum = Sum::default();
            let mut left = -uniform().ln() * interval as f64;
            for _ in 0..n {
                left -= size as f64;
                if left < 0.0 {
                    sum += Sum::of(size, interval);
                    left = -uniform().ln() * interval as f64;
                }
            }
            let error = (sum.count - n as f64).abs();
            assert!(error <= 4.0 * sum.count_variance.sqrt(), "{size}: {sum:?}");
        }
    }
}
