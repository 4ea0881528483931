//! `refs`: what an object refers to.

use super::{Coverage, ObjectRow, Picture, Process};
use serde::Serialize;

/// An object and its references, in their own order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RefsAnswer {
    /// The process.
    pub process: Process,
    /// What was asked for.
    pub subject: String,
    /// The object.
    pub object: ObjectRow,
    /// Its references, at most as many as asked for.
    pub references: Vec<RefRow>,
    /// All its references.
    pub n_references: u64,
    /// What the snapshot saw.
    pub coverage: Coverage,
    /// The neighbourhood to draw; not part of the JSON.
    #[serde(skip)]
    pub picture: Picture,
}

/// One reference, or a run of neighbours with the same kind of name that lead to the same type.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RefRow {
    /// Its name: `[17]`, `.payload`; `[3…99]` for a run.
    pub label: String,
    /// References in the row.
    pub count: u64,
    /// `owned`, `borrowed`, `weak`, `inferred`.
    pub strength: String,
    /// The object it leads to, or the one of the run that retains most.
    pub object: ObjectRow,
    /// Blocks of all its objects, bytes.
    pub block_bytes: u64,
}
