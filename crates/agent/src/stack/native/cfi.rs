//! Call frame information: how a frame at some instruction leads to its caller's.
//!
//! Reads `.eh_frame` by way of `.eh_frame_hdr` in place. Of the registers only the stack pointer, the frame pointer and the
//! return address are followed, which is all that compilers let canonical frame addresses depend on, but for expressions of
//! two known forms. What is not understood is no rule, never a wrong one.

use crate::arch::{DWARF_FRAME_POINTER, DWARF_RETURN_ADDRESS, DWARF_STACK_POINTER};
use crate::stack::native::bytes::Bytes;
use crate::stack::peek::Peek;

/// Where the canonical frame address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cfa {
    /// Behind the stack pointer.
    Stack(i32),
    /// Behind the frame pointer.
    Frame(i32),
    /// In the word at so far behind the frame pointer (functions that align their stack).
    InFrame(i32),
    /// Behind the stack pointer, a word further from so far in 16 bytes of code on (procedure linkage tables).
    Linkage(u8),
    /// The frame of a signal's return: the kernel's record lies at the stack pointer.
    Signal,
}

/// Where a register's value in the caller is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the register.
    Same,
    /// In memory, so far behind the canonical frame address.
    Saved(i32),
    /// In memory, so far behind the frame pointer.
    InFrame(i32),
    /// Nowhere: there is no caller.
    Undefined,
}

/// How to get from a frame to its caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) cfa: Cfa,
    pub(crate) frame_pointer: Place,
    pub(crate) return_address: Place,
}

/// The rule for the instruction at `pc` in an object whose `.eh_frame_hdr` is at `header` and whose memory ends at `end`.
pub(crate) fn rule(peek: Peek, (header, end): (u64, u64), pc: u64) -> Option<Rule> {
    let entry = find(peek, (header, end), pc)?;
    let mut description = section(peek, entry, end)?;
    let id_at = description.at;
    let common = id_at.checked_sub(description.u32()?.into())?;
    let common = Common::read(peek, common, end)?;
    let start = description.pointer(common.pointers)?;
    let len = description.pointer(common.pointers & 15)?;
    if !(start..start.checked_add(len)?).contains(&pc) {
        return None;
    }
    if common.is_augmented {
        let n_bytes = description.uleb()?;
        description.take(n_bytes)?;
    }
    if common.is_signal {
        return Some(Rule { cfa: Cfa::Signal, frame_pointer: Place::Same, return_address: Place::Same });
    }
    let mut machine = Machine::new(&common);
    machine.run(common.instructions, (start, u64::MAX))?;
    machine.initial = machine.row;
    machine.run(description, (start, pc))?;
    machine.row.rule()
}

/// The address of the entry that is the last to begin at or before `pc`, by the sorted table of the header.
fn find(peek: Peek, (header, end): (u64, u64), pc: u64) -> Option<u64> {
    // Version 1; pointer to `.eh_frame` of four bytes; count of four bytes; pairs of four bytes relative to the header.
    let mut bytes = Bytes::new(peek, header, end);
    let [version, pointer, count, table] = [bytes.u8()?, bytes.u8()?, bytes.u8()?, bytes.u8()?];
    if version != 1 || !matches!(pointer & 15, 3 | 11) || count != 3 || table != 0x3b {
        return None;
    }
    bytes.u32()?;
    let n_entries = u64::from(bytes.u32()?);
    let first = bytes.at;
    bytes.take(n_entries.checked_mul(8)?)?;
    let relative = |at: u64| header.wrapping_add(i64::from(peek.int(at).cast_signed()).cast_unsigned());
    let (mut low, mut high) = (0, n_entries);
    while low < high {
        let middle = low + (high - low) / 2;
        match relative(first + middle * 8) <= pc {
            true => low = middle + 1,
            false => high = middle,
        }
    }
    let entry = relative(first + low.checked_sub(1)? * 8 + 4);
    (entry < end).then_some(entry)
}

/// The body of the entry at `at`, after its length.
fn section(peek: Peek, at: u64, end: u64) -> Option<Bytes> {
    let mut bytes = Bytes::new(peek, at, end);
    let len = bytes.u32()?;
    // 0 ends the section, all ones say that a longer length follows, which nobody writes.
    if len == 0 || len == u32::MAX {
        return None;
    }
    bytes.take(len.into())
}

/// What entries have in common (`CIE`).
struct Common {
    code_alignment: u64,
    data_alignment: i64,
    return_address: u64,
    pointers: u8,
    is_augmented: bool,
    is_signal: bool,
    instructions: Bytes,
}

