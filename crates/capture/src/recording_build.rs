//! The chunks of a recording to its tables, as they come.
//!
//! Checks what can be checked chunk by chunk; ids are checked by `recording_seal`. A gap left by lost chunks is filled
//! with rows that stand for what was lost, so that later ids keep their meaning.

use std::collections::{BTreeMap, HashMap};

use heapray_wire::{
    ChunkHeader, EventRow, Fact, FrameRow, Inherited, LiveRow, NO_NODE, Peak, RecordingChunk, Slice, StackRow,
};

use crate::recording::{Recording, Task};

/// Frame of nodes that stand for lost ones, until `recording_seal` gives them one.
pub(crate) const LOST_FRAME: u32 = u32::MAX;

/// Most rows for which one byte of the file may stand: bounds what a crafted file can cost.
const LOST_ROWS_PER_BYTE: u64 = 16;

/// Status facts that are kept before names that came twice are dropped.
const MANY_FACTS: usize = 256;

/// A recording that still grows.
#[derive(Debug, Default)]
pub(crate) struct Builder {
    /// Texts, frames, nodes and facts.
    pub(crate) recording: Recording,
    pub(crate) tasks: BTreeMap<u16, Growing>,
    /// Begin and end of slices, where any process gave them.
    pub(crate) slice_times: Vec<Option<(u64, u64)>>,
    /// The facts of the recording were seen.
    pub(crate) begun: bool,
    /// Another recording follows in the same file: no more is taken.
    another: bool,
    /// Frames of the file that are missing so far.
    pub(crate) missing_frames: u64,
    pub(crate) lost: Lost,
}

/// A process that still grows.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    pub(crate) task: Task,
    /// Its facts were seen.
    pub(crate) begun: bool,
}

/// What was lost, in counts.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    pub(crate) texts: u64,
    pub(crate) frames: u64,
    pub(crate) nodes: u64,
    pub(crate) times: u64,
    pub(crate) event_nodes: u64,
}

impl Builder {
    /// Whether anything was taken.
    pub(crate) fn is_empty(&self) -> bool {
        !self.begun && self.tasks.is_empty()
    }

    fn task(&mut self, process: u16) -> &mut Task {
        let growing = self.tasks.entry(process).or_default();
        growing.task.number = process.into();
        &mut growing.task
    }

