//! One chunk to bytes and back, by kind. Compression, checksums and order are `capture`'s.

use alloc::vec::Vec;

use crate::bytes::Source;
use crate::malformed::Malformed;
use crate::model::Chunk;
use crate::nodes::PackedNodes;
use crate::{facts, nodes, rows};

/// The byte that stands for a kind of chunk. From [`kind::OPTIONAL`] on a reader may skip what it does not know.
pub mod kind {
    /// [`super::Chunk::Process`].
    pub const PROCESS: u8 = 1;
    /// [`super::Chunk::Strings`].
    pub const STRINGS: u8 = 2;
    /// [`super::Chunk::Types`].
    pub const TYPES: u8 = 3;
    /// [`super::Chunk::Shapes`].
    pub const SHAPES: u8 = 4;
    /// [`super::Chunk::Nodes`].
    pub const NODES: u8 = 5;
    /// [`super::Chunk::MoreEdges`].
    pub const MORE_EDGES: u8 = 6;
    /// [`super::Chunk::Names`].
    pub const NAMES: u8 = 7;
    /// [`super::Chunk::Flags`].
    pub const FLAGS: u8 = 8;
    /// [`super::Chunk::Facts`].
    pub const FACTS: u8 = 9;
    /// [`super::Chunk::Skipped`].
    pub const SKIPPED: u8 = 10;
    /// [`super::Chunk::End`].
    pub const END: u8 = 11;
    /// The whole file is written. No [`super::Chunk`]: a frame without payload that `capture`'s writer ends with.
    pub const FILE_END: u8 = 12;
    /// [`crate::RecordingChunk::Recording`].
    pub const RECORDING: u8 = 32;
    /// [`crate::RecordingChunk::Task`].
    pub const TASK: u8 = 33;
    /// [`crate::RecordingChunk::Texts`].
    pub const TEXTS: u8 = 34;
    /// [`crate::RecordingChunk::Frames`].
    pub const FRAMES: u8 = 35;
    /// [`crate::RecordingChunk::Nodes`].
    pub const STACK_NODES: u8 = 36;
    /// [`crate::RecordingChunk::Slice`].
    pub const SLICE: u8 = 37;
    /// [`crate::RecordingChunk::Readings`].
    pub const READINGS: u8 = 38;
    /// [`crate::RecordingChunk::Peak`].
    pub const PEAK: u8 = 39;
    /// [`crate::RecordingChunk::Sizes`].
    pub const SIZES: u8 = 40;
    /// [`crate::RecordingChunk::Status`].
    pub const STATUS: u8 = 41;
    /// [`crate::RecordingChunk::End`].
    pub const TASK_END: u8 = 42;
    /// [`crate::RecordingChunk::Events`].
    pub const EVENTS: u8 = 43;
    /// [`crate::RecordingChunk::Inherited`].
    pub const INHERITED: u8 = 44;
    /// Kinds from here on add to what older readers show and change none of it.
    pub const OPTIONAL: u8 = 128;
}

/// The kind byte of a chunk.
pub fn kind_of(chunk: &Chunk) -> u8 {
    match chunk {
        Chunk::Process(_) => kind::PROCESS,
        Chunk::Strings(_) => kind::STRINGS,
        Chunk::Types(_) => kind::TYPES,
        Chunk::Shapes(_) => kind::SHAPES,
        Chunk::Nodes(_) => kind::NODES,
        Chunk::MoreEdges(_) => kind::MORE_EDGES,
        Chunk::Names(_) => kind::NAMES,
        Chunk::Flags(_) => kind::FLAGS,
        Chunk::Facts(_) => kind::FACTS,
        Chunk::Skipped(_) => kind::SKIPPED,
        Chunk::End => kind::END,
    }
}