impl Common {
    fn read(peek: Peek, at: u64, end: u64) -> Option<Common> {
        let mut bytes = section(peek, at, end)?;
        let id = bytes.u32()?;
        let version = bytes.u8()?;
        if id != 0 || !matches!(version, 1 | 3) {
            return None;
        }
        let mut letters = bytes;
        while bytes.u8()? != 0 {}
        let code_alignment = bytes.uleb()?;
        let data_alignment = bytes.sleb()?;
        let return_address = if version == 1 { bytes.u8()?.into() } else { bytes.uleb()? };
        let mut common = Common {
            code_alignment,
            data_alignment,
            return_address,
            pointers: 0,
            is_augmented: false,
            is_signal: false,
            instructions: bytes,
        };
        common.augment(&mut letters)?;
        Some(common)
    }

    /// Takes up what the letters of the augmentation announce.
    fn augment(&mut self, letters: &mut Bytes) -> Option<()> {
        let mut data = None;
        loop {
            match (letters.u8()?, &mut data) {
                (0, _) => return Some(()),
                (b'z', None) => {
                    let n_bytes = self.instructions.uleb()?;
                    data = Some(self.instructions.take(n_bytes)?);
                    self.is_augmented = true;
                }
                (b'R', Some(data)) => self.pointers = data.u8()?,
                (b'L', Some(data)) => _ = data.u8()?,
                (b'P', Some(data)) => {
                    let encoding = data.u8()?;
                    data.pointer(encoding & 15)?;
                }
                (b'S', _) => self.is_signal = true,
                (b'B', _) => {}
                _ => return None,
            }
        }
    }
}

/// A row of the table that the instructions unroll. What is not understood stands as `None`.
#[derive(Clone, Copy)]
struct Row {
    cfa: Option<Cfa>,
    frame_pointer: Option<Place>,
    return_address: Option<Place>,
}

impl Row {
    fn rule(&self) -> Option<Rule> {
        let (frame_pointer, return_address) = (self.frame_pointer?, self.return_address?);
        // Where there is no caller, the rest need not be understood.
        let cfa = match return_address {
            Place::Undefined => self.cfa.unwrap_or(Cfa::Stack(0)),
            _ => self.cfa?,
        };
        Some(Rule { cfa, frame_pointer, return_address })
    }
}

/// Rows that may be remembered at a time.
const REMEMBERED_MAX: usize = 16;

struct Machine {
    code_alignment: u64,
    data_alignment: i64,
    return_address: u64,
    pointers: u8,
    row: Row,
    initial: Row,
    remembered: [Row; REMEMBERED_MAX],
    n_remembered: usize,
}

impl Machine {
    fn new(common: &Common) -> Machine {
        let row = Row { cfa: None, frame_pointer: Some(Place::Same), return_address: Some(Place::Same) };
        Machine {
            code_alignment: common.code_alignment,
            data_alignment: common.data_alignment,
            return_address: common.return_address,
            pointers: common.pointers,
            row,
            initial: row,
            remembered: [row; REMEMBERED_MAX],
            n_remembered: 0,
        }
    }

    /// Runs instructions that begin at location `at` until they pass `pc`. DWARF 5, 6.4.2.
    fn run(&mut self, mut code: Bytes, (mut at, pc): (u64, u64)) -> Option<()> {
        while !code.is_empty() {
            let byte = code.u8()?;
            let low = u64::from(byte & 63);
            let advance = match byte {
                0x40..=0x7f => Some(low),
                0x80..=0xbf => {
                    let place = self.saved(code.uleb()?.cast_signed());
                    self.set(low, place);
                    None
                }
                0xc0..=0xff => {
                    self.restore(low);
                    None
                }
                0x01 => {
                    at = code.pointer(self.pointers)?;
                    Some(0)
                }
                0x02 => Some(code.u8()?.into()),
                0x03 => Some(code.u16()?.into()),
                0x04 => Some(code.u32()?.into()),
                _ => {
                    self.other(byte, &mut code)?;
                    None
                }
            };
            if let Some(n_units) = advance {
                at = at.checked_add(n_units.checked_mul(self.code_alignment)?)?;
                if at > pc {
                    break;
                }
            }
        }
        Some(())
    }

    fn other(&mut self, byte: u8, code: &mut Bytes) -> Option<()> {
        match byte {
            // nop, and the sign of return addresses on aarch64.
            0x00 | 0x2d => {}
            0x05 | 0x11 | 0x2f => {
                let register = code.uleb()?;
                let offset = match byte {
                    0x05 => code.uleb()?.cast_signed(),
                    0x11 => code.sleb()?,
                    _ => code.uleb()?.cast_signed().checked_neg()?,
                };
                let place = self.saved(offset);
                self.set(register, place);
            }
            0x06 => {
                let register = code.uleb()?;
                self.restore(register);
            }
            0x07 => self.set(code.uleb()?, Some(Place::Undefined)),
            0x08 => self.set(code.uleb()?, Some(Place::Same)),
            // In another register, a value, an expression's value: not followed.
            0x09 | 0x14 => {
                self.set(code.uleb()?, None);
                code.uleb()?;
            }
            0x15 => {
                self.set(code.uleb()?, None);
                code.sleb()?;
            }
            0x0a => {
                *self.remembered.get_mut(self.n_remembered)? = self.row;
                self.n_remembered += 1;
            }
            0x0b => {
                self.n_remembered = self.n_remembered.checked_sub(1)?;
                self.row = *self.remembered.get(self.n_remembered)?;
            }
            0x0c..=0x0f | 0x12 | 0x13 => self.define(byte, code)?,
            0x10 | 0x16 => {
                let register = code.uleb()?;
                let n_bytes = code.uleb()?;
                let expression = code.take(n_bytes)?;
                self.set(register, if byte == 0x10 { in_frame(expression) } else { None });
            }
            0x2e => _ = code.uleb()?,
            _ => return None,
        }
        Some(())
    }

