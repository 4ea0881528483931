//! What the cells of a ring say: one record is one or more cells of two words, the first of which has a tag.
//!
//! `a = tag << 56 | low 56 bits`. The agent encodes with the functions here; the collector decodes with
//! [`decode`], which trusts nothing: an unknown tag or a record that is cut is an error and nothing else.

use alloc::vec::Vec;

pub use super::allocator::Allocator;
pub use super::cell_error::CellError;
use crate::ring::{CELL_BYTES, MAX_PAYLOAD_BYTES};

/// A cell as both sides copy it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Cell {
    /// First word: tag and 56 bits.
    pub a: u64,
    /// Second word.
    pub b: u64,
}

/// Tag of [`Record::Free`].
pub const TAG_FREE: u8 = 0x01;
/// Tag of [`Record::Unmap`].
pub const TAG_UNMAP: u8 = 0x02;
/// Tag of [`Record::Temporary`].
pub const TAG_TEMPORARY: u8 = 0x03;
/// Tag of [`Record::Node`].
pub const TAG_NODE: u8 = 0x05;
/// Tag of [`Record::Code`].
pub const TAG_CODE: u8 = 0x06;
/// Tag of [`Record::Text`].
pub const TAG_TEXT: u8 = 0x07;
/// Tag of [`Record::Object`].
pub const TAG_OBJECT: u8 = 0x08;
/// Tag of [`Record::Forking`].
pub const TAG_FORKING: u8 = 0x09;
/// Tag of [`Record::Lost`].
pub const TAG_LOST: u8 = 0x0a;
/// Tag of [`Record::State`].
pub const TAG_STATE: u8 = 0x0b;
/// Tag of [`Record::Ending`].
pub const TAG_ENDING: u8 = 0x0c;
/// Tag of [`Record::Border`].
pub const TAG_BORDER: u8 = 0x0d;
/// Tag of an allocation of less than 4 GiB, plus the allocator.
pub const TAG_ALLOC: u8 = 0x10;
/// Tag of a larger allocation, plus the allocator.
pub const TAG_ALLOC_LARGE: u8 = 0x20;
/// Tag of a sample, plus the allocator.
pub const TAG_SAMPLE: u8 = 0x30;

/// The low 56 bits of a first word. User-space addresses have at most 56 bits (five-level tables of x86-64).
pub const LOW_MASK: u64 = (1 << 56) - 1;
/// The parent of a node that has none.
pub const NO_PARENT: u32 = u32::MAX;
/// The node of which nothing is known; never sent.
pub const UNKNOWN_NODE: u32 = 0;

/// What a node of the stack tree is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum NodeKind {
    /// A thread: `a` is its number, `b` the text id of its name or 0. Always a root.
    Thread = 1,
    /// A Python frame: `a` is the code id, `b` the byte offset of the instruction (`i32`, -1 unknown).
    Python = 2,
    /// A native frame: `a` is the instruction pointer.
    Native = 3,
    /// A label of the program's: `a` is a text id.
    Tag = 4,
    /// What is above is missing: `a` is the [`CutReason`].
    Cut = 5,
    /// The native part of the stack is missing from here on: `a` is the [`CutReason`].
    NativeCut = 6,
    /// What runs further in is a native thread, which was started where the frames further out are: `a` is 1 where another native
    /// thread did that, which was started there itself, and 0 elsewhere.
    Start = 7,
}

impl NodeKind {
    /// The kind of a number in a cell.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Thread,
            2 => Self::Python,
            3 => Self::Native,
            4 => Self::Tag,
            5 => Self::Cut,
            6 => Self::NativeCut,
            7 => Self::Start,
            _ => return None,
        })
    }
}

/// Why a stack is not whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
pub enum CutReason {
    /// The thread has no Python state: a native thread.
    NoPythonState = 1,
    /// More frames than are recorded.
    TooDeep = 2,
    /// More different stacks than are recorded.
    TreeFull = 3,
    /// The interpreter was changing the stack at this moment.
    Torn = 4,
    /// The thread's stack belongs to somebody else.
    ForeignThread = 5,
    /// Frames of a recursion are missing just here, further in than the mark: there were too many different stacks.
    Recursion = 6,
}

