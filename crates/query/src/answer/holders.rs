//! `holders`: what is large though nothing need leak.

use super::{Coverage, Process, TypeShare};
use serde::Serialize;

/// Module globals, class attributes, closures, caches, thread locals and tasks by what they retain.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HoldersAnswer {
    /// The process.
    pub process: Process,
    /// The largest first.
    pub holders: Vec<HolderRow>,
    /// Blocks of all objects, bytes.
    pub block_bytes: u64,
    /// What the snapshot saw.
    pub coverage: Coverage,
}

/// One holder.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct HolderRow {
    /// As one writes it in Python: `data_pipeline.buffer`.
    pub holder: String,
    /// `module global`, `class attribute`, `closure`, `cache`, `thread local`, `task`, `local`, `native`, …
    pub kind: String,
    /// Type of the object it names.
    pub type_name: String,
    /// Number of elements, for containers.
    pub length: Option<u64>,
    /// Types of its elements, commonest first.
    pub elements: Vec<TypeShare>,
    /// Bytes that go away with it.
    pub retained_bytes: u64,
    /// Part of all blocks, 0 to 1.
    pub share: f64,
    /// Where most of it lies further down, and how much.
    pub accumulates: Option<Accumulation>,
}

/// The place further down where most of a holder's bytes lie.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Accumulation {
    /// As one writes it in Python.
    pub place: String,
    /// Bytes that go away with it.
    pub retained_bytes: u64,
}
