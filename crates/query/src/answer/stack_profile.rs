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
    /// Each stack once, as it is shown.
    pub stacks: Vec<ProfileStack>,
    /// One per thread, stack and allocator, where they were asked for.
    pub sites: Vec<ProfileSite>,
    /// Sum of the stacks' weights.
    pub total: Estimate,
    /// Of growth: what stacks lost that have less than before; their weights are 0.
    pub shrunk_bytes: i64,
}

/// One stack.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileStack {
    /// Places, the outermost first; empty where no stack is known.
    pub places: Vec<u32>,
    /// The sum of its sites' weights, never negative.
    pub weight: Estimate,
    /// Of growth: whether some of its sites shrank, so that its weight is less than what the others grew.
    pub has_shrunk_sites: bool,
}

/// One stack and allocator of one thread.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProfileSite {
    /// Position of its stack.
    pub stack: u32,
    /// The thread's name and id, where known.
    pub thread: String,
    /// The allocator.
    pub allocator: String,
    /// The weight asked for; of growth negative where it shrank.
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