/// How a code object's line table is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum LineTableKind {
    /// Pairs of deltas (3.10).
    Deltas = 0,
    /// Locations with columns (3.11+).
    Locations = 1,
}

/// One record of a ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// A block was given (exact mode).
    Alloc {
        /// Which function gave it.
        allocator: Allocator,
        /// Its address.
        ptr: u64,
        /// Where: a node of the tree.
        node: u32,
        /// Bytes asked for.
        size: u64,
    },
    /// A block was given and sampled.
    Sample {
        /// Which function gave it.
        allocator: Allocator,
        /// Its address.
        ptr: u64,
        /// Where: a node of the tree.
        node: u32,
        /// Bytes asked for.
        size: u64,
        /// Mean distance of samples in bytes when it was drawn.
        interval: u64,
    },
    /// A block was given back. In sampled mode most of these addresses are unknown, and then mean nothing.
    Free {
        /// Its address.
        ptr: u64,
        /// Which family freed it (number of an [`Allocator`]).
        allocator: u8,
    },
    /// A range of addresses was unmapped: part of a mapping, or several.
    Unmap {
        /// First address.
        addr: u64,
        /// Bytes.
        len: u64,
    },
    /// Blocks that were given and given back inside the agent's window.
    Temporary {
        /// Where: a node of the tree.
        node: u32,
        /// Which function gave them.
        allocator: Allocator,
        /// How many.
        n_pairs: u64,
        /// Their bytes, summed.
        bytes: u64,
    },
    /// A node of the stack tree, sent before its first use and after its parent.
    Node {
        /// Its id, from 1.
        id: u32,
        /// Towards the thread; [`NO_PARENT`] for a thread.
        parent: u32,
        /// What it is.
        kind: NodeKind,
        /// First datum of the kind.
        a: u64,
        /// Second datum of the kind.
        b: u64,
    },
    /// A code object, sent before its first node.
    Code {
        /// Its id.
        id: u64,
        /// Line of `def`.
        first_line: u32,
        /// Number of a [`LineTableKind`].
        line_table_kind: u32,
        /// File name (UTF-8, may be damaged).
        filename: Vec<u8>,
        /// Name.
        name: Vec<u8>,
        /// Qualified name; empty where Python has none.
        qualname: Vec<u8>,
        /// Line table.
        linetable: Vec<u8>,
    },
    /// A text, sent before its first use.
    Text {
        /// Its id, from 1.
        id: u64,
        /// Bytes (UTF-8, may be damaged).
        text: Vec<u8>,
    },
    /// A loaded ELF object.
    Object {
        /// What is added to its addresses.
        load_base: u64,
        /// First address of its code.
        start: u64,
        /// First address after its code.
        end: u64,
        /// Path as the loader knows it.
        path: Vec<u8>,
    },
    /// The process forks now; the child's header carries the same mark.
    Forking {
        /// The mark.
        mark: u64,
    },
    /// Events were lost just here.
    Lost {
        /// Allocations.
        n_events: u64,
        /// Frees.
        n_frees: u64,
    },
    /// Recording went on (1) or off (0).
    State {
        /// 1 or 0.
        recording: u64,
    },
    /// The interpreter ends (1): from here on it frees what the program still held. Or it does not (0), as the first such record of a
    /// process says whose interpreter is watched.
    Ending {
        /// 1 or 0.
        ending: u64,
    },
    /// The window was emptied: all that happened until here has been told. A slice may end here.
    Border {
        /// `Control::border` as it was.
        number: u64,
    },
}

/// The first word of a record.
#[inline]
pub const fn word(tag: u8, low: u64) -> u64 {
    (tag as u64) << 56 | low & LOW_MASK
}

/// A first cell.
#[inline]
pub const fn cell(tag: u8, low: u64, b: u64) -> Cell {
    Cell { a: word(tag, low), b }
}

/// An allocation of less than 4 GiB.
#[inline]
pub const fn alloc(allocator: Allocator, ptr: u64, node: u32, size: u32) -> Cell {
    cell(TAG_ALLOC + allocator as u8, ptr, (node as u64) << 32 | size as u64)
}

