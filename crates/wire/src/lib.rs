//! The capture format: what a chunk holds, and how one chunk becomes bytes and back.
//!
//! The only place that knows bytes; `docs/capture-format.md` is its specification. Framing, checksums and
//! compression of chunks are `capture`'s. Decoders never trust a length, never panic, never allocate more than
//! a small multiple of what they were given.
#![no_std]

extern crate alloc;

mod bytes;
mod codec;
mod columns;
mod distinct;
mod edges;
mod enums;
mod estimates;
mod events;
mod facts;
mod frame;
mod malformed;
mod model;
mod nodes;
mod recording;
mod recording_codec;
mod recording_rows;
pub mod ring;
mod rows;

pub use codec::{decode, decode_nodes_into, encode, kind, kind_of, name};
pub use frame::{
    Checksum, ChunkHeader, FORMAT_VERSION, FileHeader, MAGIC, MAX_RAW_BYTES, MIN_RECORDING_READER,
    MIN_SNAPSHOT_READER, SYNC,
};
pub use malformed::Malformed;
pub use model::{
    Chunk, Edge, EdgeStrength, Fact, FactValue, Label, LabelKind, MoreEdges, NO_NODE, NO_STRING, NodeChunk,
    NodeFlags, NodeName, ShapeRow, Tail, TypeKind, TypeRow,
};
pub use nodes::{NodeRow, PackedNodes};
pub use recording::{
    AllocRow, EventRow, FrameKind, FrameRow, FreeRow, Inherited, LiveRow, Peak, Reading, RecordingChunk,
    SizesRow, Slice, StackRow, TaskEnd, allocator,
};
pub use recording_codec::decode_events_into;
