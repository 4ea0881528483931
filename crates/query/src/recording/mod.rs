//! A recording of allocations, opened for questions: which part of it counts is settled once, then each question is a
//! method, in a file of its own.

mod diff;
mod header;
mod info;
mod profile;
mod rows;
mod stats;
mod survivors;
mod temporary;
mod timeline;
mod top;
mod tree;
mod watch;
mod what;

pub use diff::diff;
pub use heapray_profile::{Charge, Detail, GroupBy, Time};
pub use info::recording_info;
pub use timeline::TIMELINE_STEPS;
pub use top::{Top, TopOrder};
pub use tree::TreeCut;
pub use watch::{Watch, WatchBy};
pub use what::What;

use crate::QueryError;
use heapray_capture::Recording;
use heapray_profile::{
    Filter, Group, Paths, Places, Selection, Site, Span, StackTree, TreeOptions, figures, group, span,
};
use heapray_wire::FrameKind;

/// Which part of a recording counts, and how its stacks are shown.
#[derive(Clone, Debug, Default)]
pub struct AllocationOptions {
    /// Only the processes of these pids; one alone with what it inherited, of several what they share counts once.
    pub processes: Vec<u32>,
    /// Threads by name or id; patterns with `*` and `?`, as in all lists here.
    pub threads: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Modules on the stack.
    pub modules: Vec<String>,
    /// Functions on the stack.
    pub functions: Vec<String>,
    /// Files on the stack.
    pub files: Vec<String>,
    /// Begin of the window.
    pub from: Option<Time>,
    /// End of the window.
    pub to: Option<Time>,
    /// Leave frames of the import system out.
    pub hide_imports: bool,
    /// Keep threads apart in stacks.
    pub split_threads: bool,
    /// Size of the file, to be told.
    pub file_bytes: Option<u64>,
    /// The process by which the recording was asked for, where it was not asked for by its file.
    pub asked_process: Option<u32>,
    /// Whether more is being written to the file.
    pub is_being_written: bool,
}

/// A recording, or the part of it that was asked for.
#[derive(Debug)]
pub struct Allocations {
    recording: Recording,
    options: AllocationOptions,
    paths: Paths,
    selection: Selection,
    /// The window; it begins in the middle where no begin was named, so that growth is that behind the warm-up.
    span: Span,
    /// The same from the recording's begin on where no begin was named: what is not growth counts from there.
    whole: Span,
}

/// Places and the tree of them, in the detail that a question wants.
struct Names {
    places: Places,
    tree: StackTree,
}

impl Allocations {
    /// Settles which part of a recording counts.
    ///
    /// # Errors
    /// No process in the file, none of that pid; a window that ends before it begins, or in which no slice ends.
    pub fn new(recording: Recording, options: AllocationOptions) -> Result<Self, QueryError> {
        if recording.tasks.is_empty() {
            return Err(QueryError::EmptyRecording);
        }
        let tasks = options.processes.iter().map(|pid| find(&recording, *pid)).collect::<Result<_, _>>()?;
        let of_python = recording.frames.iter().filter(|frame| frame.kind == FrameKind::Python);
        let paths = Paths::new(of_python.map(|frame| recording.text(frame.file)));
        let filter = Filter {
            tasks,
            threads: options.threads.clone(),
            tags: options.tags.clone(),
            modules: options.modules.clone(),
            functions: options.functions.clone(),
            files: options.files.clone(),
        };
        let selection = Selection::new(&recording, &filter, &paths);
        let span = span(&recording, &selection, options.from, options.to);
        if span.from >= span.to && options.from.is_some() && !recording.slice_times.is_empty() {
            return Err(empty_window(&recording, &options));
        }
        let mut whole = span.clone();
        if !whole.from_asked {
            whole.from = 0;
            whole.ns.0 = recording.slice_times.first().map_or(0, |(start, _)| *start);
        }
        Ok(Self { recording, options, paths, selection, span, whole })
    }

    /// Length of the recording, seconds.
    pub fn seconds(&self) -> f64 {
        self.recording.end_ns() as f64 / 1e9
    }

    /// Whether the recording has ended: nothing will be added to its file.
    pub fn is_complete(&self) -> bool {
        self.recording.tasks.iter().all(|task| task.end.is_some())
    }

    /// Whether more is being written to its file, as far as is known.
    pub fn is_being_written(&self) -> bool {
        self.options.is_being_written && !self.is_complete()
    }

    /// Begin and end of the window, seconds: those of the recording where none were named.
    pub fn window_seconds(&self) -> (f64, f64) {
        (self.whole.ns.0 as f64 / 1e9, self.whole.ns.1 as f64 / 1e9)
    }

    /// The same recording with another window.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn between(self, from: Option<Time>, to: Option<Time>) -> Result<Self, QueryError> {
        Self::new(self.recording, AllocationOptions { from, to, ..self.options })
    }

    fn sites(&self, span: &Span) -> Vec<Site> {
        figures(&self.recording, &self.selection, span)
    }

    /// The span that is meant where something is weighed.
    fn span_of(&self, what: What) -> &Span {
        if what == What::Growth { &self.span } else { &self.whole }
    }

    fn names(&self, detail: Detail) -> Names {
        let places = Places::new(&self.recording, detail);
        let options = TreeOptions {
            split_threads: self.options.split_threads,
            hide_imports: self.options.hide_imports,
        };
        let tree = StackTree::new(&self.recording, &places, options);
        Names { places, tree }
    }

    fn groups(&self, names: &Names, sites: &[Site], by: GroupBy, charge: Charge) -> Vec<Group> {
        group((&self.recording, &names.places, &names.tree), sites, by, charge)
    }
}

/// How finely places are told apart for a grouping.
fn detail(by: GroupBy) -> Detail {
    if by == GroupBy::Function { Detail::Function } else { Detail::Line }
}

/// What a grouping is called.
fn by_name(by: GroupBy) -> &'static str {
    match by {
        GroupBy::Line => "line",
        GroupBy::Function => "function",
        GroupBy::File => "file",
        GroupBy::Stack => "stack",
    }
}

/// Why a window is empty: its times are not in order, or too near to each other.
fn empty_window(recording: &Recording, options: &AllocationOptions) -> QueryError {
    let end_ns = recording.end_ns();
    let ns = |time: Option<Time>| time.map(|time| time.ns(recording).min(end_ns));
    let (from, to) = (ns(options.from).unwrap_or(0), ns(options.to).unwrap_or(end_ns));
    let seconds = |ns: u64| ns as f64 / 1e9;
    if from >= to {
        return QueryError::EmptyWindow { seconds: seconds(end_ns) };
    }
    let slice = recording.slice_times.iter().find(|(_, end)| *end > from);
    QueryError::NoSlice {
        from: seconds(from),
        to: seconds(to),
        slice: slice.map_or(0.0, |(start, end)| seconds(end.saturating_sub(*start))),
    }
}

/// The process of a pid; the last one where a pid came twice, as after an `exec`.
fn find(recording: &Recording, pid: u32) -> Result<usize, QueryError> {
    recording.tasks.iter().rposition(|task| task.pid() == Some(pid)).ok_or_else(|| {
        let pids: Vec<String> =
            recording.tasks.iter().filter_map(|task| task.pid()).map(|pid| pid.to_string()).collect();
        QueryError::NotRecorded { asked: pid, present: pids.join(", ") }
    })
}
