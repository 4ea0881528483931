//! What is wrong with cells that do not make a record.

/// Cells that do not make a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CellError {
    /// The cells end inside a record.
    #[error("a record of the ring is cut: {have} of {need} cells")]
    Cut {
        /// Cells there are.
        have: usize,
        /// Cells it takes.
        need: usize,
    },
    /// A tag, allocator or kind that there is not.
    #[error("cell {a:#018x} {b:#018x} is of no known kind")]
    Unknown {
        /// First word.
        a: u64,
        /// Second word.
        b: u64,
    },
}
