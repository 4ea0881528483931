//! The verdict over several snapshots.

use crate::answer::{LeaksAnswer, Measured};
use crate::{QueryError, Session};
use heapray_capture::SnapshotFile;

/// What counts as a leak.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeaksOptions {
    /// Growth below this is no finding; the default depends on the process.
    pub threshold_bytes_per_hour: Option<u64>,
}

/// Takes snapshots one after the other and judges them together.
#[derive(Debug, Default)]
pub struct Leaks {
    options: LeaksOptions,
    sessions: Vec<Session>,
}

impl Leaks {
    /// No snapshot yet.
    pub fn new(options: LeaksOptions) -> Self {
        Self { options, sessions: Vec::new() }
    }

    /// Adds a snapshot, later than those before.
    pub fn add(&mut self, file: SnapshotFile, process: Option<u32>) -> Result<(), QueryError> {
        self.sessions.push(Session::new(file, process)?);
        Ok(())
    }

    /// Judges.
    pub fn verdict(&self) -> Result<LeaksAnswer, QueryError> {
        let _ = self.options;
        if self.sessions.len() < 2 {
            return Err(QueryError::TooFewSnapshots { got: self.sessions.len() });
        }
        let process = Measured { n_snapshots: self.sessions.len() as u64, ..Measured::default() };
        Ok(LeaksAnswer { process, ..LeaksAnswer::default() })
    }
}
