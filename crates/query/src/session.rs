//! One process's snapshot, opened for questions.

use crate::answer::{
    ChainAnswer, Coverage, CyclesAnswer, FindAnswer, HoldersAnswer, Process, RefsAnswer, TypesAnswer,
    WhyAnswer,
};
use crate::{QueryError, Subject, Walk, facts};
use heapray_capture::{HeapTables, SnapshotFile};
use heapray_heap::{Find, Heap};

/// A snapshot with all that was computed of it.
#[derive(Debug)]
pub struct Session {
    pub(crate) heap: Heap,
    pub(crate) process: Process,
    pub(crate) coverage: Coverage,
}

impl Session {
    /// Opens one process of a file: the only one, or the one named.
    pub fn new(file: SnapshotFile, process: Option<u32>) -> Result<Self, QueryError> {
        let SnapshotFile { mut processes, losses } = file;
        let at = pick(&processes, process)?;
        let tables = processes.swap_remove(at);
        let (process, coverage) = (facts::process(&tables), facts::coverage(&tables, &losses));
        Ok(Self { heap: Heap::load(tables), process, coverage })
    }

    /// Objects by type.
    pub fn types(&self, _limit: usize) -> TypesAnswer {
        TypesAnswer {
            process: self.process.clone(),
            coverage: self.coverage.clone(),
            n_objects: u64::from(self.heap.n_nodes()),
            ..TypesAnswer::default()
        }
    }

    /// The largest holders.
    pub fn holders(&self, _limit: usize) -> HoldersAnswer {
        HoldersAnswer::default()
    }

    /// Objects that an expression selects.
    pub fn find(&self, _text: &str, _query: &Find, _limit: usize) -> FindAnswer {
        FindAnswer::default()
    }

    /// What keeps the subject alive.
    pub fn why(&self, _subject: &Subject, _walk: Walk) -> Result<WhyAnswer, QueryError> {
        Ok(WhyAnswer::default())
    }

    /// What the subject refers to.
    pub fn refs(&self, _subject: &Subject, _walk: Walk) -> Result<RefsAnswer, QueryError> {
        Ok(RefsAnswer::default())
    }

    /// The shortest way from a module to the subject.
    pub fn chain(&self, _subject: &Subject, _walk: Walk) -> Result<ChainAnswer, QueryError> {
        Ok(ChainAnswer::default())
    }

    /// Cycles.
    pub fn cycles(&self, _limit: usize) -> CyclesAnswer {
        CyclesAnswer::default()
    }
}

/// Which process of a file is meant.
fn pick(processes: &[HeapTables], asked: Option<u32>) -> Result<usize, QueryError> {
    let pids: Vec<String> = processes
        .iter()
        .map(|tables| tables.int("pid").map_or("unknown".to_owned(), |pid| pid.to_string()))
        .collect();
    match (asked, processes.len()) {
        (_, 0) => Err(QueryError::Empty),
        (None, 1) => Ok(0),
        (None, _) => Err(QueryError::WhichProcess { present: pids.join(", ") }),
        (Some(asked), _) => processes
            .iter()
            .position(|tables| tables.int("pid") == Some(i64::from(asked)))
            .ok_or_else(|| QueryError::NoSuchProcess { asked, present: pids.join(", ") }),
    }
}