/// An allocation of any size.
#[inline]
pub const fn alloc_large(allocator: Allocator, ptr: u64, node: u32, size: u64) -> [Cell; 2] {
    [cell(TAG_ALLOC_LARGE + allocator as u8, ptr, (node as u64) << 32), Cell { a: size, b: 0 }]
}

/// A sample.
#[inline]
pub const fn sample(allocator: Allocator, ptr: u64, node: u32, drawn: Drawn) -> [Cell; 2] {
    [cell(TAG_SAMPLE + allocator as u8, ptr, (node as u64) << 32), Cell { a: drawn.size, b: drawn.interval }]
}

/// What a sample was drawn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drawn {
    /// Bytes asked for.
    pub size: u64,
    /// Mean distance of samples, in bytes.
    pub interval: u64,
}

/// A free.
#[inline]
pub const fn free(ptr: u64, allocator: Allocator) -> Cell {
    cell(TAG_FREE, ptr, allocator as u64)
}

/// An unmapped range.
#[inline]
pub const fn unmap(addr: u64, len: u64) -> Cell {
    cell(TAG_UNMAP, addr, len)
}

/// Pairs that were cancelled.
#[inline]
pub const fn temporary(node: u32, allocator: Allocator, n_pairs: u64, bytes: u64) -> [Cell; 2] {
    [cell(TAG_TEMPORARY, node as u64 | (allocator as u64) << 32, n_pairs), Cell { a: bytes, b: 0 }]
}

/// A node of the tree; `data` as [`NodeKind`] says.
#[inline]
pub const fn node(id: u32, parent: u32, kind: NodeKind, data: [u64; 2]) -> [Cell; 2] {
    [cell(TAG_NODE, id as u64, parent as u64 | (kind as u64) << 32), Cell { a: data[0], b: data[1] }]
}

/// The mark of a fork.
#[inline]
pub const fn forking(mark: u64) -> Cell {
    cell(TAG_FORKING, mark, 0)
}

/// Events lost here.
#[inline]
pub const fn lost(n_events: u64, n_frees: u64) -> Cell {
    cell(TAG_LOST, n_events, n_frees)
}

/// Recording on or off.
#[inline]
pub const fn state(recording: u64) -> Cell {
    cell(TAG_STATE, recording, 0)
}

/// The interpreter ends, or is up.
#[inline]
pub const fn ending(ending: u64) -> Cell {
    cell(TAG_ENDING, ending, 0)
}

/// A [`Record::Border`].
pub const fn border(number: u64) -> Cell {
    cell(TAG_BORDER, number, 0)
}

/// Cells that a payload of `n_bytes` takes after the first one.
#[inline]
pub const fn payload_cells(n_bytes: usize) -> usize {
    n_bytes.div_ceil(CELL_BYTES)
}