    /// Whether a frame still belongs to this recording. Errors say why it is left out.
    pub(crate) fn takes(&self) -> Result<(), &'static str> {
        if self.another { Err("belongs to another recording") } else { Ok(()) }
    }

    /// Takes a chunk and its bytes, whose frame begins at `at` in the file. Errors say why it is left out.
    pub(crate) fn chunk(
        &mut self,
        (chunk, raw): (RecordingChunk, &[u8]),
        header: &ChunkHeader,
        at: u64,
    ) -> Result<(), &'static str> {
        let (process, first) = (header.process, header.first);
        match chunk {
            RecordingChunk::Recording(_) if self.begun => {
                self.another = true;
                return Err("begins another recording");
            }
            RecordingChunk::Recording(facts) => {
                self.begun = true;
                self.recording.facts.extend(facts);
            }
            RecordingChunk::Task(facts) => {
                self.task(process).facts.extend(facts);
                self.tasks.entry(process).or_default().begun = true;
            }
            RecordingChunk::Texts(rows) => {
                let gap = self.gap(self.recording.texts.len(), first, self.lost.texts, at)?;
                self.lost.texts += gap as u64;
                self.recording.texts.extend(std::iter::repeat_n(Box::from("<lost>"), gap));
                self.recording.texts.extend(rows.into_iter().map(String::into_boxed_str));
            }
            RecordingChunk::Frames(rows) => {
                let gap = self.gap(self.recording.frames.len(), first, self.lost.frames, at)?;
                self.lost.frames += gap as u64;
                self.recording.frames.extend(std::iter::repeat_n(FrameRow::LOST, gap));
                self.recording.frames.extend(rows);
            }
            RecordingChunk::Nodes(rows) => {
                let gap = self.gap(self.recording.nodes.len(), first, self.lost.nodes, at)?;
                self.lost.nodes += gap as u64;
                let lost = StackRow { parent: NO_NODE, frame: LOST_FRAME };
                self.recording.nodes.extend(std::iter::repeat_n(lost, gap));
                self.recording.nodes.extend(rows);
            }
            RecordingChunk::Slice(slice) => self.slice((&slice, raw), process)?,
            RecordingChunk::Readings(rows) => self.task(process).readings.extend(rows),
            RecordingChunk::Peak(peak) => peak_part(&mut self.task(process).peak, peak, first)?,
            RecordingChunk::Sizes(rows) => self.task(process).sizes = rows,
            RecordingChunk::Status(facts) => status(&mut self.task(process).status, facts),
            RecordingChunk::End(end) => self.task(process).end = Some(end),
            // Events go to `events`.
            RecordingChunk::Events(_) => {}
            RecordingChunk::Inherited(rows) => {
                inherited_part(&mut self.task(process).inherited, rows, first)?;
            }
        }
        Ok(())
    }

    /// Rows that are lost between the `have` that are there and the chunk's `first`, as far as the frames that are
    /// missing can have held them, `filled` of which are filled already.
    fn gap(&self, have: usize, first: u32, filled: u64, at: u64) -> Result<usize, &'static str> {
        let rows = u64::from(first).checked_sub(have as u64).ok_or("repeats ids that were given before")?;
        let most = self.missing_frames.saturating_mul(RecordingChunk::MAX_ROWS as u64);
        if rows + filled > most.min(at.saturating_mul(LOST_ROWS_PER_BYTE)) && rows > 0 {
            return Err("leaves out more ids than were lost");
        }
        Ok(rows as usize)
    }

    fn slice(&mut self, (slice, raw): (&Slice, &[u8]), process: u16) -> Result<(), &'static str> {
        let index = slice.index as usize;
        if index >= self.slice_times.len() {
            self.slice_times.resize(index + 1, None);
        }
        let time = (slice.start_ns, slice.end_ns);
        if *self.slice_times[index].get_or_insert(time) != time {
            self.lost.times += 1;
        }
        self.task(process).slices.push(slice, raw)
    }

    /// Counts events and drops what they say of nodes that are not there.
    pub(crate) fn events(&mut self, rows: &mut [EventRow], process: u16) {
        let n_nodes = self.recording.nodes.len() as u64;
        let lost = rows.iter_mut().filter(|row| u64::from(row.node) >= n_nodes && row.node != NO_NODE);
        self.lost.event_nodes += lost.map(|row| row.node = NO_NODE).count() as u64;
        self.task(process).n_events += rows.len() as u64;
    }

    /// Counts events that nobody wants to read.
    pub(crate) fn events_unread(&mut self, header: &ChunkHeader) {
        self.task(header.process).n_events += u64::from(header.first);
    }

    pub(crate) fn keep(&mut self, rows: &[EventRow], process: u16) {
        self.task(process).events.extend_from_slice(rows);
    }
}

/// Begins a high-water mark, or goes on with it.
fn peak_part(current: &mut Option<Peak>, part: Peak, first: u32) -> Result<(), &'static str> {
    match current {
        _ if first == 0 => *current = Some(part),
        Some(peak) if peak.t_ns == part.t_ns => continue_rows(&mut peak.rows, part.rows, first)?,
        _ => return Err("goes on with a high-water mark that is lost"),
    }
    Ok(())
}

fn inherited_part(current: &mut Option<Inherited>, part: Inherited, first: u32) -> Result<(), &'static str> {
    match current {
        _ if first == 0 => *current = Some(part),
        Some(inherited) => continue_rows(&mut inherited.rows, part.rows, first)?,
        None => return Err("goes on with inherited blocks that are lost"),
    }
    Ok(())
}

fn continue_rows(rows: &mut Vec<LiveRow>, more: Vec<LiveRow>, first: u32) -> Result<(), &'static str> {
    if rows.len() as u64 != u64::from(first) {
        return Err("goes on with rows that are lost");
    }
    rows.extend(more);
    Ok(())
}

fn status(facts: &mut Vec<Fact>, more: Vec<Fact>) {
    facts.extend(more);
    if facts.len() > MANY_FACTS {
        keep_last(facts);
    }
}

/// Keeps of facts with the same name the last one, in the order in which names first came.
pub(crate) fn keep_last(facts: &mut Vec<Fact>) {
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut kept: Vec<Fact> = Vec::new();
    for fact in facts.drain(..) {
        match places.get(&fact.name) {
            Some(place) => kept[*place] = fact,
            None => {
                places.insert(fact.name.clone(), kept.len());
                kept.push(fact);
            }
        }
    }
    *facts = kept;
}
