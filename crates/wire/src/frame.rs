//! The headers around chunks: of the file and of each chunk. The checksum itself is the caller's function, so that
//! this crate depends on nothing.

/// First bytes of every capture.
pub const MAGIC: [u8; 8] = *b"HEAPRAY\0";

/// Version of the format that this crate writes.
pub const FORMAT_VERSION: u16 = 2;

/// Oldest reader that understands the snapshots that this crate writes: they are as in version 1.
pub const MIN_SNAPSHOT_READER: u16 = 1;

/// Oldest reader that understands the recordings that this crate writes.
pub const MIN_RECORDING_READER: u16 = 2;

/// First bytes of every chunk, to find the next one after damage.
pub const SYNC: [u8; 4] = [0xf7, b'h', b'r', 0xc9];

/// Largest chunk, uncompressed, in bytes.
pub const MAX_RAW_BYTES: usize = 32 << 20;

/// The checksum of the format: CRC-32 as in zlib (polynomial 0xEDB88320, reflected).
pub type Checksum = fn(&[u8]) -> u32;

/// Header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileHeader {
    /// Version that the writer spoke.
    pub version: u16,
    /// Oldest reader that can read the file.
    pub min_reader: u16,
}

impl FileHeader {
    /// Bytes of a file header.
    pub const BYTES: usize = 16;

    /// The header as stored.
    pub fn to_bytes(self, checksum: Checksum) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&self.version.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.min_reader.to_le_bytes());
        let sum = checksum(&bytes[..12]);
        bytes[12..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header in `bytes`, whose magic the caller has seen; `None` where its checksum is wrong.
    pub fn from_bytes(bytes: &[u8; Self::BYTES], checksum: Checksum) -> Option<Self> {
        let header =
            Self { version: u16::from(bytes[8]) | u16::from(bytes[9]) << 8, min_reader: u16_at(bytes, 10) };
        (checksum(&bytes[..12]) == u32_at(bytes, 12)).then_some(header)
    }
}

/// Header of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    /// Kind, one of [`crate::kind`].
    pub kind: u8,
    /// Flag bits.
    pub flags: u8,
    /// Which process of the file it belongs to, from 0.
    pub process: u16,
    /// Number of the chunk in the file, from 0.
    pub sequence: u32,
    /// Strings, types, shapes, nodes: id of the first one. Others: 0.
    pub first: u32,
    /// Bytes that follow.
    pub stored_bytes: u32,
    /// Bytes after decompression.
    pub raw_bytes: u32,
    /// Checksum of the bytes that follow.
    pub checksum: u32,
}

impl ChunkHeader {
    /// Bytes of a chunk header.
    pub const BYTES: usize = 32;
    /// Flag: the payload is one zstd frame.
    pub const ZSTD: u8 = 1;

    /// The header as stored.
    pub fn to_bytes(self, checksum: Checksum) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&SYNC);
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.process.to_le_bytes());
        let words = [self.sequence, self.first, self.stored_bytes, self.raw_bytes, self.checksum];
        for (i, word) in words.into_iter().enumerate() {
            bytes[8 + i * 4..12 + i * 4].copy_from_slice(&word.to_le_bytes());
        }
        let sum = checksum(&bytes[..28]);
        bytes[28..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// The header in `bytes`; `None` where this is none, or its checksum is wrong, or it claims too much.
    pub fn from_bytes(bytes: &[u8; Self::BYTES], checksum: Checksum) -> Option<Self> {
        if bytes[..4] != SYNC || checksum(&bytes[..28]) != u32_at(bytes, 28) {
            return None;
        }
        let header = Self {
            kind: bytes[4],
            flags: bytes[5],
            process: u16_at(bytes, 6),
            sequence: u32_at(bytes, 8),
            first: u32_at(bytes, 12),
            stored_bytes: u32_at(bytes, 16),
            raw_bytes: u32_at(bytes, 20),
            checksum: u32_at(bytes, 24),
        };
        let most = MAX_RAW_BYTES as u32;
        (header.raw_bytes <= most && header.stored_bytes <= header.raw_bytes).then_some(header)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from(bytes[at]) | u16::from(bytes[at + 1]) << 8
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in for the CRC that notices every change of a byte.
    fn sum(bytes: &[u8]) -> u32 {
        bytes.iter().fold(7, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
    }

    fn header() -> ChunkHeader {
        ChunkHeader {
            kind: 5,
            flags: 1,
            process: 300,
            sequence: 70_000,
            first: 80_000,
            stored_bytes: 90_000,
            raw_bytes: 100_000,
            checksum: 0xdead_beef,
        }
    }

    #[test]
    fn headers_come_back() {
        let file = FileHeader { version: 0x102, min_reader: 0x304 };
        assert_eq!(FileHeader::from_bytes(&file.to_bytes(sum), sum), Some(file));
        assert_eq!(ChunkHeader::from_bytes(&header().to_bytes(sum), sum), Some(header()));
    }

    #[test]
    fn a_changed_byte_is_no_header() {
        for at in 0..ChunkHeader::BYTES {
            let mut bytes = header().to_bytes(sum);
            bytes[at] ^= 0x10;
            assert_eq!(ChunkHeader::from_bytes(&bytes, sum), None, "byte {at}");
        }
    }

    #[test]
    fn a_chunk_over_the_bound_is_no_header() {
        let large = ChunkHeader { raw_bytes: MAX_RAW_BYTES as u32 + 1, ..header() };
        assert_eq!(ChunkHeader::from_bytes(&large.to_bytes(sum), sum), None);
        let grown = ChunkHeader { stored_bytes: 100_001, ..header() };
        assert_eq!(ChunkHeader::from_bytes(&grown.to_bytes(sum), sum), None);
    }
}