/// Reads the record at the start of `cells`; answers it and the cells it took.
///
/// # Errors
///
/// [`CellError::Cut`] where the cells end inside it, [`CellError::Unknown`] for a tag that there is not.
pub fn decode(cells: &[Cell]) -> Result<(Record, usize), CellError> {
    let first = *cells.first().ok_or(CellError::Cut { have: 0, need: 1 })?;
    let unknown = CellError::Unknown { a: first.a, b: first.b };
    let (tag, low) = ((first.a >> 56) as u8, first.a & LOW_MASK);
    let second = |n| cells.get(1).copied().ok_or(CellError::Cut { have: cells.len(), need: n });
    let allocator = |number: u64| u8::try_from(number).ok().and_then(Allocator::from_number).ok_or(unknown);
    let node = (first.b >> 32) as u32;
    Ok(match tag {
        TAG_FREE => (Record::Free { ptr: low, allocator: first.b as u8 }, 1),
        TAG_UNMAP => (Record::Unmap { addr: low, len: first.b }, 1),
        TAG_TEMPORARY => {
            let (allocator, bytes) = (allocator(low >> 32)?, second(2)?.a);
            (Record::Temporary { node: low as u32, allocator, n_pairs: first.b, bytes }, 2)
        }
        TAG_NODE => {
            let (kind, data) = (NodeKind::from_number(node).ok_or(unknown)?, second(2)?);
            (Record::Node { id: low as u32, parent: first.b as u32, kind, a: data.a, b: data.b }, 2)
        }
        TAG_CODE | TAG_TEXT | TAG_OBJECT => return decode_payload(cells, first),
        TAG_FORKING => (Record::Forking { mark: low }, 1),
        TAG_LOST => (Record::Lost { n_events: low, n_frees: first.b }, 1),
        TAG_STATE => (Record::State { recording: low }, 1),
        TAG_ENDING => (Record::Ending { ending: low }, 1),
        TAG_BORDER => (Record::Border { number: low }, 1),
        0x10..0x20 => {
            let allocator = allocator(u64::from(tag - TAG_ALLOC))?;
            (Record::Alloc { allocator, ptr: low, node, size: first.b & 0xffff_ffff }, 1)
        }
        0x20..0x30 => {
            let (allocator, size) = (allocator(u64::from(tag - TAG_ALLOC_LARGE))?, second(2)?.a);
            (Record::Alloc { allocator, ptr: low, node, size }, 2)
        }
        0x30..0x40 => {
            let (allocator, drawn) = (allocator(u64::from(tag - TAG_SAMPLE))?, second(2)?);
            (Record::Sample { allocator, ptr: low, node, size: drawn.a, interval: drawn.b }, 2)
        }
        _ => return Err(unknown),
    })
}

fn decode_payload(cells: &[Cell], first: Cell) -> Result<(Record, usize), CellError> {
    let unknown = CellError::Unknown { a: first.a, b: first.b };
    let n_bytes = usize::try_from(first.b).ok().filter(|n| *n <= 2 * MAX_PAYLOAD_BYTES).ok_or(unknown)?;
    let need = 1 + payload_cells(n_bytes);
    let body = cells.get(1..need).ok_or(CellError::Cut { have: cells.len(), need })?;
    let mut bytes: Vec<u8> =
        body.iter().flat_map(|cell| cell.a.to_le_bytes().into_iter().chain(cell.b.to_le_bytes())).collect();
    bytes.truncate(n_bytes);
    let id = first.a & LOW_MASK;
    let mut rest = Payload(&bytes);
    let record = match (first.a >> 56) as u8 {
        TAG_TEXT => Some(Record::Text { id, text: bytes }),
        TAG_CODE => rest.code(id),
        _ => rest.object(id),
    };
    record.map(|record| (record, need)).ok_or(unknown)
}

/// The part of a payload that is not read yet.
struct Payload<'a>(&'a [u8]);

