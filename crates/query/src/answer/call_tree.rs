//! `tree`: who called whom until memory was allocated.

use super::{Estimate, PlaceRow, Recorded};
use serde::Serialize;

/// A tree of places with their bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TreeAnswer {
    /// The recording.
    pub recording: Recorded,
    /// What is counted: `live`, `peak`, `growth`, `temporary`, `allocated`.
    pub what: String,
    /// All of it.
    pub total: Estimate,
    /// Part of that without any stack.
    pub unknown: Estimate,
    /// Of growth: what stacks lost that have less than before, what has none included; they are not in the tree.
    pub shrunk_bytes: i64,
    /// The places, callers before what they called, the largest first.
    pub rows: Vec<TreeRow>,
}

/// One place in the tree.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TreeRow {
    /// The place.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// Position of its caller among the rows.
    pub parent: Option<u32>,
    /// Callers above it.
    pub depth: u32,
    /// It and all that it called.
    pub total: Estimate,
    /// Itself alone, bytes.
    pub own_bytes: i64,
    /// `total` as part of all, 0 to 1.
    pub share: f64,
    /// Called places that are too small to be listed.
    pub n_hidden: u64,
    /// Their bytes.
    pub hidden_bytes: i64,
}