    /// Instructions that define the canonical frame address.
    fn define(&mut self, byte: u8, code: &mut Bytes) -> Option<()> {
        let behind = |register: u64, offset: i64| {
            let offset = i32::try_from(offset).ok()?;
            match register {
                DWARF_STACK_POINTER => Some(Cfa::Stack(offset)),
                DWARF_FRAME_POINTER => Some(Cfa::Frame(offset)),
                _ => None,
            }
        };
        let factored = |offset: i64| offset.checked_mul(self.data_alignment);
        self.row.cfa = match (byte, self.row.cfa) {
            (0x0c, _) => behind(code.uleb()?, code.uleb()?.cast_signed()),
            (0x12, _) => behind(code.uleb()?, factored(code.sleb()?)?),
            (0x0d, Some(Cfa::Stack(offset) | Cfa::Frame(offset))) => behind(code.uleb()?, offset.into()),
            (0x0d, _) => {
                code.uleb()?;
                None
            }
            (0x0e | 0x13, cfa) => {
                let offset = match byte {
                    0x0e => code.uleb()?.cast_signed(),
                    _ => factored(code.sleb()?)?,
                };
                let offset = i32::try_from(offset).ok()?;
                match cfa {
                    Some(Cfa::Stack(_)) => Some(Cfa::Stack(offset)),
                    Some(Cfa::Frame(_)) => Some(Cfa::Frame(offset)),
                    _ => None,
                }
            }
            _ => {
                let n_bytes = code.uleb()?;
                expression(code.take(n_bytes)?)
            }
        };
        Some(())
    }

    fn saved(&self, offset: i64) -> Option<Place> {
        Some(Place::Saved(i32::try_from(offset.checked_mul(self.data_alignment)?).ok()?))
    }

    fn set(&mut self, register: u64, place: Option<Place>) {
        if register == DWARF_FRAME_POINTER {
            self.row.frame_pointer = place;
        } else if register == self.return_address || register == DWARF_RETURN_ADDRESS {
            self.row.return_address = place;
        }
    }

    fn restore(&mut self, register: u64) {
        let initial = self.initial;
        let place =
            if register == DWARF_FRAME_POINTER { initial.frame_pointer } else { initial.return_address };
        self.set(register, place);
    }
}

const OP_DEREF: u8 = 0x06;
/// `DW_OP_breg0`: a register by number, and an offset.
const OP_BREG: u8 = 0x70;

/// An address so far behind the frame pointer, alone.
fn in_frame(mut expression: Bytes) -> Option<Place> {
    if u64::from(expression.u8()?) != u64::from(OP_BREG) + DWARF_FRAME_POINTER {
        return None;
    }
    let offset = i32::try_from(expression.sleb()?).ok()?;
    expression.is_empty().then_some(Place::InFrame(offset))
}

/// A canonical frame address of the two forms that linkers and compilers write.
fn expression(mut expression: Bytes) -> Option<Cfa> {
    let register = u64::from(expression.u8()?.checked_sub(OP_BREG)?);
    let offset = i32::try_from(expression.sleb()?).ok()?;
    if register == DWARF_FRAME_POINTER {
        let is_deref = expression.u8()? == OP_DEREF && expression.is_empty();
        return is_deref.then_some(Cfa::InFrame(offset));
    }
    // x86-64's .plt: rsp + 8 + ((rip & 15) >= n) * 8: breg16 0, lit15, and, litN, ge, lit3, shl, plus.
    if register != DWARF_STACK_POINTER
        || offset != 8
        || expression.u8()? != OP_BREG + 16
        || expression.u8()? != 0
    {
        return None;
    }
    let [mask, and, limit] = [expression.u8()?, expression.u8()?, expression.u8()?];
    let rest = [expression.u8()?, expression.u8()?, expression.u8()?, expression.u8()?];
    let is_known = mask == 0x3f && and == 0x1a && rest == [0x2a, 0x33, 0x24, 0x22] && expression.is_empty();
    is_known.then_some(Cfa::Linkage(limit.checked_sub(0x30)?))
}
