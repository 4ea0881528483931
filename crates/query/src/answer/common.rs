//! What every answer says about the process it speaks of and about its own limits.

use serde::Serialize;

/// The process at the moment of its snapshot. What a file does not hold is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Process {
    /// Process id.
    pub pid: Option<i64>,
    /// Interpreter version: `3.12.1`.
    pub python: Option<String>,
    /// Its command line as far as it was stored, else the executable.
    pub command: Option<String>,
    /// Resident set, bytes.
    pub rss_bytes: Option<i64>,
    /// How long the process was stopped for this snapshot, milliseconds.
    pub pause_ms: Option<f64>,
    /// When the snapshot was taken, seconds since 1970.
    pub taken_at: Option<f64>,
}

/// How far an answer can be trusted: what the snapshot saw and what it did not.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Python objects read.
    pub n_objects: u64,
    /// References read between them.
    pub n_references: u64,
    /// Part of all reference counts that found references explain, 0 to 1.
    pub references_explained: Option<f64>,
    /// What was skipped, with counts.
    pub skipped: Vec<Skipped>,
    /// What a damaged or truncated file lost.
    pub lost: Vec<String>,
}

/// Something that the snapshot left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Skipped {
    /// What it was and why.
    pub what: String,
    /// How many.
    pub count: u64,
}
