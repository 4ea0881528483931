//! The capture format: what a chunk holds, and how one chunk becomes bytes and back.
//!
//! The only place that knows bytes; `docs/capture-format.md` is its specification. Framing, checksums and
//! compression of chunks are `capture`'s. Decoders never trust a length, never panic, never allocate more than
//! a small multiple of what they were given.
#![no_std]

extern crate alloc;

mod model;

pub use model::{
    Chunk, Edge, EdgeStrength, Fact, FactValue, Label, LabelKind, NO_NODE, NO_STRING, NodeChunk, NodeFlags,
    NodeName, ShapeRow, Tail, TypeKind, TypeRow,
};
