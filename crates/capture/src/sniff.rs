//! What a file holds, by its first bytes.

use heapray_wire::{ChunkHeader, FileHeader, MAGIC, kind};

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Snapshots: read with [`crate::SnapshotReader`].
    Snapshot,
    /// A recording of allocations: read with [`crate::RecordingReader`].
    Recording,
    /// No capture, or not enough of one; any reader's error says what it looks like.
    Foreign,
}

/// What the file that begins with `head` holds. 64 bytes are enough for an undamaged file; where the first frame is
/// damaged, the first whole header of a frame in `head` decides.
pub fn sniff(head: &[u8]) -> FileKind {
    let Some(mut rest) = head.strip_prefix(&MAGIC).and_then(|_| head.get(FileHeader::BYTES..)) else {
        return FileKind::Foreign;
    };
    while let Some(bytes) = rest.first_chunk::<{ ChunkHeader::BYTES }>() {
        if let Some(kind) = ChunkHeader::from_bytes(bytes, crc32fast::hash).and_then(|header| of(header.kind))
        {
            return kind;
        }
        rest = &rest[1..];
    }
    FileKind::Snapshot
}

/// What files hold frames of this kind; `None` where both may.
pub(crate) fn of(kind: u8) -> Option<FileKind> {
    match kind {
        kind::PROCESS..=kind::END => Some(FileKind::Snapshot),
        kind::RECORDING..=kind::INHERITED => Some(FileKind::Recording),
        _ => None,
    }
}
