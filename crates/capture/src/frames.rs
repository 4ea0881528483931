//! Bytes, as they come, to frames with a right checksum; finds the next frame after damage.
//!
//! Keeps at most one frame and one pushed piece in memory. Knows nothing of what a frame holds.

use heapray_wire::{ChunkHeader, FORMAT_VERSION, FileHeader, MAGIC, SYNC};

use crate::error::CaptureError;
use crate::foreign;
use crate::tables::Loss;

/// Pushed bytes are taken in pieces of this size, so that a caller may push a whole file at once.
const PIECE: usize = 1 << 16;

/// First bytes that are looked at to name a foreign file.
const HEAD: usize = 64;

/// How many damaged frames are searched for whole ones inside; later ones are skipped by their stated length.
/// Bounds the time that a crafted file can cost.
const RESCANS: u32 = 64;

/// Receives frames and losses in file order.
pub(crate) trait Frames {
    /// A frame whose checksum is right, the offset of its first byte, and its payload as stored.
    fn frame(&mut self, at: u64, header: &ChunkHeader, payload: &[u8]);
    /// Bytes that are no frame.
    fn loss(&mut self, loss: Loss);
}

/// The splitter.
#[derive(Debug)]
pub(crate) struct Splitter {
    file: String,
    /// Bytes not yet consumed; `pending[0]` is at `offset` of the file.
    pending: Vec<u8>,
    offset: u64,
    started: bool,
    /// Where the damage that is being skipped began, and what it is.
    damage: Option<(u64, String)>,
    rescans_left: u32,
}

impl Splitter {
    pub(crate) fn new(file: String) -> Self {
        Self { file, pending: Vec::new(), offset: 0, started: false, damage: None, rescans_left: RESCANS }
    }

    /// Takes the next bytes of the file.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut impl Frames) -> Result<(), CaptureError> {
        for piece in bytes.chunks(PIECE) {
            self.pending.extend_from_slice(piece);
            if !self.started && self.pending.len() >= HEAD {
                self.start(out)?;
            }
            if self.started {
                self.split(out);
            }
        }
        Ok(())
    }

    /// The file is over: names what is left.
    pub(crate) fn finish(mut self, out: &mut impl Frames) -> Result<u64, CaptureError> {
        if !self.started {
            self.start(out)?;
            self.split(out);
        }
        // A frame that claims more than there is may hide whole ones behind it.
        while self.pending.len() >= ChunkHeader::BYTES && self.rescans_left > 0 {
            self.rescans_left -= 1;
            self.damaged("a frame is cut off");
            self.consume(1);
            self.split(out);
        }
        if !self.pending.is_empty() {
            self.damaged("a frame is cut off");
        }
        let end = self.offset + self.pending.len() as u64;
        self.recovered(end, out);
        Ok(end)
    }

    /// Reads the file header.
    fn start(&mut self, out: &mut impl Frames) -> Result<(), CaptureError> {
        self.started = true;
        let head = &self.pending[..self.pending.len().min(HEAD)];
        let Some(bytes) = head.first_chunk::<{ FileHeader::BYTES }>().filter(|head| head.starts_with(&MAGIC))
        else {
            return Err(self.foreign(head));
        };
        match FileHeader::from_bytes(bytes, crc32fast::hash) {
            Some(header) if header.min_reader > FORMAT_VERSION => {
                return Err(CaptureError::Newer {
                    file: self.file.clone(),
                    version: header.version,
                    needs: header.min_reader,
                    reads: FORMAT_VERSION,
                });
            }
            Some(_) => {}
            None => out.loss(Loss {
                offset: 0,
                what: format!("the file header is damaged; read as format version {FORMAT_VERSION}"),
            }),
        }
        self.consume(FileHeader::BYTES);
        Ok(())
    }

    fn foreign(&self, head: &[u8]) -> CaptureError {
        let cut_off = !head.is_empty() && (MAGIC.starts_with(head) || head.starts_with(&MAGIC));
        let (looks_like, advice) = match cut_off {
            true => ("ends within its header", "make it again, and check that the disk was not full"),
            false => foreign::look(head),
        };
        CaptureError::Foreign { file: self.file.clone(), looks_like, advice }
    }

    /// Hands out all whole frames in `pending`.
    fn split(&mut self, out: &mut impl Frames) {
        let mut at = 0;
        while let Some(bytes) = self.pending[at..].first_chunk::<{ ChunkHeader::BYTES }>() {
            let Some(header) = ChunkHeader::from_bytes(bytes, crc32fast::hash) else {
                damaged(&mut self.damage, self.offset + at as u64, "no frame begins where one should");
                at += 1 + to_sync(&self.pending[at + 1..]);
                continue;
            };
            let from = at + ChunkHeader::BYTES;
            let Some(payload) = self.pending[from..].get(..header.stored_bytes as usize) else { break };
            if crc32fast::hash(payload) != header.checksum {
                let what = format!("the checksum of frame {} ({}) is wrong", header.sequence, name(&header));
                damaged(&mut self.damage, self.offset + at as u64, &what);
                at = match self.rescans_left.checked_sub(1) {
                    Some(left) => {
                        self.rescans_left = left;
                        at + 1 + to_sync(&self.pending[at + 1..])
                    }
                    None => from + payload.len(),
                };
                continue;
            }
            let offset = self.offset + at as u64;
            if let Some((from, what)) = self.damage.take() {
                out.loss(skipped(from, offset, &what));
            }
            out.frame(offset, &header, payload);
            at = from + payload.len();
        }
        self.consume(at);
    }

    fn damaged(&mut self, what: &str) {
        damaged(&mut self.damage, self.offset, what);
    }

    /// Reports the damage, if any, that ends at `end`.
    fn recovered(&mut self, end: u64, out: &mut impl Frames) {
        if let Some((from, what)) = self.damage.take() {
            out.loss(skipped(from, end, &what));
        }
    }

    fn consume(&mut self, n: usize) {
        self.pending.drain(..n);
        self.offset += n as u64;
    }
}

fn name(header: &ChunkHeader) -> &'static str {
    heapray_wire::name(header.kind)
}

fn damaged(damage: &mut Option<(u64, String)>, offset: u64, what: &str) {
    if damage.is_none() {
        *damage = Some((offset, what.to_owned()));
    }
}

fn skipped(from: u64, to: u64, what: &str) -> Loss {
    Loss { offset: from, what: format!("{what}; {} bytes skipped", to - from) }
}

/// How many bytes to the next place where a frame may begin; leaves the last bytes where they may begin a mark.
fn to_sync(bytes: &[u8]) -> usize {
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|byte| *byte == SYNC[0]) {
        at += next;
        let rest = &bytes[at..];
        if rest.starts_with(&SYNC) || SYNC.starts_with(rest) {
            return at;
        }
        at += 1;
    }
    bytes.len()
}
