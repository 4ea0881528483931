//! An estimated number of blocks and bytes, with what it stands on.

use heapray_wire::{AllocRow, LiveRow};
use std::ops::{AddAssign, Neg};

/// Half width of a 90 % interval in standard deviations, as `leaks` gives intervals too.
const NORMAL_90: f64 = 1.644_853_6;
/// A live sample stands for at least one block; less, of hardly any bytes, is what remains of sums in floating point.
const COUNT_MIN: f64 = 0.5;
const BYTES_MIN: f64 = 16.0;

/// Blocks and bytes. Sums of independent samples: variances add up, and go when the same samples are taken away.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amount {
    /// Records (samples, or events of an exact recording) that it stands on.
    pub n_records: i64,
    /// Blocks.
    pub count: f64,
    /// Bytes.
    pub bytes: f64,
    /// Variance of `count`; 0 in an exact recording.
    pub count_variance: f64,
    /// Variance of `bytes`; 0 in an exact recording.
    pub bytes_variance: f64,
}

impl Amount {
    /// Half the width of the 90 % interval of `bytes`.
    pub fn bytes_error(&self) -> f64 {
        NORMAL_90 * self.bytes_variance.max(0.0).sqrt()
    }

    /// Half the width of the 90 % interval of `count`.
    pub fn count_error(&self) -> f64 {
        NORMAL_90 * self.count_variance.max(0.0).sqrt()
    }

    /// As something that is: nothing below zero, no dust of floating point.
    pub fn settled(self) -> Self {
        if self.count < COUNT_MIN && self.bytes < BYTES_MIN {
            return Self::default();
        }
        Self {
            n_records: self.n_records.max(0),
            count: self.count.max(0.0),
            bytes: self.bytes.max(0.0),
            count_variance: self.count_variance.max(0.0),
            bytes_variance: self.bytes_variance.max(0.0),
        }
    }

    /// Whether it is no more than another, but for dust.
    pub(crate) fn is_at_most(self, other: Self) -> bool {
        self.count < other.count + COUNT_MIN && self.bytes < other.bytes + BYTES_MIN
    }

    /// A part of it, 0 to 1.
    pub(crate) fn scaled(self, part: f64) -> Self {
        if part >= 1.0 {
            return self;
        }
        Self {
            n_records: (self.n_records as f64 * part).round() as i64,
            count: self.count * part,
            bytes: self.bytes * part,
            count_variance: self.count_variance * part,
            bytes_variance: self.bytes_variance * part,
        }
    }

    /// This more than `before`, both made of independent samples: variances add up.
    pub fn change(self, gone: Self) -> Self {
        Self {
            n_records: self.n_records + gone.n_records,
            count: self.count - gone.count,
            bytes: self.bytes - gone.bytes,
            count_variance: self.count_variance + gone.count_variance,
            bytes_variance: self.bytes_variance + gone.bytes_variance,
        }
    }
}

impl From<&LiveRow> for Amount {
    fn from(row: &LiveRow) -> Self {
        Self {
            n_records: row.n_records as i64,
            count: row.count,
            bytes: row.bytes,
            count_variance: row.count_variance,
            bytes_variance: row.bytes_variance,
        }
    }
}

impl From<&AllocRow> for Amount {
    fn from(row: &AllocRow) -> Self {
        Self {
            n_records: row.n_records as i64,
            count: row.count,
            bytes: row.bytes,
            count_variance: row.count_variance,
            bytes_variance: row.bytes_variance,
        }
    }
}

impl AddAssign for Amount {
    fn add_assign(&mut self, other: Self) {
        self.n_records = self.n_records.saturating_add(other.n_records);
        self.count += other.count;
        self.bytes += other.bytes;
        self.count_variance += other.count_variance;
        self.bytes_variance += other.bytes_variance;
    }
}

/// Takes the same samples away again, so their variance too.
impl Neg for Amount {
    type Output = Self;

    fn neg(self) -> Self {
        Self {
            n_records: self.n_records.saturating_neg(),
            count: -self.count,
            bytes: -self.bytes,
            count_variance: -self.count_variance,
            bytes_variance: -self.bytes_variance,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dust_is_nothing_and_samples_taken_away_take_their_variance() {
        let sample =
            Amount { n_records: 1, count: 3.3, bytes: 1e6, count_variance: 2.0, bytes_variance: 4.0 };
        let mut sum = sample;
        sum += -sample;
        assert_eq!(sum.settled(), Amount::default());
        assert_eq!(sample.change(sample).bytes_variance, 8.0);
        assert!((sample.bytes_error() - 2.0 * 1.645).abs() < 1e-3);
    }
}
