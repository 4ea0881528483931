//! Estimates of rows: blocks and bytes with their variances.
//!
//! Blocks that were sampled alike, `n` of size `s` with chance `p` each, count `c = n/p` and `c·s` bytes, with variances
//! `c²/n − c` and `s²` times that. So of most rows only `c` and `s` are stored in full, of the rest how far it is off.

use alloc::vec::Vec;

use crate::bytes::{Source, put as put_number};
use crate::columns::{Records, finite, near, put_near, put_weights, weights};
use crate::malformed::Malformed;
use crate::recording::{AllocRow, LiveRow};

/// What a row estimates.
#[derive(Clone, Copy, Default)]
pub(crate) struct Estimate {
    pub(crate) n_records: u64,
    pub(crate) count: f64,
    pub(crate) bytes: f64,
    pub(crate) count_variance: f64,
    pub(crate) bytes_variance: f64,
}

/// A row that estimates something.
pub(crate) trait Estimated {
    fn estimate(&self) -> Estimate;
    fn set_estimate(&mut self, estimate: Estimate);
}

macro_rules! estimated {
    ($($row:ty),*) => {$(
        impl Estimated for $row {
            fn estimate(&self) -> Estimate {
                let Self { n_records, count, bytes, count_variance, bytes_variance, .. } = *self;
                Estimate { n_records, count, bytes, count_variance, bytes_variance }
            }

            fn set_estimate(&mut self, estimate: Estimate) {
                let Estimate { n_records, count, bytes, count_variance, bytes_variance } = estimate;
                (self.n_records, self.count, self.bytes) = (n_records, count, bytes);
                (self.count_variance, self.bytes_variance) = (count_variance, bytes_variance);
            }
        }
    )*};
}

estimated!(AllocRow, LiveRow, Estimate);

impl Records for Estimate {
    fn records(&self) -> u64 {
        self.n_records
    }
}

impl Estimate {
    /// Bytes of a block, the nearest whole number.
    fn size(&self) -> u64 {
        (self.bytes / self.count + 0.5) as u64
    }

    fn near_bytes(&self, size: u64) -> f64 {
        finite(self.count * size as f64)
    }

    fn near_count_variance(&self) -> f64 {
        finite(self.count * self.count / self.n_records as f64 - self.count)
    }

    fn near_bytes_variance(&self) -> f64 {
        let size = self.bytes / self.count;
        finite(size * size * self.count_variance)
    }
}

/// Appends the estimates of all rows.
pub(crate) fn put(rows: &[Estimate], out: &mut Vec<u8>) {
    rows.iter().for_each(|row| put_number(out, row.n_records));
    let records: Vec<u64> = rows.iter().map(|row| row.n_records).collect();
    put_weights(rows.iter().map(|row| row.count), &records, out);
    put_near(rows, |row| row.bytes, |row| (Some(row.size()), row.near_bytes(row.size())), out);
    put_near(rows, |row| row.count_variance, |row| (None, row.near_count_variance()), out);
    put_near(rows, |row| row.bytes_variance, |row| (None, row.near_bytes_variance()), out);
}

/// Reads the estimates of rows.
pub(crate) fn read<T: Estimated>(source: &mut Source<'_>, rows: &mut [T]) -> Result<(), Malformed> {
    let records = |row: &T| row.estimate().n_records;
    rows.iter_mut()
        .try_for_each(|row| source.u64().map(|n| change(row, |estimate| estimate.n_records = n)))?;
    weights(source, rows, records, |row, weight| change(row, |estimate| estimate.count = weight))?;
    near(
        source,
        rows,
        (records, |source, row| source.u64().map(|size| row.estimate().near_bytes(size))),
        |row, weight| change(row, |estimate| estimate.bytes = weight),
    )?;
    near(source, rows, (records, |_, row| Ok(row.estimate().near_count_variance())), |row, weight| {
        change(row, |estimate| estimate.count_variance = weight)
    })?;
    near(source, rows, (records, |_, row| Ok(row.estimate().near_bytes_variance())), |row, weight| {
        change(row, |estimate| estimate.bytes_variance = weight)
    })
}

fn change<T: Estimated>(row: &mut T, change: impl FnOnce(&mut Estimate)) {
    let mut estimate = row.estimate();
    change(&mut estimate);
    row.set_estimate(estimate);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blocks of one size each, sampled at one interval, as a collector adds them up.
    fn sampled(sizes: &[u64]) -> Vec<Estimate> {
        let mut rows = Vec::new();
        for (i, size) in sizes.iter().enumerate() {
            let mut row = Estimate::default();
            for _ in 0..=i % 3 {
                let (size, p) = (*size as f64, *size as f64 / (*size as f64 + 65_536.0));
                row.n_records += 1;
                row.count += 1.0 / p;
                row.bytes += size / p;
                row.count_variance += (1.0 - p) / (p * p);
                row.bytes_variance += size * size * (1.0 - p) / (p * p);
            }
            rows.push(row);
        }
        rows
    }

    fn figures(row: &Estimate) -> [u64; 5] {
        let weights = [row.count, row.bytes, row.count_variance, row.bytes_variance].map(f64::to_bits);
        [row.n_records, weights[0], weights[1], weights[2], weights[3]]
    }

    fn assert_comes_back(rows: &[Estimate]) -> usize {
        let mut out = Vec::new();
        put(rows, &mut out);
        let mut source = Source::new(&out, "estimates");
        let mut back = alloc::vec![Estimate::default(); rows.len()];
        read(&mut source, &mut back).expect("it was written");
        assert_eq!(source.end(), Ok(()));
        assert!(back.iter().map(figures).eq(rows.iter().map(figures)));
        out.len()
    }

    #[test]
    fn blocks_sampled_alike_take_one_number_in_full() {
        let sizes: Vec<u64> = (0..1_000).map(|i| 16 + i * 37).collect();
        let rows = sampled(&sizes);
        let n_bytes = assert_comes_back(&rows);
        assert!(n_bytes < rows.len() * 18, "{n_bytes}");
    }

    #[test]
    fn rows_of_many_sizes_and_odd_ones_come_back() {
        let mixed: Vec<Estimate> = sampled(&[16, 400, 90_000, 0, 1])
            .chunks(2)
            .map(|rows| {
                let sum = |of: fn(&Estimate) -> f64| rows.iter().map(of).sum();
                Estimate {
                    n_records: 2,
                    count: sum(|row| row.count),
                    bytes: sum(|row| row.bytes),
                    count_variance: sum(|row| row.count_variance),
                    bytes_variance: sum(|row| row.bytes_variance),
                }
            })
            .map(|row| Estimate { bytes: finite(row.bytes), ..row })
            .collect();
        let finite_rows: Vec<Estimate> = mixed
            .into_iter()
            .map(|row| Estimate {
                count: finite(row.count),
                count_variance: finite(row.count_variance),
                bytes_variance: finite(row.bytes_variance),
                ..row
            })
            .collect();
        assert_comes_back(&finite_rows);
        assert_comes_back(&[Estimate { bytes: 0.5, ..Estimate::default() }]);
        assert_comes_back(&[Estimate {
            count: 0.5,
            bytes: -1e300,
            bytes_variance: 1e-300,
            ..Estimate::default()
        }]);
        assert_comes_back(&[]);
    }
}
