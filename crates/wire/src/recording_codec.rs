//! One chunk of a recording to bytes and back, by kind.

use alloc::vec::Vec;

use crate::bytes::Source;
use crate::codec::{kind, name};
use crate::malformed::Malformed;
use crate::recording::{EventRow, RecordingChunk};
use crate::{events, facts, recording_rows, rows};

impl RecordingChunk {
    /// Most rows of one chunk, of a slice of each of its two lists; most events are [`Self::MAX_EVENTS`].
    pub const MAX_ROWS: usize = recording_rows::MAX_ROWS;
    /// Most events of one chunk.
    pub const MAX_EVENTS: usize = events::MAX_EVENTS;

    /// The kind byte.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Recording(_) => kind::RECORDING,
            Self::Task(_) => kind::TASK,
            Self::Texts(_) => kind::TEXTS,
            Self::Frames(_) => kind::FRAMES,
            Self::Nodes(_) => kind::STACK_NODES,
            Self::Slice(_) => kind::SLICE,
            Self::Readings(_) => kind::READINGS,
            Self::Peak(_) => kind::PEAK,
            Self::Sizes(_) => kind::SIZES,
            Self::Status(_) => kind::STATUS,
            Self::End(_) => kind::TASK_END,
            Self::Events(_) => kind::EVENTS,
            Self::Inherited(_) => kind::INHERITED,
        }
    }

    /// Appends the chunk's bytes, without its kind. Texts over 1 MiB are cut, weights that are not finite become 0.
    ///
    /// # Panics
    /// For more rows than a chunk may have, and more buckets than [`crate::SizesRow::N_BUCKETS`].
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Recording(facts) | Self::Task(facts) | Self::Status(facts) => facts::put_facts(facts, out),
            Self::Texts(texts) => rows::put_strings(texts, out),
            Self::Frames(frames) => recording_rows::put_frames(frames, out),
            Self::Nodes(nodes) => recording_rows::put_stacks(nodes, out),
            Self::Slice(slice) => recording_rows::put_slice(slice, out),
            Self::Readings(rows) => recording_rows::put_readings(rows, out),
            Self::Peak(peak) => recording_rows::put_peak(peak, out),
            Self::Sizes(rows) => recording_rows::put_sizes(rows, out),
            Self::End(end) => recording_rows::put_end(end, out),
            Self::Events(rows) => events::put_events(rows, out),
            Self::Inherited(inherited) => recording_rows::put_inherited(inherited, out),
        }
    }

    /// The chunk of this kind that `bytes` hold.
    ///
    /// # Errors
    /// [`Malformed`] for every input that no writer makes; allocates at most a small multiple of `bytes`, or of a
    /// full chunk.
    pub fn decode(kind: u8, bytes: &[u8]) -> Result<Self, Malformed> {
        let mut source = Source::new(bytes, name(kind));
        let chunk = match kind {
            kind::RECORDING => Self::Recording(facts::facts(&mut source)?),
            kind::TASK => Self::Task(facts::facts(&mut source)?),
            kind::TEXTS => Self::Texts(rows::strings(&mut source)?),
            kind::FRAMES => Self::Frames(recording_rows::frames(&mut source)?),
            kind::STACK_NODES => Self::Nodes(recording_rows::stacks(&mut source)?),
            kind::SLICE => Self::Slice(recording_rows::slice(&mut source)?),
            kind::READINGS => Self::Readings(recording_rows::readings(&mut source)?),
            kind::PEAK => Self::Peak(recording_rows::peak(&mut source)?),
            kind::SIZES => Self::Sizes(recording_rows::sizes(&mut source)?),
            kind::STATUS => Self::Status(facts::facts(&mut source)?),
            kind::TASK_END => Self::End(recording_rows::end(&mut source)?),
            kind::EVENTS => {
                let mut rows = Vec::new();
                events::events_into(&mut source, &mut rows)?;
                Self::Events(rows)
            }
            kind::INHERITED => Self::Inherited(recording_rows::inherited(&mut source)?),
            other => return Err(Malformed::Kind(other)),
        };
        source.end()?;
        Ok(chunk)
    }
}

/// Replaces `rows` by the [`kind::EVENTS`] chunk that `bytes` hold, so that a reader uses its memory again.
///
/// # Errors
/// As [`RecordingChunk::decode`]; `rows` are then in part overwritten.
pub fn decode_events_into(bytes: &[u8], rows: &mut Vec<EventRow>) -> Result<(), Malformed> {
    let mut source = Source::new(bytes, name(kind::EVENTS));
    events::events_into(&mut source, rows)?;
    source.end()
}