impl Payload<'_> {
    fn u32(&mut self) -> Option<u32> {
        let (word, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        Some(u32::from_le_bytes(*word))
    }

    fn u64(&mut self) -> Option<u64> {
        let (word, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*word))
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let n_bytes = self.u32()? as usize;
        let (text, rest) = self.0.split_at_checked(n_bytes)?;
        self.0 = rest;
        Some(text.to_vec())
    }

    fn code(&mut self, id: u64) -> Option<Record> {
        Some(Record::Code {
            id,
            first_line: self.u32()?,
            line_table_kind: self.u32()?,
            filename: self.text()?,
            name: self.text()?,
            qualname: self.text()?,
            linetable: self.text()?,
        })
    }

    fn object(&mut self, load_base: u64) -> Option<Record> {
        Some(Record::Object { load_base, start: self.u64()?, end: self.u64()?, path: self.text()? })
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    fn check(cells: &[Cell], record: Record) {
        assert_eq!(decode(cells), Ok((record, cells.len())));
        let need = cells.len();
        assert_eq!(decode(&cells[..need - 1]), Err(CellError::Cut { have: need - 1, need }));
    }

    fn payload(tag: u8, low: u64, bytes: &[u8]) -> Vec<Cell> {
        let mut cells = vec![cell(tag, low, bytes.len() as u64)];
        for chunk in bytes.chunks(16) {
            let mut whole = [0; 16];
            whole[..chunk.len()].copy_from_slice(chunk);
            let whole = u128::from_le_bytes(whole);
            cells.push(Cell { a: whole as u64, b: (whole >> 64) as u64 });
        }
        cells
    }

    #[test]
    fn events_come_back_as_they_were_written() {
        let allocator = Allocator::PythonObject;
        check(
            &[alloc(allocator, 0x7f12_3456_7890, 7, 512)],
            Record::Alloc { allocator, ptr: 0x7f12_3456_7890, node: 7, size: 512 },
        );
        check(
            &alloc_large(Allocator::Mmap, 4096, u32::MAX, 5 << 32),
            Record::Alloc { allocator: Allocator::Mmap, ptr: 4096, node: u32::MAX, size: 5 << 32 },
        );
        check(
            &sample(Allocator::Malloc, 8192, 3, Drawn { size: 100, interval: 65_536 }),
            Record::Sample { allocator: Allocator::Malloc, ptr: 8192, node: 3, size: 100, interval: 65_536 },
        );
        check(&[free(16, Allocator::Calloc)], Record::Free { ptr: 16, allocator: 2 });
        check(&[unmap(4096, 1 << 40)], Record::Unmap { addr: 4096, len: 1 << 40 });
        check(
            &temporary(9, allocator, 1000, 48_000),
            Record::Temporary { node: 9, allocator, n_pairs: 1000, bytes: 48_000 },
        );
    }

    #[test]
    fn places_and_marks_come_back_as_they_were_written() {
        check(
            &node(5, NO_PARENT, NodeKind::Thread, [42, 1]),
            Record::Node { id: 5, parent: NO_PARENT, kind: NodeKind::Thread, a: 42, b: 1 },
        );
        check(&[forking(77)], Record::Forking { mark: 77 });
        check(&[lost(3, 4)], Record::Lost { n_events: 3, n_frees: 4 });
        check(&[state(1)], Record::State { recording: 1 });
        check(&[ending(1)], Record::Ending { ending: 1 });
        check(&[border(9)], Record::Border { number: 9 });
        check(
            &payload(TAG_TEXT, 2, b"a text of more than sixteen bytes"),
            Record::Text { id: 2, text: b"a text of more than sixteen bytes".to_vec() },
        );
    }

    #[test]
    fn code_and_objects_carry_their_texts() {
        let mut bytes = vec![12, 0, 0, 0, 1, 0, 0, 0];
        for text in [&b"app.py"[..], b"f", b"C.f", b"\x80\x01"] {
            bytes.extend((text.len() as u32).to_le_bytes());
            bytes.extend(text);
        }
        check(
            &payload(TAG_CODE, 3, &bytes),
            Record::Code {
                id: 3,
                first_line: 12,
                line_table_kind: 1,
                filename: b"app.py".to_vec(),
                name: b"f".to_vec(),
                qualname: b"C.f".to_vec(),
                linetable: vec![0x80, 1],
            },
        );
        let mut bytes = Vec::new();
        bytes.extend(4096_u64.to_le_bytes());
        bytes.extend(8192_u64.to_le_bytes());
        bytes.extend(4_u32.to_le_bytes());
        bytes.extend(b"/lib");
        check(
            &payload(TAG_OBJECT, 0x55_0000_0000, &bytes),
            Record::Object { load_base: 0x55_0000_0000, start: 4096, end: 8192, path: b"/lib".to_vec() },
        );
    }

    #[test]
    fn nothing_is_believed() {
        for a in [0, word(0xff, 0), word(0x1f, 0), word(TAG_NODE, 0), word(TAG_CODE, 0)] {
            let cells = [Cell { a, b: 5 }, Cell { a: u64::MAX, b: u64::MAX }];
            assert_eq!(decode(&cells), Err(CellError::Unknown { a, b: 5 }), "{a:#x}");
        }
        let huge = Cell { a: word(TAG_TEXT, 1), b: u64::MAX };
        assert!(matches!(decode(&[huge]), Err(CellError::Unknown { .. })));
        assert_eq!(decode(&[]), Err(CellError::Cut { have: 0, need: 1 }));
    }
}
