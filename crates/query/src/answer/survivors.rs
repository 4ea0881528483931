//! `leaks` over a recording: born in the window and alive at its end; `temporary`: freed soon after; `diff`; `watch`.

use super::{Estimate, PlaceRow, Recorded};
use serde::Serialize;

/// What survived, the most bytes first, and which of it is a leak.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SurvivorsAnswer {
    /// The recording.
    pub recording: Recorded,
    /// `line`, `function`, `file`, `stack`.
    pub by: String,
    /// All that was born in the window and is alive at its end.
    pub survivors: Estimate,
    /// All that was allocated in the window.
    pub allocated: Estimate,
    /// Growth of all live memory in the window.
    pub growth: Estimate,
    /// Places that grew in every part of the window: what to look at first.
    pub n_leaks: u64,
    /// Whether the window is long enough to tell a leak from a warm-up.
    pub is_decided: bool,
    /// The places.
    pub rows: Vec<SurvivorRow>,
    /// All places there are.
    pub n_rows: u64,
}

/// One place whose blocks survived.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SurvivorRow {
    /// The place; of a stack its innermost.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// The stack that most of it was allocated under, the outermost first.
    pub stack: Vec<PlaceRow>,
    /// Born in the window and alive at its end.
    pub survivors: Estimate,
    /// Part of all survivors, 0 to 1.
    pub share: f64,
    /// Part of what was allocated here in the window that survived, 0 to 1.
    pub kept: f64,
    /// Alive at the end more than at the begin: survivors less what died meanwhile.
    pub growth: Estimate,
    /// Growth per hour, bytes.
    pub bytes_per_hour: f64,
    /// Live bytes at 13 equally spaced moments of the window.
    pub trend: Vec<i64>,
    /// `steady` (grew in every part), `steps` (in several, and never fell), `slows`, `burst` (in one part), `recent` (only at the end), `replaced` (no more
    /// than before), `unclear`.
    pub pattern: String,
    /// Whether this is called a leak.
    pub is_leak: bool,
}

/// Where blocks are allocated to be freed soon after, the most bytes first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TemporaryAnswer {
    /// The recording.
    pub recording: Recorded,
    /// `line`, `function`, `file`, `stack`.
    pub by: String,
    /// All that was freed in the slice of time that it was allocated in.
    pub temporary: Estimate,
    /// Longest slice of the window, seconds: how soon is soon.
    pub slice_seconds: f64,
    /// All that was allocated.
    pub allocated: Estimate,
    /// The places.
    pub rows: Vec<TemporaryRow>,
    /// All places there are.
    pub n_rows: u64,
}

/// One place.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TemporaryRow {
    /// The place; of a stack its innermost.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// Of `by stack`: all of it, the outermost first.
    pub stack: Option<Vec<PlaceRow>>,
    /// Freed in the slice of time that they were allocated in.
    pub temporary: Estimate,
    /// Their bytes per second of the window.
    pub bytes_per_second: f64,
    /// Mean size, bytes.
    pub average_bytes: i64,
    /// Part of the bytes allocated here, 0 to 1.
    pub share: f64,
}

/// What differs between two recordings, the largest difference first.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiffAnswer {
    /// The first recording.
    pub before: Recorded,
    /// The second one.
    pub after: Recorded,
    /// What is compared: `live`, `peak`, `growth`, `temporary`, `allocated`.
    pub what: String,
    /// `line`, `function`, `file`, `stack`.
    pub by: String,
    /// All of the first.
    pub total_before: Estimate,
    /// All of the second.
    pub total_after: Estimate,
    /// All differences.
    pub delta: Estimate,
    /// The places.
    pub rows: Vec<DiffRow>,
    /// All places there are.
    pub n_rows: u64,
}

/// One place in two recordings.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct DiffRow {
    /// The place; of a stack its innermost.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// Of `by stack`: all of it, the outermost first.
    pub stack: Option<Vec<PlaceRow>>,
    /// In the first.
    pub before: Estimate,
    /// In the second.
    pub after: Estimate,
    /// The difference, with the errors of both.
    pub delta: Estimate,
}

/// One tick of `watch`: what `tracemalloc`'s `compare_to` would print.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WatchAnswer {
    /// The recording.
    pub recording: Recorded,
    /// `line`, `file`, `traceback`.
    pub by: String,
    /// Number of the tick, from 0.
    pub tick: u64,
    /// Seconds since the tick before; 0 at the first.
    pub seconds: f64,
    /// All that is alive.
    pub live: Estimate,
    /// More than at the tick before, bytes; at the first tick all.
    pub size_diff: i64,
    /// More than at the tick before, blocks.
    pub count_diff: i64,
    /// The largest differences.
    pub rows: Vec<WatchRow>,
}

/// One place at a tick.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct WatchRow {
    /// The place; of a traceback its innermost.
    #[serde(flatten)]
    pub place: PlaceRow,
    /// Of `traceback`: all of it, the outermost first.
    pub stack: Option<Vec<PlaceRow>>,
    /// Bytes.
    pub size: i64,
    /// ± bytes.
    pub size_error: i64,
    /// More than at the tick before, bytes.
    pub size_diff: i64,
    /// Blocks.
    pub count: i64,
    /// More than at the tick before, blocks.
    pub count_diff: i64,
    /// Mean size, bytes.
    pub average: i64,
}
