//! `cycles`: garbage that waits, garbage that cannot go, and cycles that are held.

use super::{Coverage, Process, TypeShare};
use serde::Serialize;

/// Cycles of one process, most bytes first in every list.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CyclesAnswer {
    /// The process.
    pub process: Process,
    /// Objects that no root reaches: those in cycles and what hangs from them.
    pub n_garbage: u64,
    /// Their blocks, bytes.
    pub garbage_bytes: u64,
    /// Why they still wait: `the collector is disabled`, … `None` where there are none.
    pub waits_because: Option<String>,
    /// Unreachable cycles that the collector will free.
    pub garbage: Vec<CycleRow>,
    /// Unreachable cycles that it never frees.
    pub uncollectable: Vec<CycleRow>,
    /// Cycles that something outside holds.
    pub retained: Vec<CycleRow>,
    /// What the snapshot saw.
    pub coverage: Coverage,
}

/// Cycles with the same types.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct CycleRow {
    /// Number of such cycles (strongly connected components).
    pub n_cycles: u64,
    /// Objects in them.
    pub n_objects: u64,
    /// Blocks of the objects in them, bytes.
    pub block_bytes: u64,
    /// Bytes that go when they go, with what only they hold.
    pub frees_bytes: u64,
    /// Types in one cycle, commonest first.
    pub types: Vec<TypeShare>,
    /// One way round: `Node.parent.children[0]`.
    pub around: String,
    /// Retained ones: the trail to where the largest is entered.
    pub entry: Option<String>,
    /// Objects with a finalizer.
    pub n_finalizers: u64,
    /// Objects that the collector cannot see through.
    pub n_untraversed: u64,
    /// Objects in the permanent generation.
    pub n_frozen: u64,
    /// An object of the largest, to ask `why` about.
    pub object: String,
}
