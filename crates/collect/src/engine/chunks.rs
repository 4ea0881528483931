//! Values by number, in chunks that stay where they are: a vector that grows would copy them, and touch twice the memory.
//!
//! A fork shares all chunks; which side changes a value first copies its chunk.

use std::ops::{Index, IndexMut};
use std::sync::Arc;

const SHIFT: u32 = 8;
/// Values of a chunk.
const N: usize = 1 << SHIFT;

#[derive(Debug)]
enum Chunk<T> {
    Own(Vec<T>),
    Shared(Arc<Vec<T>>),
}

/// Values by number from 0.
#[derive(Debug)]
pub(crate) struct Chunks<T>(Vec<Chunk<T>>);

impl<T> Default for Chunks<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Chunk<T> {
    #[inline]
    fn values(&self) -> &Vec<T> {
        match self {
            Self::Own(values) => values,
            Self::Shared(values) => values,
        }
    }

    fn share(&mut self) -> Self {
        let values = match std::mem::replace(self, Self::Own(Vec::new())) {
            Self::Own(values) => Arc::new(values),
            Self::Shared(values) => values,
        };
        *self = Self::Shared(Arc::clone(&values));
        Self::Shared(values)
    }
}

impl<T: Clone> Chunk<T> {
    #[inline]
    fn own(&mut self) -> &mut Vec<T> {
        if let Self::Shared(_) = self {
            self.unshare();
        }
        match self {
            Self::Own(values) => values,
            Self::Shared(_) => unreachable!("it was made our own just now"),
        }
    }

    /// A copy, or the values themselves where nobody else holds them any more.
    #[cold]
    fn unshare(&mut self) {
        if let Self::Shared(values) = std::mem::replace(self, Self::Own(Vec::new())) {
            let mut own = Vec::with_capacity(N);
            match Arc::try_unwrap(values) {
                Ok(values) => own = values,
                Err(values) => own.extend_from_slice(&values),
            }
            *self = Self::Own(own);
        }
    }
}

impl<T: Clone> Chunks<T> {
    /// Adds a value and gives its number. O(1); the first chunk grows as it fills, since many processes have few values.
    pub(crate) fn push(&mut self, value: T) -> usize {
        if self.0.last().is_none_or(|last| last.values().len() == N) {
            self.0.push(Chunk::Own(if self.0.is_empty() { Vec::new() } else { Vec::with_capacity(N) }));
        }
        let chunk = self.0.len() - 1;
        let last = self.0[chunk].own();
        last.push(value);
        (chunk << SHIFT) + last.len() - 1
    }

    /// Puts a value at this number; between it and the last one comes `filler`.
    pub(crate) fn put(&mut self, at: usize, value: T, filler: &T) {
        while self.len() <= at {
            self.push(filler.clone());
        }
        self[at] = value;
    }
}

impl<T> Chunks<T> {
    /// Number of values.
    fn len(&self) -> usize {
        self.0.last().map_or(0, |last| ((self.0.len() - 1) << SHIFT) + last.values().len())
    }

    /// The value of this number.
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&T> {
        self.0.get(at >> SHIFT)?.values().get(at & (N - 1))
    }

    /// All values, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flat_map(Chunk::values)
    }

    /// The same values for a forked child. Cost: O(chunks).
    pub(crate) fn fork(&mut self) -> Self {
        Self(self.0.iter_mut().map(Chunk::share).collect())
    }

    /// Bytes of memory that they take; what is shared is shared out evenly.
    pub(crate) fn heap_bytes(&self) -> usize {
        let n_bytes = |chunk: &Chunk<T>| {
            let n_sharers = if let Chunk::Shared(values) = chunk { Arc::strong_count(values) } else { 1 };
            chunk.values().capacity() * size_of::<T>() / n_sharers
        };
        self.0.iter().map(n_bytes).sum()
    }
}

impl<T> Index<usize> for Chunks<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.0[at >> SHIFT].values()[at & (N - 1)]
    }
}

impl<T: Clone> IndexMut<usize> for Chunks<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.0[at >> SHIFT].own()[at & (N - 1)]
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
        chunks.put(n + 2 * N, 6, &7);
        let end = [n + N, n + 2 * N - 1, n + 2 * N].map(|at| chunks[at]);
        assert_eq!((end, chunks.iter().count()), ([7, 7, 6], n + 2 * N + 1));
    }

    #[test]
    fn a_fork_shares_until_one_side_writes() {
        let mut parent = Chunks::default();
        (0..2 * N + 1).for_each(|value| assert_eq!(parent.push(value), value));
        let whole = parent.heap_bytes();
        let mut child = parent.fork();
        assert!(std::ptr::eq(&parent[3], &child[3]));
        assert_eq!((parent.heap_bytes(), child.heap_bytes()), (whole / 2, whole / 2));
        child[3] = 1000;
        parent[N] = 2000;
        assert_eq!((parent.push(1), child.push(2)), (2 * N + 1, 2 * N + 1));
        assert_eq!((parent[3], parent[N], parent[2 * N + 1]), (3, 2000, 1));
        assert_eq!((child[3], child[N], child[2 * N + 1]), (1000, N, 2));
        let place: *const usize = &parent[0];
        drop(child);
        parent[1] = 7;
        assert!(std::ptr::eq(place, &parent[0]), "nobody else holds it: not copied");
    }
}
