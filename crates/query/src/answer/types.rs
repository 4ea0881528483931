//! `types`: how many objects of each type, and their bytes.

use super::{Coverage, Process};
use serde::Serialize;

/// The types of one process, biggest first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TypesAnswer {
    /// The process.
    pub process: Process,
    /// One row per type, at most as many as asked for.
    pub types: Vec<TypeLine>,
    /// Number of types in the whole snapshot.
    pub n_types: u64,
    /// Objects of all types.
    pub n_objects: u64,
    /// `sys.getsizeof` of all objects, bytes.
    pub shallow_bytes: u64,
    /// Blocks of all objects, bytes.
    pub block_bytes: u64,
    /// What the snapshot saw.
    pub coverage: Coverage,
}

/// One type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TypeLine {
    /// Module-qualified name.
    pub name: String,
    /// Its instances (exactly this type, no subclasses).
    pub count: u64,
    /// Those that the collector does not track: invisible to `gc.get_objects`.
    pub n_untracked: u64,
    /// `sys.getsizeof`, summed, bytes.
    pub shallow_bytes: u64,
    /// Their blocks with out-of-line memory as the allocator rounds them, bytes.
    pub block_bytes: u64,
    /// What would be freed if all instances went away, bytes.
    pub retained_bytes: u64,
}