/// Replaces `nodes` by the [`kind::NODES`] chunk that `bytes` hold; as [`decode`], but with the columns still in
/// rows, and `nodes`' memory used again.
///
/// # Errors
/// As [`decode`]; `nodes` is then in part overwritten.
pub fn decode_nodes_into(bytes: &[u8], nodes: &mut PackedNodes) -> Result<(), Malformed> {
    let mut source = Source::new(bytes, name(kind::NODES));
    nodes::nodes_into(&mut source, nodes)?;
    source.end()
}

/// Appends a chunk's bytes, without its kind. Texts over 1 MiB are cut, and labels of a shape over 65,536.
///
/// # Panics
/// Where the columns of a [`crate::NodeChunk`] differ in length, or it is larger than its capacity.
pub fn encode(chunk: &Chunk, out: &mut Vec<u8>) {
    match chunk {
        Chunk::Process(facts) | Chunk::Facts(facts) => facts::put_facts(facts, out),
        Chunk::Strings(strings) => rows::put_strings(strings, out),
        Chunk::Types(types) => rows::put_types(types, out),
        Chunk::Shapes(shapes) => rows::put_shapes(shapes, out),
        Chunk::Nodes(nodes) => nodes::put_nodes(nodes, out),
        Chunk::MoreEdges(more) => rows::put_more_edges(more, out),
        Chunk::Names(names) => rows::put_names(names, out),
        Chunk::Flags(flags) => rows::put_flags(flags, out),
        Chunk::Skipped(skipped) => facts::put_skipped(skipped, out),
        Chunk::End => {}
    }
}

/// The chunk of this kind that `bytes` hold.
///
/// # Errors
/// [`Malformed`] for every input that no writer makes; allocates at most a small multiple of `bytes`.
pub fn decode(kind: u8, bytes: &[u8]) -> Result<Chunk, Malformed> {
    let mut source = Source::new(bytes, name(kind));
    let chunk = match kind {
        kind::PROCESS => Chunk::Process(facts::facts(&mut source)?),
        kind::STRINGS => Chunk::Strings(rows::strings(&mut source)?),
        kind::TYPES => Chunk::Types(rows::types(&mut source)?),
        kind::SHAPES => Chunk::Shapes(rows::shapes(&mut source)?),
        kind::NODES => {
            let mut nodes = PackedNodes::default();
            nodes::nodes_into(&mut source, &mut nodes)?;
            Chunk::Nodes(nodes.unpack())
        }
        kind::MORE_EDGES => Chunk::MoreEdges(rows::more_edges(&mut source)?),
        kind::NAMES => Chunk::Names(rows::names(&mut source)?),
        kind::FLAGS => Chunk::Flags(rows::flags(&mut source)?),
        kind::FACTS => Chunk::Facts(facts::facts(&mut source)?),
        kind::SKIPPED => Chunk::Skipped(facts::skipped(&mut source)?),
        kind::END => Chunk::End,
        other => return Err(Malformed::Kind(other)),
    };
    source.end()?;
    Ok(chunk)
}

/// What a chunk of this kind holds, in the plural, for messages.
pub fn name(kind: u8) -> &'static str {
    match kind {
        kind::PROCESS => "process facts",
        kind::STRINGS => "strings",
        kind::TYPES => "types",
        kind::SHAPES => "shapes",
        kind::NODES => "nodes",
        kind::MORE_EDGES => "further edges",
        kind::NAMES => "names of nodes",
        kind::FLAGS => "late flags",
        kind::FACTS => "facts",
        kind::SKIPPED => "skipped counts",
        kind::END => "end marks",
        kind::FILE_END => "end of the file",
        kind::RECORDING => "facts of the recording",
        kind::TASK => "facts of a process",
        kind::TEXTS => "texts",
        kind::FRAMES => "frames of stacks",
        kind::STACK_NODES => "stacks",
        kind::SLICE => "slices",
        kind::READINGS => "readings",
        kind::PEAK => "high-water marks",
        kind::SIZES => "sizes",
        kind::STATUS => "status facts",
        kind::TASK_END => "ends of processes",
        kind::EVENTS => "events",
        kind::INHERITED => "inherited blocks",
        _ => "unknown rows",
    }
}
