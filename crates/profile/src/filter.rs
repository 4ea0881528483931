//! Which allocations count: by process, thread, tag, and by what is on their stack.

use crate::{Paths, module_of};
use heapray_capture::{Recording, Task};
use heapray_wire::{FrameKind, NO_NODE};
use std::collections::HashMap;
use wildmatch::WildMatch;

/// What a user asked for. An empty list lets everything pass; several patterns of one list are alternatives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this process, with what it inherited when it was forked; its position among the recording's tasks.
    pub task: Option<usize>,
    /// Thread names or ids.
    pub threads: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Modules that a frame is of: `flask` is also `flask.app`.
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
    /// The only process, if one was named.
    task: Option<usize>,
    /// For each node whether it passes; `None`: all do.
    passes: Option<Vec<bool>>,
    /// Whether arenas count: only where the objects in them are not seen.
    arenas: bool,
}

impl Selection {
    /// Works the filter out. O(nodes + frames × patterns).
    pub fn new(recording: &Recording, filter: &Filter, paths: &Paths) -> Self {
        let wanted = filter.wanted();
        let passes = (wanted != 0).then(|| {
            let mut bits: Vec<u8> = Vec::with_capacity(recording.nodes.len());
            let mut known: HashMap<u32, u8> = HashMap::new();
            for row in &recording.nodes {
                let outer = if row.parent == NO_NODE { 0 } else { bits[row.parent as usize] };
                let own = known.entry(row.frame).or_insert_with(|| met(recording, row.frame, filter, paths));
                bits.push(outer | *own);
            }
            bits.into_iter().map(|bits| bits & wanted == wanted).collect()
        });
        Self { task: filter.task, passes, arenas: !sees_objects(recording) }
    }

    /// The processes that count.
    pub fn tasks<'a>(&self, recording: &'a Recording) -> impl Iterator<Item = (usize, &'a Task)> + use<'a> {
        let only = self.task;
        recording.tasks.iter().enumerate().filter(move |(at, _)| only.is_none_or(|task| task == *at))
    }

    /// Whether a row counts.
    pub fn has(&self, node: u32, allocator: u8) -> bool {
        self.counts_allocator(allocator)
            && self.passes.as_ref().is_none_or(|passes| passes.get(node as usize).copied().unwrap_or(false))
    }

    /// Whether blocks that a process inherited count: only where one process is looked at, else they would twice.
    pub fn counts_inherited(&self) -> bool {
        self.task.is_some()
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

/// Which lists of the filter a frame meets.
fn met(recording: &Recording, frame: u32, filter: &Filter, paths: &Paths) -> u8 {
    let row = &recording.frames[frame as usize];
    let function = recording.text(row.function);
    let meets = |i: u32, meets: &dyn Fn(&str) -> bool| -> u8 {
        u8::from(filter.lists()[i as usize].iter().any(|pattern| meets(pattern))) << i
    };
    match row.kind {
        FrameKind::Thread => {
            meets(0, &|pattern| matches(pattern, function) || matches(pattern, &row.line.to_string()))
        }
        FrameKind::Tag => meets(1, &|pattern| matches(pattern, function)),
        FrameKind::Cut | FrameKind::Start => 0,
        FrameKind::Python | FrameKind::Native => {
            let file = recording.text(row.file);
            let is_native = row.kind == FrameKind::Native;
            let short = if is_native { paths.short_native(file) } else { paths.short(file) };
            let module = module_of(short);
            let last = |text: &str, mark: char| text.rsplit(mark).next().unwrap_or_default().to_owned();
            meets(2, &|pattern| matches(pattern, &module) || matches(&format!("{pattern}.*"), &module))
                | meets(3, &|pattern| matches(pattern, function) || matches(pattern, &last(function, '.')))
                | meets(4, &|pattern| {
                    matches(pattern, file) || matches(pattern, short) || matches(pattern, &last(file, '/'))
                })
        }
    }
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and `?` for any character.
fn matches(pattern: &str, name: &str) -> bool {
    WildMatch::new(pattern).matches(name)
}
