//! Texts, frames and stack nodes of the whole file: what several processes share is written once.
//!
//! A row is given its id when it is first needed and waits in `new_…` until it is written, always before the chunk that
//! refers to it.

use std::sync::Arc;

use hashbrown::HashMap;
use heapray_cpython::layouts::LineTable;
use heapray_cpython::linetable::{self, Marks};
use heapray_symbols::CodePlace;
use heapray_wire::ring::cells::{CutReason, LineTableKind, NO_PARENT, NodeKind};
use heapray_wire::{FrameKind, FrameRow, NO_NODE, NO_STRING, RecordingChunk, StackRow};

use super::chunks::Chunks;
use super::tables::{Code, LoadedObject, RawNode, Tables};

/// Deepest stack that is followed; the agent cuts long before.
const MAX_DEPTH: usize = 100_000;

/// Nodes that are worth a chunk of their own.
const MANY_NODES: usize = 1 << 14;

/// In a list of a process's nodes: not asked for yet.
const UNKNOWN: u32 = u32::MAX - 1;

/// Names native code: the collector's window to files on disk, so that the engine needs none.
pub trait NativeNames {
    /// The places of the instruction before return address `ip` in `object` of process `process`: at least one, then those in
    /// functions that were inlined there.
    fn places(&mut self, process: u32, object: &LoadedObject, ip: u64) -> Vec<CodePlace>;
}

/// Knows no names: for recordings without native frames.
#[derive(Debug)]
pub struct NoNames;

impl NativeNames for NoNames {
    fn places(&mut self, _: u32, _: &LoadedObject, _: u64) -> Vec<CodePlace> {
        vec![CodePlace::default()]
    }
}

/// Nodes of a process in the file's numbers, as far as they were asked for.
pub(crate) type Memo = Chunks<u32>;

/// All names of a file.
#[derive(Default)]
pub(crate) struct Names {
    texts: HashMap<Box<str>, u32>,
    new_texts: Vec<String>,
    frames: HashMap<FrameRow, u32>,
    new_frames: Vec<FrameRow>,
    nodes: HashMap<(u32, u32), u32>,
    new_nodes: Vec<StackRow>,
    /// (serial of a code object, instruction) to frame: a line table is searched once.
    places: HashMap<(u64, i32), u32>,
    /// What is known of line tables, by code object.
    marks: HashMap<u64, Marks>,
    /// (file of code, offset in it) to frames, outermost first.
    native: HashMap<(u32, u64), Arc<[u32]>>,
    /// Files of code, numbered, by path.
    code_files: HashMap<Box<str>, u32>,
    /// The file of code that a loading is of.
    loadings: HashMap<u64, u32>,
}

/// Whose nodes are asked for.
pub(crate) struct Speaker<'a> {
    /// Number of the process.
    pub(crate) process: u32,
    /// What it has said.
    pub(crate) tables: &'a Tables,
    /// What is known of its nodes.
    pub(crate) memo: &'a mut Memo,
    /// Names its native code.
    pub(crate) native: &'a mut dyn NativeNames,
}

impl Names {
    /// The file's node for a node of a process; `NO_NODE` where it has said nothing of that.
    pub(crate) fn node(&mut self, speaker: &mut Speaker<'_>, id: u32) -> u32 {
        let mut chain = Vec::new();
        let mut at = id;
        let mut parent = NO_NODE;
        while at != NO_PARENT && chain.len() < MAX_DEPTH {
            match speaker.memo.get(at as usize).copied() {
                Some(known) if known != UNKNOWN => {
                    parent = known;
                    break;
                }
                _ => {}
            }
            let Some(node) = speaker.tables.node(at).copied() else { break };
            chain.push((at, node));
            at = node.parent;
        }
        for (id, raw) in chain.into_iter().rev() {
            parent = self.under(parent, speaker, &raw);
            speaker.memo.put(id as usize, parent, &UNKNOWN);
        }
        parent
    }

    /// Whether so many names wait that they make chunks that compress well.
    pub(crate) fn has_many_new(&self) -> bool {
        self.new_nodes.len() >= MANY_NODES
    }

    /// The chunks that were not written yet.
    pub(crate) fn take_new(&mut self, out: &mut Vec<(u16, RecordingChunk)>) {
        if !self.new_texts.is_empty() {
            out.push((0, RecordingChunk::Texts(std::mem::take(&mut self.new_texts))));
        }
        if !self.new_frames.is_empty() {
            out.push((0, RecordingChunk::Frames(std::mem::take(&mut self.new_frames))));
        }
        if !self.new_nodes.is_empty() {
            out.push((0, RecordingChunk::Nodes(std::mem::take(&mut self.new_nodes))));
        }
    }

    fn child(&mut self, parent: u32, frame: u32) -> u32 {
        let next = self.nodes.len() as u32;
        let id = *self.nodes.entry((parent, frame)).or_insert(next);
        if id == next {
            self.new_nodes.push(StackRow { parent, frame });
        }
        id
    }

    fn text(&mut self, text: &str) -> u32 {
        if let Some(id) = self.texts.get(text) {
            return *id;
        }
        let id = self.texts.len() as u32;
        self.texts.insert(text.into(), id);
        self.new_texts.push(text.to_owned());
        id
    }

