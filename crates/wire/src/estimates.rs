//! Estimates of rows: blocks and bytes with their variances.
//!
//! Blocks that were sampled alike, `n` of size `s` with chance `p` each, count `c = n/p` and `c·s` bytes, with variances
//! `c²/n − c` and `s²` times that. So of most rows only `c` and `s` are stored in full, of the rest how far it is off.

use alloc::vec;
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

impl From<&AllocRow> for Estimate {
    fn from(row: &AllocRow) -> Self {
        Self {
            n_records: row.n_records,
            count: row.count,
            bytes: row.bytes,
            count_variance: row.count_variance,
            bytes_variance: row.bytes_variance,
        }
    }
}

impl From<&LiveRow> for Estimate {
    fn from(row: &LiveRow) -> Self {
        Self {
            n_records: row.n_records,
            count: row.count,
            bytes: row.bytes,
            count_variance: row.count_variance,
            bytes_variance: row.bytes_variance,
        }
    }
}

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

/// Reads the estimates of `n` rows, which the caller has held against the bytes that are left.
pub(crate) fn read(source: &mut Source<'_>, n: usize) -> Result<Vec<Estimate>, Malformed> {
    let mut rows = vec![Estimate::default(); n];
    rows.iter_mut().try_for_each(|row| source.u64().map(|value| row.n_records = value))?;
    weights(source, &mut rows, |row| row.n_records, |row, weight| row.count = weight)?;
    near(
        source,
        &mut rows,
        |source, row| source.u64().map(|size| row.near_bytes(size)),
        |row, weight| row.bytes = weight,
    )?;
    near(
        source,
        &mut rows,
        |_, row| Ok(row.near_count_variance()),
        |row, weight| row.count_variance = weight,
    )?;
    near(
        source,
        &mut rows,
        |_, row| Ok(row.near_bytes_variance()),
        |row, weight| row.bytes_variance = weight,
    )?;
    Ok(rows)
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
        let back = read(&mut source, rows.len()).expect("it was written");
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
