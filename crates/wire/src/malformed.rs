//! Why bytes are no chunk.

/// What is wrong with the bytes of one chunk. Whoever reads a file adds where the chunk stood and what is lost by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// The bytes end inside a value, or a count needs more bytes than there are.
    #[error("{what} end early")]
    Short {
        /// The column or row.
        what: &'static str,
    },
    /// A value that the format does not allow.
    #[error("{what} hold the impossible value {value}")]
    Value {
        /// The column or row.
        what: &'static str,
        /// What was found.
        value: u64,
    },
    /// Bytes are left over after the last value.
    #[error("{n_bytes} bytes are left over")]
    Trailing {
        /// How many.
        n_bytes: usize,
    },
    /// A kind of chunk that this version does not know.
    #[error("kind {0} of chunk is unknown")]
    Kind(u8),
}