    fn intern(&mut self, row: FrameRow) -> u32 {
        let next = self.frames.len() as u32;
        let id = *self.frames.entry(row).or_insert(next);
        if id == next {
            self.new_frames.push(row);
        }
        id
    }

    /// The node of what `raw` stands for, under `parent`: native code that was inlined makes several of one.
    fn under(&mut self, parent: u32, speaker: &mut Speaker<'_>, raw: &RawNode) -> u32 {
        let tables = speaker.tables;
        let frame = match raw.kind {
            NodeKind::Native => {
                let frames = self.native(speaker, raw.a);
                return frames.iter().fold(parent, |parent, frame| self.child(parent, *frame));
            }
            NodeKind::Python => match tables.code(raw.a) {
                Some(code) => self.python(code, raw.b as i32),
                None => self.cut("code unknown"),
            },
            NodeKind::Thread => {
                let function = tables.text(raw.b).map_or(NO_STRING, |name| self.text(name));
                self.intern(FrameRow { function, line: raw.a as u32, ..bare(FrameKind::Thread) })
            }
            NodeKind::Tag => {
                let function = self.text(tables.text(raw.a).unwrap_or("unknown tag"));
                self.intern(FrameRow { function, ..bare(FrameKind::Tag) })
            }
            NodeKind::Cut => self.cut(reason(raw.a)),
            NodeKind::NativeCut => self.cut("native frames missing"),
            NodeKind::Start => {
                let function = self.text(start(raw.a));
                self.intern(FrameRow { function, ..bare(FrameKind::Start) })
            }
        };
        self.child(parent, frame)
    }

    fn cut(&mut self, why: &str) -> u32 {
        let function = self.text(why);
        self.intern(FrameRow { function, ..bare(FrameKind::Cut) })
    }

    fn python(&mut self, code: &Arc<Code>, instruction: i32) -> u32 {
        if let Some(id) = self.places.get(&(code.serial, instruction)) {
            return *id;
        }
        let format = match code.line_table_kind {
            kind if kind == LineTableKind::Deltas as u32 => LineTable::Deltas,
            _ => LineTable::Locations,
        };
        let marks = self.marks.entry(code.serial).or_default();
        let at = (code.first_line, instruction);
        let place = linetable::location_from(marks, &code.line_table, at, format);
        let row = FrameRow {
            function: self.text(&code.qualname),
            file: self.text(&code.filename),
            line: place.map_or(0, |place| place.line),
            column: place.map_or(0, |place| place.column),
            end_line: place.map_or(0, |place| place.end_line),
            end_column: place.map_or(0, |place| place.end_column),
            first_line: code.first_line,
            ..bare(FrameKind::Python)
        };
        let id = self.intern(row);
        self.places.insert((code.serial, instruction), id);
        id
    }

    /// The frames of native code, outermost first.
    fn native(&mut self, speaker: &mut Speaker<'_>, ip: u64) -> Arc<[u32]> {
        let Some(object) = speaker.tables.object(ip) else {
            let function = self.text("[unknown code]");
            return Arc::new([self.intern(FrameRow { function, ..bare(FrameKind::Native) })]);
        };
        let code_file = match self.loadings.get(&object.serial) {
            Some(known) => *known,
            None => self.code_file(object),
        };
        let key = (code_file, ip.wrapping_sub(object.load_base));
        if let Some(frames) = self.native.get(&key) {
            return Arc::clone(frames);
        }
        let places = speaker.native.places(speaker.process, object, ip);
        let frames: Arc<[u32]> =
            places.into_iter().map(|place| self.native_frame(&object.path, place)).collect();
        self.native.insert(key, Arc::clone(&frames));
        frames
    }

    fn native_frame(&mut self, path: &str, place: CodePlace) -> u32 {
        let library = path.rsplit('/').next().unwrap_or_default();
        let library = if library.is_empty() { "unknown program" } else { library };
        let function = place.function.unwrap_or_else(|| format!("[{library}]"));
        let row = FrameRow {
            function: self.text(&function),
            file: self.text(place.file.as_deref().unwrap_or(path)),
            line: if place.file.is_some() { place.line } else { 0 },
            ..bare(FrameKind::Native)
        };
        self.intern(row)
    }

    #[cold]
    fn code_file(&mut self, object: &LoadedObject) -> u32 {
        let next = self.code_files.len() as u32;
        let number = *self.code_files.entry(object.path.clone()).or_insert(next);
        self.loadings.insert(object.serial, number);
        number
    }
}

fn bare(kind: FrameKind) -> FrameRow {
    FrameRow {
        kind,
        function: NO_STRING,
        file: NO_STRING,
        line: 0,
        column: 0,
        end_line: 0,
        end_column: 0,
        first_line: 0,
    }
}

fn start(how: u64) -> &'static str {
    match how {
        0 => "native thread, started here",
        _ => "native thread, started by one started here",
    }
}

fn reason(number: u64) -> &'static str {
    match number {
        n if n == CutReason::NoPythonState as u64 => "native thread",
        n if n == CutReason::TooDeep as u64 => "deeper than recorded",
        n if n == CutReason::TreeFull as u64 => "too many different stacks",
        n if n == CutReason::Torn as u64 => "stack was changing",
        n if n == CutReason::ForeignThread as u64 => "stack of another thread",
        n if n == CutReason::Recursion as u64 => "recursion, shortened",
        _ => "unknown reason",
    }
}
