//! One loaded chunk: up to 1 MiB of the target's memory, and which of its bytes are really there.

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
    Owned(Box<[u8]>),
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
            Self::Owned(bytes) => bytes.len() as u64,
            Self::Zeros(_) => 0,
        }
    }
}

/// A chunk, loaded. Offsets are from the chunk's start.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// Bytes from `start` on.
    pub(crate) bytes: Bytes,
    /// Offset of the first readable byte.
    pub(crate) start: u32,
    /// One past the end of the first readable stretch.
    pub(crate) end: u32,
    /// Further readable stretches, ascending and apart.
    pub(crate) more: Box<[(u32, u32)]>,
}

impl Chunk {
    /// A chunk with nothing readable.
    pub(crate) fn empty() -> Self {
        Self { bytes: Bytes::Zeros(0), start: 0, end: 0, more: Box::default() }
    }

    /// A chunk of these readable stretches (ascending, apart); `bytes` goes from the first one's start to the last one's end.
    pub(crate) fn new(bytes: Bytes, stretches: &[(u32, u32)]) -> Self {
        match stretches {
            [] => Self::empty(),
            [(start, end), more @ ..] => Self { bytes, start: *start, end: *end, more: more.into() },
        }
    }

    /// The readable bytes from `offset` to the end of their stretch.
    #[inline]
    pub(crate) fn tail(&self, offset: u32) -> &[u8] {
        if offset >= self.start && offset < self.end {
            return &self.bytes.as_slice()[(offset - self.start) as usize..(self.end - self.start) as usize];
        }
        self.tail_of_more(offset)
    }

    #[cold]
    fn tail_of_more(&self, offset: u32) -> &[u8] {
        let after = self.more.partition_point(|(start, _)| *start <= offset);
        match after.checked_sub(1).map(|n| self.more[n]) {
            Some((_, end)) if offset < end => {
                &self.bytes.as_slice()[(offset - self.start) as usize..(end - self.start) as usize]
            }
            _ => &[],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_stretches_are_handed_out() {
        let chunk = Chunk::new(Bytes::Owned((0..=29).collect()), &[(10, 14), (20, 22), (30, 40)]);
        assert_eq!(chunk.tail(10), [0, 1, 2, 3]);
        assert_eq!(chunk.tail(13), [3]);
        assert_eq!(chunk.tail(21), [11]);
        assert_eq!(chunk.tail(39), [29]);
        for hole in [0, 9, 14, 19, 22, 29, 40, 4_000_000] {
            assert!(chunk.tail(hole).is_empty(), "{hole}");
        }
    }

    #[test]
    fn an_empty_chunk_has_nothing() {
        assert!(Chunk::empty().tail(0).is_empty());
        assert!(Chunk::new(Bytes::Zeros(0), &[]).tail(5).is_empty());
    }

    #[test]
    fn zeros_cost_nothing() {
        let chunk = Chunk::new(Bytes::Zeros(16), &[(0, 16)]);
        assert_eq!((chunk.tail(8), chunk.bytes.cost_bytes()), (&[0; 8][..], 0));
    }
}
