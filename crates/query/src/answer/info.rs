//! `info`: what a snapshot file holds and how good it is.

use super::{Coverage, Process};
use serde::Serialize;

/// Everything known about the file and its processes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct InfoAnswer {
    /// One per process, parents first.
    pub processes: Vec<ProcessInfo>,
    /// What a damaged or truncated file lost.
    pub lost: Vec<String>,
}

/// One process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ProcessInfo {
    /// The process.
    pub process: Process,
    /// Types seen.
    pub n_types: u64,
    /// Block bytes of all objects.
    pub block_bytes: u64,
    /// All recorded facts, by name.
    pub facts: Vec<FactRow>,
    /// What the snapshot saw.
    pub coverage: Coverage,
}

/// One recorded fact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FactRow {
    /// Dotted name.
    pub name: String,
    /// Its value: a number or a text.
    pub value: serde_json::Value,
}
