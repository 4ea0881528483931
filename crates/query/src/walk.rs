//! How far a question goes.

/// Limits of a search and of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Trails or references to list.
    pub limit: usize,
    /// Longest trail, in references.
    pub max_depth: u32,
    /// Neighbours of one object to show before the rest is folded.
    pub too_many: usize,
}

impl Walk {
    /// All three limits; a zero becomes one.
    pub fn new(limit: usize, max_depth: u32, too_many: u32) -> Self {
        Self { limit: limit.max(1), max_depth: max_depth.max(1), too_many: too_many.max(1) as usize }
    }
}
