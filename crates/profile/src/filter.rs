//! Which allocations count: by process, thread, tag, and by what is on their stack.

use crate::{Paths, module_of};
use heapray_capture::{Recording, Task};
use heapray_wire::{FrameKind, FrameRow, NO_NODE};
use std::collections::{HashMap, HashSet};
use wildmatch::WildMatch;

/// What a user asked for. An empty list lets everything pass; several patterns of one list are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only these processes, by their positions among the recording's tasks; one alone with what it inherited when it was forked, of
    /// several what they share counts once.
    pub tasks: Vec<usize>,
    /// Thread names or ids.
    pub threads: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Modules that a frame is of: `flask` is also `flask.app`, `__main__` the file that was run.
    pub modules: Vec<String>,
    /// Functions that a frame is of: the qualified name or its last part.
    pub functions: Vec<String>,
    /// Files that a frame is of: the full name, the short one or the last part.
    pub files: Vec<String>,
}

const N_LISTS: u32 = 5;

impl Filter {
    fn lists(&self) -> [&[String]; N_LISTS as usize] {
        [&self.threads, &self.tags, &self.modules, &self.functions, &self.files]
    }

    /// Bits of the lists that must be met.
    fn wanted(&self) -> u8 {
        let lists = self.lists();
        (0..N_LISTS).filter(|&i| !lists[i as usize].is_empty()).map(|i| 1 << i).sum()
    }
}

/// A filter, worked out for one recording.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The only processes, if some were named.
    tasks: Vec<usize>,
    /// For each node whether it passes; `None`: all do.
    passes: Option<Vec<bool>>,
    /// Whether arenas count: only where the objects in them are not seen.
    arenas: bool,
    /// Lists of the filter that no frame of the recording meets, by their position.
    unmet: Vec<usize>,
}

impl Selection {
    /// Works the filter out. O(nodes + frames × patterns).
    pub fn new(recording: &Recording, filter: &Filter, paths: &Paths) -> Self {
        let wanted = filter.wanted();
        let met_by = Met { recording, filter, paths, mains: mains(recording, filter) };
        let mut met_once = 0;
        let passes = (wanted != 0).then(|| {
            let mut bits: Vec<u8> = Vec::with_capacity(recording.nodes.len());
            let mut known: HashMap<u32, u8> = HashMap::new();
            for row in &recording.nodes {
                let outer = if row.parent == NO_NODE { 0 } else { bits[row.parent as usize] };
                let own = known.entry(row.frame).or_insert_with(|| met_by.frame(row.frame));
                met_once |= *own;
                bits.push(outer | *own);
            }
            bits.into_iter().map(|bits| bits & wanted == wanted).collect()
        });
        let unmet = wanted & !met_once;
        let unmet = (0..N_LISTS as usize).filter(|i| unmet & (1 << i) != 0).collect();
        let mut tasks = filter.tasks.clone();
        tasks.sort_unstable();
        tasks.dedup();
        Self { tasks, passes, arenas: !sees_objects(recording), unmet }
    }

    /// The processes that count.
    pub fn tasks<'a>(&self, recording: &'a Recording) -> impl Iterator<Item = (usize, &'a Task)> + use<'a> {
        let only = self.tasks.clone();
        recording.tasks.iter().enumerate().filter(move |(at, _)| only.is_empty() || only.contains(at))
    }

    /// Whether a process counts, by its position.
    pub fn has_task(&self, at: usize) -> bool {
        self.tasks.is_empty() || self.tasks.contains(&at)
    }

    /// Lists of the filter that no frame of the recording meets, in the order of its fields: 0 threads, … 4 files. They let nothing
    /// pass.
    pub fn unmet(&self) -> &[usize] {
        &self.unmet
    }

    /// Whether a stack of the recording passes.
    pub fn has_any(&self) -> bool {
        self.passes.as_ref().is_none_or(|passes| passes.contains(&true))
    }

    /// Whether a row counts.
    pub fn has(&self, node: u32, allocator: u8) -> bool {
        self.counts_allocator(allocator)
            && self.passes.as_ref().is_none_or(|passes| passes.get(node as usize).copied().unwrap_or(false))
    }

    /// Whether one process was named, to be looked at by itself.
    pub fn is_one_process(&self) -> bool {
        self.tasks.len() == 1
    }

    pub(crate) fn counts_arenas(&self) -> bool {
        self.arenas
    }

    /// Whether everything of each process counts.
    pub fn is_everything(&self) -> bool {
        self.passes.is_none()
    }
}

