//! `find`: the objects that an expression selects.

use super::{Coverage, Process};
use serde::Serialize;

/// Matching objects, largest retained first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct FindAnswer {
    /// The process.
    pub process: Process,
    /// The expression, as understood.
    pub expression: String,
    /// All that match.
    pub n_matches: u64,
    /// Block bytes of all that match.
    pub block_bytes: u64,
    /// The first of them.
    pub objects: Vec<ObjectRow>,
    /// What the snapshot saw.
    pub coverage: Coverage,
}

/// One object.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ObjectRow {
    /// Address in the process, `0x7f…`: what `why`, `refs` and `chain` take. `#12` for what is no object.
    pub object: String,
    /// Module-qualified type.
    pub type_name: String,
    /// Its own name where it has one: a module, function, class, C holder.
    pub name: Option<String>,
    /// Number of elements, for containers.
    pub length: Option<u64>,
    /// Reference count; `None` for immortal objects and what is no object.
    pub refcount: Option<u32>,
    /// `sys.getsizeof`, bytes.
    pub shallow_bytes: u64,
    /// Its blocks, bytes.
    pub block_bytes: u64,
    /// What would be freed with it, bytes.
    pub retained_bytes: u64,
    /// Where it is, as a Python expression; `None` where nothing reaches it.
    pub trail: Option<String>,
}
