//! `stats`: totals, sizes, allocators, peaks; `timeline`: the same over time.

use super::{Estimate, Recorded};
use serde::Serialize;

/// Figures of a recording as a whole.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StatsAnswer {
    /// The recording.
    pub recording: Recorded,
    /// Alive at the end of the window.
    pub live: Estimate,
    /// Allocated in the window.
    pub allocated: Estimate,
    /// Among these: freed in the slice of time that they were allocated in.
    pub temporary: Estimate,
    /// Bytes allocated per second of the window.
    pub bytes_per_second: f64,
    /// By allocator, most bytes allocated first.
    pub allocators: Vec<AllocatorRow>,
    /// Blocks by size since the recording began.
    pub sizes: Vec<SizeRow>,
    /// Distinct sites (stack and allocator).
    pub n_sites: u64,
    /// Distinct stacks.
    pub n_stacks: u64,
}

/// One allocator.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AllocatorRow {
    /// Its name.
    pub allocator: String,
    /// Allocated in the window.
    pub allocated: Estimate,
    /// Alive at its end.
    pub live: Estimate,
    /// Part of all bytes allocated, 0 to 1.
    pub share: f64,
}

/// Blocks of `from_bytes` up to, not including, `to_bytes`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct SizeRow {
    /// Smallest size.
    pub from_bytes: u64,
    /// First size that is larger.
    pub to_bytes: u64,
    /// Blocks.
    pub count: i64,
    /// Part of all blocks, 0 to 1.
    pub share: f64,
}

/// Memory over time.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TimelineAnswer {
    /// The recording.
    pub recording: Recorded,
    /// Highest resident memory of the processes together, bytes, and when, seconds.
    pub rss_peak: Option<(i64, f64)>,
    /// Most live bytes, and when, seconds.
    pub live_peak: Option<(i64, f64)>,
    /// Highest rate of allocation, bytes per second, and when, seconds.
    pub rate_peak: Option<(f64, f64)>,
    /// The steps.
    pub points: Vec<TimelinePoint>,
}

/// One step in time; states are those at its end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct TimelinePoint {
    /// Begin, seconds since the recording's start.
    pub from_seconds: f64,
    /// End, seconds since the recording's start.
    pub to_seconds: f64,
    /// Resident bytes of the processes together.
    pub rss_bytes: Option<i64>,
    /// The most within the step.
    pub rss_max_bytes: Option<i64>,
    /// Live bytes.
    pub live_bytes: i64,
    /// The most within the step: at the ends of its slices, or at a high-water mark in it.
    pub live_max_bytes: i64,
    /// When that was, seconds since the recording's start.
    pub live_max_seconds: f64,
    /// Bytes allocated in the step, per second.
    pub bytes_per_second: f64,
    /// Blocks allocated in the step, per second.
    pub count_per_second: f64,
    /// Bytes freed in the step, per second.
    pub freed_bytes_per_second: f64,
    /// Bytes charged to the control group.
    pub cgroup_bytes: Option<i64>,
    /// Limit of the control group.
    pub cgroup_limit_bytes: Option<i64>,
    /// Processes.
    pub n_processes: u32,
}
