//! Stacks with their weights, for flame graphs and exports.

use super::{Estimate, PlaceRow, Recorded};

/// All stacks of a question, in a stable order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StackProfile {
    /// The recording.
    pub recording: Recorded,
    /// What is weighed: `live`, `peak`, `growth`, `temporary`, `allocated`.
    pub what: String,
    /// Places; stacks hold their positions.
    pub places: Vec<PlaceRow>,
    /// One per stack and allocator.
    pub sites: Vec<ProfileSite>,
    /// Sum of the weights.
    pub total: Estimate,
    /// Of growth: what sites lost that have less than before; their weights are 0.
    pub shrunk_bytes: i64,
}

/// One stack and allocator.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileSite {
    /// Places, the outermost first; empty where no stack is known.
    pub stack: Vec<u32>,
    /// The thread's name and id, where known.
    pub thread: String,
    /// The allocator.
    pub allocator: String,
    /// The weight asked for, never negative.
    pub weight: Estimate,
    /// Allocated in the window.
    pub allocated: Estimate,
    /// Alive at its end.
    pub live: Estimate,
    /// Alive at its end more than at its begin.
    pub growth: Estimate,
    /// Freed in the slice of time that they were allocated in.
    pub temporary: Estimate,
}
