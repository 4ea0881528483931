//! One process's snapshot, opened for questions.

use crate::answer::{Coverage, Process};
use crate::identity::Identity;
use crate::{QueryError, facts};
use heapray_capture::{HeapTables, SnapshotFile};
use heapray_heap::Heap;

/// A snapshot with its graph, dominators and trails. Each question is a method, in a file of its own.
#[derive(Debug)]
pub struct Session {
    pub(crate) heap: Heap,
    pub(crate) process: Process,
    pub(crate) coverage: Coverage,
    pub(crate) identity: Identity,
}

impl Session {
    /// Opens one process of a file: the only one, or the one named.
    ///
    /// # Errors
    /// No process, several and none named, none of that name.
    ///
    /// # Cost
    /// That of [`Heap::load`].
    pub fn new(file: SnapshotFile, process: Option<u32>) -> Result<Self, QueryError> {
        let SnapshotFile { mut processes, losses } = file;
        let at = pick(&processes, process)?;
        let tables = processes.swap_remove(at);
        drop(processes);
        let (process, coverage) = (facts::process(&tables), facts::coverage(&tables, &losses));
        let identity = Identity::of(&tables);
        Ok(Self { heap: Heap::load(tables), process, coverage, identity })
    }

    /// The process.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Blocks of all nodes, bytes.
    pub(crate) fn block_bytes(&self) -> u64 {
        let tables = self.heap.tables();
        (0..tables.n_nodes()).map(|node| tables.block(node)).fold(0, u64::saturating_add)
    }

    /// `process 4242, Python 3.12.1`, as far as known.
    pub(crate) fn caption(&self) -> String {
        let pid = self.process.pid.map(|pid| format!(" · process {pid}"));
        let python = self.process.python.as_ref().map(|python| format!(" · Python {python}"));
        [pid, python].into_iter().flatten().collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_wire::{Fact, FactValue};

    fn file(pids: &[i64]) -> SnapshotFile {
        let tables = |pid: &i64| HeapTables {
            facts: vec![Fact { name: "pid".into(), value: FactValue::Int(*pid) }],
            edge_start: vec![0],
            ..HeapTables::default()
        };
        SnapshotFile { processes: pids.iter().map(tables).collect(), losses: Vec::new() }
    }

    #[test]
    fn one_process_needs_no_name_and_several_do() {
        assert_eq!(Session::new(file(&[7]), None).expect("only one").process().pid, Some(7));
        assert_eq!(Session::new(file(&[7, 8]), Some(8)).expect("named").process().pid, Some(8));
        let error = Session::new(file(&[7, 8]), None).expect_err("which?");
        assert_eq!(error, QueryError::WhichProcess { present: "7, 8".into() });
        let error = Session::new(file(&[7, 8]), Some(9)).expect_err("none");
        assert_eq!(error, QueryError::NoSuchProcess { asked: 9, present: "7, 8".into() });
        assert_eq!(Session::new(file(&[]), None).expect_err("none"), QueryError::Empty);
    }
}
