//! `top` and `peak`: where live memory was allocated, and what grows.

use super::{Estimate, PlaceRow, Recorded};
use serde::Serialize;

/// Places, ranked.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TopAnswer {
    /// The recording.
    pub recording: Recorded,
    /// `line`, `function`, `file`, `stack`.
    pub by: String,
    /// `own` or `cumulative`.
    pub charge: String,
    /// `size`, `count`, `rate`, `growth`.
    pub sort: String,
    /// Of peaks: the number of the process whose high-water mark this is.
    pub process: Option<u32>,
    /// All that is alive.
    pub live: Estimate,
    /// What of it native threads allocated, whose stacks hang from where they were started: it is charged to these lines, whoever the
    /// threads work for.
    pub native_threads: Estimate,
    /// What of it lies in address space that was reserved (by allocators inside libraries), as far as it is in use: it is charged to
    /// the lines that had it reserved, whoever uses it.
    pub reserved: Estimate,
    /// All growth in the window.
    pub growth: Estimate,
    /// All that was allocated in the window.
    pub allocated: Estimate,
    /// Bytes allocated per second of the window.
    pub bytes_per_second: f64,
    /// The first places.
    pub rows: Vec<TopRow>,
    /// All places there are.
    pub n_rows: u64,
}

/// One place.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TopRow {
    /// The place; of a stack its innermost.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// Of `by stack`: all of it, the outermost first.
    pub stack: Option<Vec<PlaceRow>>,
    /// Alive at the end of the window.
    pub live: Estimate,
    /// Part of all that is alive, 0 to 1.
    pub share: f64,
    /// Alive at the end more than at the begin.
    pub growth: Estimate,
    /// Allocated in the window, freed or not.
    pub allocated: Estimate,
    /// Bytes allocated per second of the window.
    pub bytes_per_second: f64,
    /// Live bytes at 13 equally spaced moments of the window, its ends included.
    pub trend: Vec<i64>,
}
