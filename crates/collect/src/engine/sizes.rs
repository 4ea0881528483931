//! How large allocations are, by allocator: blocks by the power of two below their size.

use heapray_wire::SizesRow;

use super::process::N_ALLOCATORS;
use super::weight::Sum;

#[derive(Clone, Copy, Debug)]
struct Counts {
    buckets: [f64; SizesRow::N_BUCKETS],
    bytes: f64,
}

/// Histograms of a process.
#[derive(Clone, Debug)]
pub(crate) struct Sizes([Counts; N_ALLOCATORS]);

impl Sizes {
    pub(crate) fn new() -> Self {
        Self([Counts { buckets: [0.0; SizesRow::N_BUCKETS], bytes: 0.0 }; N_ALLOCATORS])
    }

    /// Counts one allocation of `size`.
    #[inline]
    pub(crate) fn add_one(&mut self, allocator: u8, size: u64) {
        let counts = &mut self.0[usize::from(allocator) % N_ALLOCATORS];
        counts.buckets[bucket(size)] += 1.0;
        counts.bytes += size as f64;
    }

    /// Counts what one record of an allocation of `size` stands for.
    pub(crate) fn add(&mut self, allocator: u8, size: u64, weight: &Sum) {
        let counts = &mut self.0[usize::from(allocator) % N_ALLOCATORS];
        counts.buckets[bucket(size)] += weight.count;
        counts.bytes += weight.bytes;
    }

    /// Counts temporaries, of which only the sum is known: as if all were of the same size.
    pub(crate) fn add_temporary(&mut self, allocator: u8, count: u64, bytes: u64) {
        let weight = Sum { count: count as f64, bytes: bytes as f64, ..Sum::default() };
        self.add(allocator, bytes / count.max(1), &weight);
    }

    /// One row for each allocator that was seen.
    pub(crate) fn rows(&self) -> Vec<SizesRow> {
        let row = |(allocator, counts): (usize, &Counts)| SizesRow {
            allocator: allocator as u8,
            buckets: counts.buckets.to_vec(),
            count: counts.buckets.iter().sum(),
            bytes: counts.bytes,
        };
        self.0.iter().enumerate().map(row).filter(|row| row.count > 0.0).collect()
    }
}

#[inline]
fn bucket(size: u64) -> usize {
    (63 - (size | 1).leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_the_sizes_of_its_power_of_two() {
        let sizes = [0, 1, 2, 3, 4, 511, 512, 1 << 40, u64::MAX];
        assert_eq!(sizes.map(bucket), [0, 0, 1, 1, 2, 8, 9, 40, 63]);
    }
}
