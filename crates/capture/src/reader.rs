//! A capture, pushed in pieces, to the tables of its processes. One path for files and live bytes.
//!
//! Damage gives what is left plus a list of losses; only a file that is no capture, or asks for a newer reader,
//! is an error. Memory: the tables (34 bytes a node at two edges a node) and one chunk.

use heapray_wire::{ChunkHeader, FileHeader, PackedNodes, decode, decode_nodes_into, kind};

use crate::build::{Builder, Gap};
use crate::error::CaptureError;
use crate::frames::{Frames, Splitter};
use crate::payload::{Losses, Payload, Sequence};
use crate::seal::seal;
use crate::sniff::{self, FileKind};
use crate::tables::{Loss, SnapshotFile};

/// Reads a capture that is pushed in pieces.
pub struct SnapshotReader {
    file: String,
    splitter: Splitter,
    loader: Loader,
}

/// The capture in `bytes`, called `file` in errors.
///
/// # Errors
/// As [`SnapshotReader::push`] and [`SnapshotReader::finish`].
pub fn read(file: &str, bytes: &[u8]) -> Result<SnapshotFile, CaptureError> {
    let mut reader = SnapshotReader::new(file);
    reader.push(bytes)?;
    reader.finish()
}

impl SnapshotReader {
    /// Starts to read what errors call `file`: a path, or `the snapshot of 4242`.
    pub fn new(file: &str) -> Self {
        Self { file: file.to_owned(), splitter: Splitter::new(file.to_owned()), loader: Loader::new() }
    }

    /// Takes the next bytes. Costs about 60 CPU ns a node.
    ///
    /// # Errors
    /// [`CaptureError::Foreign`], [`CaptureError::Newer`] and [`CaptureError::OtherKind`], once enough of the file is
    /// known; push no more then.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), CaptureError> {
        self.splitter.push(bytes, &mut self.loader)?;
        self.loader.right_kind(&self.file)
    }

    /// The file is over: checks all ids and gives the tables, in file order.
    ///
    /// # Errors
    /// As [`Self::push`], and [`CaptureError::NothingLeft`] where not even the facts of one process are there.
    pub fn finish(mut self) -> Result<SnapshotFile, CaptureError> {
        let end = self.splitter.finish(&mut self.loader)?;
        self.loader.right_kind(&self.file)?;
        let file = self.loader.finish(end);
        if file.processes.is_empty() {
            let why = file.losses.first().map_or("it ends after its header", |loss| &loss.what).to_owned();
            return Err(CaptureError::NothingLeft { file: self.file, why });
        }
        Ok(file)
    }
}

/// Frames to tables.
struct Loader {
    payload: Payload,
    nodes: PackedNodes,
    file: SnapshotFile,
    losses: Losses,
    current: Option<Builder>,
    sequence: Sequence,
    /// The first frame that was taken belongs to a recording.
    is_recording: bool,
    /// End of the last frame that was taken.
    taken_to: u64,
    whole: bool,
}

impl Frames for Loader {
    fn frame(&mut self, at: u64, header: &ChunkHeader, payload: &[u8]) {
        self.count(at, header);
        match self.take(at, header, payload) {
            Ok(()) => self.taken_to = at + (ChunkHeader::BYTES + payload.len()) as u64,
            Err(why) => {
                let what = heapray_wire::name(header.kind);
                self.loss(Loss {
                    offset: at,
                    what: format!("frame {} ({what}) {why}; left out", header.sequence),
                });
            }
        }
    }

    fn loss(&mut self, loss: Loss) {
        if let Some(builder) = &mut self.current {
            builder.damaged = true;
        }
        self.losses.push(loss);
    }
}

impl Loader {
    fn new() -> Self {
        Self {
            payload: Payload::new(),
            nodes: PackedNodes::default(),
            file: SnapshotFile::default(),
            losses: Losses::default(),
            current: None,
            sequence: Sequence::default(),
            is_recording: false,
            taken_to: FileHeader::BYTES as u64,
            whole: false,
        }
    }

    fn right_kind(&self, file: &str) -> Result<(), CaptureError> {
        if self.is_recording { Err(CaptureError::recording(file)) } else { Ok(()) }
    }

    /// Notices frames that are missing.
    fn count(&mut self, at: u64, header: &ChunkHeader) {
        let what = match self.sequence.pass(header) {
            Ok(0) => return,
            Ok(n) => format!("{n} frames are missing here"),
            Err(what) => what,
        };
        self.loss(Loss { offset: at, what });
    }

    fn take(&mut self, at: u64, header: &ChunkHeader, payload: &[u8]) -> Result<(), String> {
        if header.kind == kind::FILE_END {
            self.whole = true;
            return Ok(());
        }
        if header.kind >= kind::OPTIONAL {
            return Ok(());
        }
        if sniff::of(header.kind) == Some(FileKind::Recording) {
            self.is_recording |= self.current.is_none() && self.file.processes.is_empty();
            return Err("belongs to a recording of allocations".into());
        }
        let raw = self.payload.decompress(header, payload)?;
        let gap = Gap { n_bytes: at.saturating_sub(self.taken_to) };
        if header.kind == kind::NODES {
            decode_nodes_into(raw, &mut self.nodes).map_err(|error| format!("is malformed: {error}"))?;
            if self.nodes.first != header.first {
                return Err("is malformed: it disagrees with its header about ids".into());
            }
            self.process(at, header);
            let nodes = std::mem::take(&mut self.nodes);
            let taken = self.builder().nodes(&nodes, gap);
            self.nodes = nodes;
            return taken.map_err(str::to_owned);
        }
        let chunk = decode(header.kind, raw).map_err(|error| format!("is malformed: {error}"))?;
        self.process(at, header);
        self.builder().chunk(chunk, header.first, gap).map_err(str::to_owned)
    }

    /// Begins another process where this frame does.
    fn process(&mut self, at: u64, header: &ChunkHeader) {
        let same = self.current.as_ref().is_some_and(|builder| builder.process == header.process);
        let begins = header.kind == kind::PROCESS;
        if same && !begins {
            return;
        }
        self.seal(at);
        if !begins {
            self.loss(Loss {
                offset: at,
                what: format!("the facts of process number {} are lost", header.process),
            });
        }
        self.current = Some(Builder::new(header.process));
    }

    fn builder(&mut self) -> &mut Builder {
        self.current.get_or_insert_with(|| Builder::new(0))
    }

    /// Finishes the current process; its frames end at `at`.
    fn seal(&mut self, at: u64) {
        if let Some(builder) = self.current.take() {
            let (tables, lines) = seal(builder);
            self.file.processes.push(tables);
            lines.into_iter().for_each(|what| self.loss(Loss { offset: at, what }));
        }
    }

    fn finish(mut self, end: u64) -> SnapshotFile {
        self.seal(end);
        if !self.whole {
            self.loss(Loss { offset: end, what: "the file ends without its end mark: it is cut off".into() });
        }
        self.file.losses = self.losses.finish(end);
        self.file
    }
}
