//! One loaded chunk: up to 1 MiB of the target's memory, and which of its bytes are really there.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Size of a chunk, a power of two. Large enough that a remote read's fixed cost (10 µs) vanishes, small enough to evict.
pub(crate) const CHUNK_BYTES: u64 = 1 << CHUNK_SHIFT;
/// Binary logarithm of [`CHUNK_BYTES`].
pub(crate) const CHUNK_SHIFT: u32 = 20;

/// What memory that was never written reads as; shared by all chunks of it.
static ZEROS: [u8; 1 << CHUNK_SHIFT] = [0; 1 << CHUNK_SHIFT];

/// Bytes of a chunk, from its first readable byte on.
#[derive(Debug)]
pub(crate) enum Bytes {
    /// Copied.
    Owned(Vec<u8>),
    /// Never written in the target: so many zeros, which cost nothing.
    Zeros(u32),
}

impl Bytes {
    /// The bytes.
    #[inline]
    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Owned(bytes) => bytes,
            Self::Zeros(len) => &ZEROS[..*len as usize],
        }
    }

    /// What they cost us, in bytes.
    pub(crate) fn cost_bytes(&self) -> u64 {
        match self {
            Self::Owned(bytes) => bytes.capacity() as u64,
            Self::Zeros(_) => 0,
        }
    }
}

/// Buffers of evicted chunks, to be filled again: a fresh one costs a page fault for each 4 KiB, as much as reading does.
#[derive(Debug, Default)]
pub(crate) struct Spares(Mutex<Vec<Vec<u8>>>);

impl Spares {
    /// Kept at most.
    const MAX: usize = 64;

    /// A buffer of `len` bytes, whatever they are.
    pub(crate) fn take(&self, len: usize) -> Vec<u8> {
        let spare = if len == CHUNK_BYTES as usize { self.lock().pop() } else { None };
        let mut buffer = spare.unwrap_or_else(|| vec![0; len]);
        buffer.resize(len, 0);
        buffer
    }

    /// Takes back what a chunk had.
    pub(crate) fn give(&self, chunk: Chunk) {
        let mut spares = self.lock();
        for stretch in std::iter::once(chunk.first).chain(chunk.more) {
            if let Bytes::Owned(buffer) = stretch.bytes
                && buffer.capacity() == CHUNK_BYTES as usize
                && spares.len() < Self::MAX
            {
                spares.push(buffer);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Consecutive readable bytes of a chunk.
#[derive(Debug)]
pub(crate) struct Stretch {
    /// Offset of the first byte from the chunk's start.
    pub(crate) start: u32,
    /// The bytes; the stretch ends with them.
    pub(crate) bytes: Bytes,
}

impl Stretch {
    /// The bytes from `offset` on; empty where it is outside.
    #[inline]
    fn tail(&self, offset: u32) -> &[u8] {
        self.bytes.as_slice().get(offset.wrapping_sub(self.start) as usize..).unwrap_or_default()
    }
}

/// A chunk, loaded.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Its first readable stretch, nearly always the only one.
    first: Stretch,
    /// Further ones, ascending and apart.
    more: Box<[Stretch]>,
}

impl Chunk {
    /// A chunk of these readable stretches, ascending and apart.
    pub(crate) fn new(stretches: impl IntoIterator<Item = Stretch>) -> Self {
        let mut stretches = stretches.into_iter();
        let first = stretches.next().unwrap_or(Stretch { start: 0, bytes: Bytes::Zeros(0) });
        Self { first, more: stretches.collect() }
    }

    /// The readable bytes from `offset` to the end of their stretch.
    #[inline]
    pub(crate) fn tail(&self, offset: u32) -> &[u8] {
        let tail = self.first.tail(offset);
        if tail.is_empty() { self.tail_of_more(offset) } else { tail }
    }

    #[cold]
    #[inline(never)]
    fn tail_of_more(&self, offset: u32) -> &[u8] {
        let after = self.more.partition_point(|stretch| stretch.start <= offset);
        after.checked_sub(1).map_or(&[], |n| self.more[n].tail(offset))
    }

    /// What it costs us, in bytes.
    pub(crate) fn cost_bytes(&self) -> u64 {
        self.first.bytes.cost_bytes()
            + self.more.iter().map(|stretch| stretch.bytes.cost_bytes()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stretch(start: u32, bytes: &[u8]) -> Stretch {
        Stretch { start, bytes: Bytes::Owned(bytes.to_vec()) }
    }

    #[test]
    fn only_readable_stretches_are_handed_out() {
        let chunk = Chunk::new([stretch(10, &[0, 1, 2, 3]), stretch(20, &[7, 8]), stretch(30, &[9; 10])]);
        assert_eq!(chunk.tail(10), [0, 1, 2, 3]);
        assert_eq!(chunk.tail(13), [3]);
        assert_eq!(chunk.tail(21), [8]);
        assert_eq!(chunk.tail(39), [9]);
        for hole in [0, 9, 14, 19, 22, 29, 40, 4_000_000, u32::MAX] {
            assert!(chunk.tail(hole).is_empty(), "{hole}");
        }
        assert_eq!(chunk.cost_bytes(), 16);
    }

    #[test]
    fn a_spare_buffer_is_whole_again() {
        let spares = Spares::default();
        let mut buffer = spares.take(CHUNK_BYTES as usize);
        let at = buffer.as_ptr();
        buffer.truncate(100);
        spares.give(Chunk::new([Stretch { start: 0, bytes: Bytes::Owned(buffer) }, stretch(200, &[1; 7])]));
        assert_eq!(spares.take(7).len(), 7);
        let again = spares.take(CHUNK_BYTES as usize);
        assert_eq!((again.as_ptr(), again.len() as u64), (at, CHUNK_BYTES));
    }

    #[test]
    fn an_empty_chunk_has_nothing() {
        assert!(Chunk::new([]).tail(0).is_empty());
    }

    #[test]
    fn zeros_cost_nothing() {
        let chunk = Chunk::new([Stretch { start: 0, bytes: Bytes::Zeros(16) }]);
        assert_eq!((chunk.tail(8), chunk.cost_bytes()), (&[0; 8][..], 0));
    }
}