/// Arenas hold objects: where these are recorded, the arenas below them are not counted again.
fn sees_objects(recording: &Recording) -> bool {
    recording.fact_text("mode") != Some("exact") || recording.fact_text("level") == Some("objects")
}

/// What tells which lists of a filter a frame meets.
struct Met<'a> {
    recording: &'a Recording,
    filter: &'a Filter,
    paths: &'a Paths,
    /// Files of the module `__main__`, as texts.
    mains: HashSet<u32>,
}

impl Met<'_> {
    /// Bits of the lists that a frame meets.
    fn frame(&self, frame: u32) -> u8 {
        let row = &self.recording.frames[frame as usize];
        let function = self.recording.text(row.function);
        match row.kind {
            FrameKind::Thread => self
                .meets(0, &|pattern| matches(pattern, function) || matches(pattern, &row.line.to_string())),
            FrameKind::Tag => self.meets(1, &|pattern| matches(pattern, function)),
            FrameKind::Cut | FrameKind::Start => 0,
            FrameKind::Python | FrameKind::Native => self.code(row, function),
        }
    }

    fn code(&self, row: &FrameRow, function: &str) -> u8 {
        let file = self.recording.text(row.file);
        let is_native = row.kind == FrameKind::Native;
        let short = if is_native { self.paths.short_native(file) } else { self.paths.short(file) };
        let module = module_of(short);
        let is_main = self.mains.contains(&row.file);
        let last = |text: &str, mark: char| text.rsplit(mark).next().unwrap_or_default().to_owned();
        self.meets(2, &|pattern| {
            matches(pattern, &module)
                || matches(&format!("{pattern}.*"), &module)
                || (is_main && matches(pattern, MAIN))
        }) | self.meets(3, &|pattern| matches(pattern, function) || matches(pattern, &last(function, '.')))
            | self.meets(4, &|pattern| {
                matches(pattern, file) || matches(pattern, short) || matches(pattern, &last(file, '/'))
            })
    }

    /// The bit of a list, where one of its patterns is met.
    fn meets(&self, list: u32, meets: &dyn Fn(&str) -> bool) -> u8 {
        u8::from(self.filter.lists()[list as usize].iter().any(|pattern| meets(pattern))) << list
    }
}

/// The module of the file that was run.
const MAIN: &str = "__main__";

/// Files whose module code is the outermost Python of a stack, but for the module that `python -m` runs others by; none where no
/// module is asked for. O(nodes).
fn mains(recording: &Recording, filter: &Filter) -> HashSet<u32> {
    let mut mains = HashSet::new();
    if filter.modules.is_empty() {
        return mains;
    }
    // Whether a node has Python on it, itself included.
    let mut has_python: Vec<bool> = Vec::with_capacity(recording.nodes.len());
    for row in &recording.nodes {
        let outer = row.parent != NO_NODE && has_python[row.parent as usize];
        let frame = &recording.frames[row.frame as usize];
        let is_runner = recording.text(frame.file) == "<frozen runpy>"
            || recording.text(frame.file).ends_with("/runpy.py");
        let is_python = frame.kind == FrameKind::Python && !is_runner;
        if is_python && !outer && recording.text(frame.function) == "<module>" {
            mains.insert(frame.file);
        }
        has_python.push(outer || is_python);
    }
    mains
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for any character.
fn matches(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_capture::synthetic::RecordingBuilder;

    #[test]
    fn the_main_module_is_the_file_that_was_run() {
        let mut b = RecordingBuilder::exact();
        let stacks = [
            &["thread:main", "<module> /srv/app.py:1", "<module> /srv/lib.py:3"][..],
            &["thread:main", "_run_code /usr/lib/python3.10/runpy.py:86", "<module> /srv/tool/__main__.py:1"],
            &["thread:pool", "work /srv/lib.py:9"],
            &["thread:pool", "run /usr/lib/python3.12/threading.py:1", "job /srv/app.py:20"],
        ];
        let nodes = stacks.map(|frames| b.stack(frames));
        b.task(7, None);
        let filter = |modules: &str| Filter { modules: vec![modules.into()], ..Filter::default() };
        let recording = b.recording();
        let paths = Paths::default();
        let selection = Selection::new(&recording, &filter("__main__"), &paths);
        assert_eq!(nodes.map(|node| selection.has(node, 0)), [true, true, false, true]);
        let none = Selection::new(&recording, &filter("nope"), &paths);
        assert_eq!((none.unmet(), none.has_any()), (&[2][..], false));
        assert!(selection.unmet().is_empty() && selection.has_any());
    }
}
