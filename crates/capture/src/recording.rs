//! The tables of a recording of allocations, as every layer above reads them.

use heapray_wire::{
    EventRow, Fact, FactValue, FrameRow, Inherited, NO_NODE, NO_STRING, Peak, Reading, SizesRow, StackRow,
    TaskEnd,
};

use crate::facts;
use crate::slices::Slices;
use crate::tables::Loss;

/// A recording of a tree of processes.
///
/// Every id in it leads to a row, whatever the file was: nodes are below `nodes.len()` or `NO_NODE`, texts below
/// `texts.len()` or `NO_STRING`, slices and births below `slice_times.len()`, a node's parent is smaller than it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    /// Facts about the recording, in file order.
    pub facts: Vec<Fact>,
    /// The processes, by rising number.
    pub tasks: Vec<Task>,
    /// Texts of frames.
    pub texts: Vec<Box<str>>,
    /// Places in the program.
    pub frames: Vec<FrameRow>,
    /// The tree of stacks, of all processes.
    pub nodes: Vec<StackRow>,
    /// Begin and end of each slice in ns since the recording's start, by slice number; common to all processes.
    pub slice_times: Vec<(u64, u64)>,
    /// What the file lost, if anything.
    pub losses: Vec<Loss>,
}

/// One process of a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Task {
    /// Its number in the file.
    pub number: u32,
    /// Facts about it, in file order.
    pub facts: Vec<Fact>,
    /// What it allocated and freed, by rising slice number, at most one each; slices without either may be absent.
    pub slices: Slices,
    /// Memory over time.
    pub readings: Vec<Reading>,
    /// Its high-water mark.
    pub peak: Option<Peak>,
    /// Sizes of allocations, a row an allocator.
    pub sizes: Vec<SizesRow>,
    /// Facts about its recording, each name once.
    pub status: Vec<Fact>,
    /// What it inherited, if it was forked while its parent was recorded.
    pub inherited: Option<Inherited>,
    /// How its recording ended; `None` where it did not, or that is lost.
    pub end: Option<TaskEnd>,
    /// Every event, if the file holds them and the reader was asked to keep them.
    pub events: Vec<EventRow>,
    /// Events of it that the file holds, kept or not.
    pub n_events: u64,
    /// Nothing of it was lost from the file.
    pub whole: bool,
}

impl Recording {
    /// A text; empty for `NO_STRING`.
    pub fn text(&self, id: u32) -> &str {
        if id == NO_STRING { "" } else { &self.texts[id as usize] }
    }

    /// The frame of a node.
    ///
    /// # Panics
    /// For `NO_NODE`.
    pub fn frame(&self, node: u32) -> &FrameRow {
        &self.frames[self.nodes[node as usize].frame as usize]
    }

    /// The node of the caller; `NO_NODE` for an outermost node and for `NO_NODE`.
    pub fn parent(&self, node: u32) -> u32 {
        self.nodes.get(node as usize).map_or(NO_NODE, |row| row.parent)
    }

    /// The nodes of a stack from `node` outwards; none for `NO_NODE`.
    pub fn stack(&self, node: u32) -> impl Iterator<Item = u32> + '_ {
        let some = |node: u32| (node != NO_NODE).then_some(node);
        std::iter::successors(some(node), move |node| some(self.parent(*node)))
    }

    /// The task of a process number. O(log n).
    pub fn task(&self, number: u32) -> Option<&Task> {
        let at = self.tasks.binary_search_by_key(&number, |task| task.number).ok()?;
        Some(&self.tasks[at])
    }

    /// An integer fact of the recording.
    pub fn int(&self, name: &str) -> Option<i64> {
        facts::int(&self.facts, name)
    }

    /// A fact of the recording as a number.
    pub fn float(&self, name: &str) -> Option<f64> {
        facts::float(&self.facts, name)
    }

    /// A text fact of the recording.
    pub fn fact_text(&self, name: &str) -> Option<&str> {
        facts::text(&self.facts, name)
    }

    /// End of the last slice, ns since the recording's start.
    pub fn end_ns(&self) -> u64 {
        self.slice_times.last().map_or(0, |(_, end)| *end)
    }
}

impl Task {
    fn fact(&self, name: &str) -> Option<&FactValue> {
        facts::value(&self.status, name).or_else(|| facts::value(&self.facts, name))
    }

    /// An integer fact of its status or of itself.
    pub fn int(&self, name: &str) -> Option<i64> {
        facts::as_int(self.fact(name)?)
    }

    /// A fact of its status or of itself as a number.
    pub fn float(&self, name: &str) -> Option<f64> {
        facts::as_float(self.fact(name)?)
    }

    /// A text fact of its status or of itself.
    pub fn fact_text(&self, name: &str) -> Option<&str> {
        facts::as_text(self.fact(name)?)
    }

    /// Its process id.
    pub fn pid(&self) -> Option<u32> {
        self.int("pid").and_then(|pid| u32::try_from(pid).ok())
    }

    /// Process number of its parent, where that is recorded too.
    pub fn parent(&self) -> Option<u32> {
        self.int("parent").and_then(|number| u32::try_from(number).ok())
    }
}
