//! What every answer about a recording says: what was recorded, over which span the figures are, and how far they can
//! be trusted.

use super::FactRow;
use serde::Serialize;

/// The recording, and the window of it that an answer is about.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recorded {
    /// The command that was recorded, or attached to.
    pub command: Option<String>,
    /// `sampled` or `exact`.
    pub mode: String,
    /// `malloc` or `objects`, where the file says.
    pub level: Option<String>,
    /// Whether native frames were recorded.
    pub native: bool,
    /// Mean bytes between samples; `None` in an exact recording.
    pub sample_interval_bytes: Option<u64>,
    /// When it began, seconds since 1970.
    pub started_at: Option<f64>,
    /// Its length, seconds.
    pub seconds: f64,
    /// Whether it was ended: `false` while it is being written, and where its end is lost.
    pub is_complete: bool,
    /// The processes, by their number in the file.
    pub processes: Vec<RecordedProcess>,
    /// The part that the figures are of.
    pub window: RecordedWindow,
    /// What was asked for besides: `thread main`, `module flask`.
    pub filters: Vec<String>,
    /// Filters that nothing in the recording matches.
    pub unmatched: Vec<String>,
    /// The process by which the recording was asked for; the answer is for all that count, not for this one.
    pub asked_process: Option<u32>,
    /// Whether more is being written to its file.
    pub is_being_written: bool,
    /// What recording cost.
    pub cost: RecordingCost,
    /// Spans in which nothing was recorded, because the recording was switched off: begin and end, seconds since its start.
    pub paused: Vec<[f64; 2]>,
    /// What is missing.
    pub doubt: RecordingDoubt,
}

/// One process of a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecordedProcess {
    /// Its number in the file.
    pub number: u32,
    /// Process id.
    pub pid: Option<u32>,
    /// Number of its parent, where that is recorded too.
    pub parent: Option<u32>,
    /// Interpreter version.
    pub python: Option<String>,
    /// Its command line.
    pub command: Option<String>,
    /// `started`, `forked`, `exec`, `attached`.
    pub how: Option<String>,
    /// When its recording began, seconds since the recording's start.
    pub from_seconds: f64,
    /// When it ended; `None`: it did not.
    pub to_seconds: Option<f64>,
    /// How it ended: `exited`, `killed`, `exec`, `detached`, `stopped`.
    pub end: Option<String>,
    /// Its exit status or signal.
    pub end_code: Option<i32>,
    /// Its high-water mark, bytes of live blocks.
    pub peak_bytes: Option<i64>,
    /// When that was, seconds since the recording's start.
    pub peak_seconds: Option<f64>,
    /// Bytes that it inherited from its parent at its fork.
    pub inherited_bytes: i64,
    /// Whether its figures are part of the answer.
    pub counts: bool,
    /// The moment that its live memory is of, seconds; `None` where it is no more.
    pub live_at_seconds: Option<f64>,
}

/// The part of a recording that figures are of.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecordedWindow {
    /// Begin, seconds since the recording's start; growth and rates count from here.
    pub from_seconds: f64,
    /// End, seconds since the recording's start.
    pub to_seconds: f64,
    /// What live memory is of: `end`, `moment` (one that was asked for), `before exit`, `peak`, `fullest border` (of the window's
    /// slices, where the peak lies outside), `over time`.
    pub live: String,
}

/// What recording cost the processes, as measured by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecordingCost {
    /// Time in hooks, seconds, estimated from a sample of them.
    pub hook_seconds: Option<f64>,
    /// The same as part of the processes' lifetime, 0 to 1.
    pub hook_share: Option<f64>,
    /// Memory that the agents took in the processes, bytes.
    pub memory_bytes: Option<u64>,
    /// Bytes that went through the rings.
    pub ring_bytes: Option<u64>,
    /// Size of the file, bytes.
    pub file_bytes: Option<u64>,
    /// Events recorded.
    pub n_events: Option<u64>,
}

/// What the figures do not hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecordingDoubt {
    /// Events dropped because a ring was full.
    pub lost_events: u64,
    /// Frees dropped: blocks that look alive and are not.
    pub lost_frees: u64,
    /// Frees that were noticed only when their address was allocated again.
    pub missed_frees: u64,
    /// Allocations inside the recorder's own work, passed through unrecorded.
    pub reentered: u64,
    /// Records that the figures stand on.
    pub n_records: u64,
    /// Whether figures are estimates with an error.
    pub is_estimated: bool,
    /// Whether a high-water mark in the answer is that of an estimate: the highest of estimates reads high, by more than
    /// their errors.
    pub peak_reads_high: bool,
    /// Faults of the agent, and what was lost from the file.
    pub notes: Vec<String>,
}

/// Estimated blocks. Errors are half the width of the 90 % interval, 0 in an exact recording.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Bytes.
    pub bytes: i64,
    /// ± bytes.
    pub bytes_error: i64,
    /// Blocks.
    pub count: i64,
    /// ± blocks.
    pub count_error: i64,
    /// Records that it stands on.
    pub n_records: i64,
}

/// A place in a program.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct PlaceRow {
    /// `python`, `native`, `thread`, `tag`, `cut`, `unknown`.
    pub kind: String,
    /// Qualified name; of a thread or tag its name, of a cut why.
    pub function: Option<String>,
    /// Full name of the file.
    pub file: Option<String>,
    /// Line (of a function where it begins); of a thread its id.
    pub line: Option<u32>,
    /// The file as users know it: `flask/app.py`.
    #[serde(skip)]
    pub short_file: String,
}

/// `info` of a recording.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecordingInfo {
    /// The recording.
    pub recording: Recorded,
    /// Texts in the file.
    pub n_texts: u64,
    /// Frames.
    pub n_frames: u64,
    /// Nodes of the tree of stacks.
    pub n_stack_nodes: u64,
    /// Slices of time.
    pub n_slices: u64,
    /// Facts about the recording.
    pub facts: Vec<FactRow>,
    /// Each process.
    pub tasks: Vec<TaskInfo>,
}

/// What a recording holds of one process.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TaskInfo {
    /// Its number in the file.
    pub number: u32,
    /// Slices with allocations or frees.
    pub n_slices: u64,
    /// Rows in them.
    pub n_rows: u64,
    /// Readings of its memory.
    pub n_readings: u64,
    /// Single events in the file.
    pub n_events: u64,
    /// Facts about it.
    pub facts: Vec<FactRow>,
    /// Facts about its recording.
    pub status: Vec<FactRow>,
}
