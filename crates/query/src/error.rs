//! Why a question has no answer: what failed, on what, why, what to try.

use thiserror::Error;

/// A question that cannot be answered.
#[derive(Debug, Error, PartialEq)]
pub enum QueryError {
    /// The file holds no process.
    #[error("no process in the snapshot; the file ends before its first whole chunk: take it again")]
    Empty,
    /// `--process` names a process that is not in the file.
    #[error("no process {asked} in the snapshot; it holds {present}: name one of these with --process")]
    NoSuchProcess {
        /// The pid asked for.
        asked: u32,
        /// The pids present, as text.
        present: String,
    },
    /// The file holds several processes and none was named.
    #[error("the snapshot holds several processes ({present}): name one with --process PID")]
    WhichProcess {
        /// The pids present, as text.
        present: String,
    },
    /// The recording holds no process.
    #[error("no process in the recording; the file ends before its first whole chunk")]
    EmptyRecording,
    /// `--process` names a process that was not recorded.
    #[error("no process {asked} in the recording; it holds {present}: name one of these with --process")]
    NotRecorded {
        /// The pid asked for.
        asked: u32,
        /// The pids present, as text.
        present: String,
    },
    /// `--from` is not before `--to`.
    #[error(
        "the window is empty: --from must be earlier than --to and than the end, {seconds:.1} s after the begin"
    )]
    EmptyWindow {
        /// Length of the recording.
        seconds: f64,
    },
    /// `--from` and `--to` are nearer to each other than slices are long.
    #[error(
        "no slice ends in the window {from:.1} s to {to:.1} s: figures are kept by slices, here of {slice:.1} s; give a longer \
         window with --from and --to"
    )]
    NoSlice {
        /// Begin of the window, seconds.
        from: f64,
        /// Its end.
        to: f64,
        /// Length of the slice at its begin.
        slice: f64,
    },
    /// An expression that is none.
    #[error("cannot read the expression: {0}")]
    Expression(#[from] heapray_heap::FindError),
    /// No object is called so.
    #[error("no object `{subject}` in the snapshot: {problem}")]
    NoSuchObject {
        /// What was asked for.
        subject: String,
        /// Why, and what to try.
        problem: String,
    },
    /// Fewer snapshots than growth needs.
    #[error("cannot judge growth: {got} snapshot of the process, at least 2 are needed")]
    TooFewSnapshots {
        /// How many there are.
        got: usize,
    },
    /// Snapshots that are not of one process.
    #[error("{problem}")]
    NotComparable {
        /// What differs, and what to do.
        problem: String,
    },
}
