//! Values by number, in chunks that stay where they are: a vector that grows would copy them, and touch twice the memory.

use std::ops::{Index, IndexMut};

const SHIFT: u32 = 10;
/// Values of a chunk.
const N: usize = 1 << SHIFT;

/// Values by number from 0.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T>(Vec<Vec<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunks<T> {
    /// Adds a value and gives its number. O(1); the first chunk grows as it fills, since many processes have few values.
    pub(crate) fn push(&mut self, value: T) -> usize {
        if self.0.last().is_none_or(|last| last.len() == N) {
            self.0.push(if self.0.is_empty() { Vec::new() } else { Vec::with_capacity(N) });
        }
        let chunk = self.0.len() - 1;
        let last = &mut self.0[chunk];
        last.push(value);
        (chunk << SHIFT) + last.len() - 1
    }

    /// The value of this number.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at >> SHIFT)?.get(at & (N - 1))
    }

    /// All values, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    /// All values, by number.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.iter_mut().flatten()
    }

    /// Bytes of memory that they take.
    pub(crate) fn heap_bytes(&self) -> usize {
        self.0.iter().map(|chunk| chunk.capacity() * size_of::<T>()).sum()
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.0[at >> SHIFT][at & (N - 1)]
    }
}

impl<T> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at >> SHIFT][at & (N - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_keep_their_number_and_their_place() {
        let mut chunks = Chunks::default();
        let n = 3 * N + 7;
        assert!((0..n).all(|value| chunks.push(value) == value));
        let place: *const usize = &chunks[N + 1];
        (0..N).for_each(|value| assert_eq!(chunks.push(n + value), n + value));
        assert!(std::ptr::eq(place, &chunks[N + 1]));
        chunks[2 * N] = 5;
        assert_eq!((chunks.get(2 * N), chunks.get(n + N)), (Some(&5), None));
        chunks.iter_mut().for_each(|value| *value += 1);
        assert_eq!((chunks.iter().count(), chunks.iter().next()), (n + N, Some(&1)));
        let mut copy = chunks.clone();
        assert_eq!((copy.push(0), copy[2 * N]), (n + N, 6));
    }
}
