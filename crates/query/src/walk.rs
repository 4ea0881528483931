//! How far a question goes.

/// Limits of a search and of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    /// Trails or references to list.
    pub limit: usize,
    /// Longest trail, in references, and depth of the picture; by default trails have any length.
    pub max_depth: Option<u32>,
    /// Neighbours of one object to draw before the rest is folded.
    pub too_many: usize,
}

impl Walk {
    /// All three limits; a zero becomes one.
    pub fn new(limit: usize, max_depth: Option<u32>, too_many: u32) -> Self {
        let max_depth = max_depth.map(|depth| depth.max(1));
        Self { limit: limit.max(1), max_depth, too_many: too_many.max(1) as usize }
    }
}
