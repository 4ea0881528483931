//! Call frame information (`.eh_frame`) of the target's loaded objects, read from its memory: one step of unwinding.
//!
//! Exact or nothing: a place without information, an operation that is not known here, an address outside what is mapped
//! answer [`Step::Unknown`], never a guess. Format: Linux Standard Base, "Exception Frames"; DWARF 4, section 6.4.

use std::collections::BTreeMap;

use heapray_cpython::Memory;
use heapray_linux::Mapping;
use heapray_linux::arch::{DWARF_REGISTERS, DWARF_RETURN_ADDRESS, DWARF_STACK_POINTER, Registers};

use crate::cfa::{Reader, Rule, Rules, evaluate};

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
/// `DW_EH_PE_datarel | DW_EH_PE_sdata4`: the only form of table that linkers write.
const TABLE_ENCODING: u8 = 0x3b;
const PCREL_SDATA4: u8 = 0x1b;
/// Longest entry that is read.
const MAX_ENTRY_BYTES: u64 = 1 << 16;

/// A thread's registers at one frame, by their DWARF numbers; `None` where a frame above has not kept it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) registers: [Option<u64>; DWARF_REGISTERS],
    pub(crate) pc: u64,
    /// The address is one that a call returns to, so the call stands before it.
    pub(crate) is_return: bool,
}

/// Where one step leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// To the caller.
    Caller(Box<Frame>),
    /// Nowhere: the thread began here.
    End,
    /// It cannot be told.
    Unknown,
}

/// The loaded objects' frame information.
#[derive(Debug)]
pub(crate) struct FrameInfo<M> {
    /// Code and tables, which do not change.
    pub(crate) memory: M,
    /// Executable mappings by their ends: their beginning, and the first address of their object.
    objects: BTreeMap<u64, (u64, u64)>,
    tables: std::cell::RefCell<BTreeMap<u64, Option<Table>>>,
}

/// The search table of an object (`.eh_frame_hdr`).
#[derive(Clone, Copy, Debug)]
struct Table {
    header: u64,
    entries: u64,
    n_entries: u64,
}

/// What an entry says before its instructions.
struct Entry {
    code_align: u64,
    data_align: i64,
    is_signal: bool,
    first: (u64, u64),
    rest: (u64, u64),
    start: u64,
    len: u64,
}

impl<M: Memory> FrameInfo<M> {
    /// The information of the objects among these mappings.
    pub(crate) fn new(memory: M, mappings: &[Mapping]) -> Self {
        let mut first = 0;
        let mut objects = BTreeMap::new();
        for mapping in mappings.iter().filter(|mapping| mapping.is_file() || mapping.path == "[vdso]") {
            // The beginning of a file is mapped first, and with it its headers.
            if mapping.offset == 0 {
                first = mapping.start;
            }
            if mapping.exec {
                objects.insert(mapping.end, (mapping.start, first));
            }
        }
        Self { memory, objects, tables: std::cell::RefCell::default() }
    }

    /// The frame at which a thread with these registers stands.
    pub(crate) fn first(registers: &Registers) -> Frame {
        Frame {
            registers: registers.dwarf().map(Some),
            pc: registers.instruction_pointer(),
            is_return: false,
        }
    }

    /// One step from `frame` to its caller. `stack` reads a word of the thread's stack.
    pub(crate) fn step(&self, frame: &Frame, stack: &dyn Fn(u64) -> Option<u64>) -> Step {
        self.try_step(frame, stack).unwrap_or(Step::Unknown)
    }

    fn try_step(&self, frame: &Frame, stack: &dyn Fn(u64) -> Option<u64>) -> Option<Step> {
        let place = if frame.is_return { frame.pc.checked_sub(1)? } else { frame.pc };
        let entry = self.entry(place)?;
        let rules = self.rules(&entry, place)?;
        let cfa = match &rules.cfa {
            Rule::Register(register, offset) => {
                frame.registers.get(*register)?.as_ref()?.checked_add_signed(*offset)?
            }
            Rule::Value(code) => evaluate(code, frame, None, stack)?,
            _ => return None,
        };
        let mut caller = frame.clone();
        // What a called function may change is not known to its caller.
        for (number, register) in caller.registers.iter_mut().enumerate() {
            *register = match rules.registers.get(&number) {
                None | Some(Rule::Same) => *register,
                Some(Rule::Undefined) => None,
                Some(Rule::At(offset)) => Some(stack(cfa.checked_add_signed(*offset)?)?),
                Some(Rule::AtValue(code)) => Some(stack(evaluate(code, frame, Some(cfa), stack)?)?),
                Some(Rule::Value(code)) => Some(evaluate(code, frame, Some(cfa), stack)?),
                Some(Rule::Register(..)) => return None,
            };
        }
        if !rules.registers.contains_key(&DWARF_STACK_POINTER) {
            caller.registers[DWARF_STACK_POINTER] = Some(cfa);
        }
        if rules.registers.get(&DWARF_RETURN_ADDRESS) == Some(&Rule::Undefined) {
            return Some(Step::End);
        }
        caller.pc = caller.registers.get(DWARF_RETURN_ADDRESS).copied().flatten()?;
        caller.is_return = !entry.is_signal;
        // Stacks grow down: a step that does not climb would go on for ever.
        let climbs =
            entry.is_signal || caller.registers[DWARF_STACK_POINTER] > frame.registers[DWARF_STACK_POINTER];
        match caller.pc {
            0 => Some(Step::End),
            _ if climbs => Some(Step::Caller(Box::new(caller))),
            _ => None,
        }
    }

    /// The entry that describes the code at `place`.
    fn entry(&self, place: u64) -> Option<Entry> {
        let (_, (start, object)) = self.objects.range(place.checked_add(1)?..).next()?;
        if place < *start {
            return None;
        }
        let table = *self.tables.borrow_mut().entry(*object).or_insert_with(|| self.table(*object));
        let table = table?;
        let word = |n: u64, at: u64| {
            let offset = self.memory.u32(table.entries + 8 * n + at)?;
            table.header.checked_add_signed(i64::from(offset.cast_signed()))
        };
        // The last entry that begins at or before `place`.
        let (mut low, mut high) = (0, table.n_entries);
        while low < high {
            let middle = low.midpoint(high);
            if word(middle, 0)? <= place { low = middle + 1 } else { high = middle }
        }
        let entry = self.parse(word(low.checked_sub(1)?, 4)?)?;
        (entry.start <= place && place - entry.start < entry.len).then_some(entry)
    }

    /// The search table of the object that begins at `base`.
    fn table(&self, base: u64) -> Option<Table> {
        let mem = &self.memory;
        if mem.array(base)? != *b"\x7fELF" {
            return None;
        }
        let (headers, n) = (base.checked_add(mem.u64(base + 32)?)?, u64::from(mem.u16(base + 56)?));
        let header = |n: u64| headers + 56 * n;
        let of = |kind| (0..n).map(header).find(|at| mem.u32(*at) == Some(kind));
        // The first loaded segment tells what is added to addresses.
        let bias = base.wrapping_sub(mem.u64(of(PT_LOAD)? + 16)? / 4096 * 4096);
        let at = bias.wrapping_add(mem.u64(of(PT_GNU_EH_FRAME)? + 16)?);
        // Version, encodings of the pointer to .eh_frame, of the count, and of the table.
        let [version, pointer, count, table]: [u8; 4] = mem.array(at)?;
        let known = version == 1 && pointer == PCREL_SDATA4 && count == 0x03 && table == TABLE_ENCODING;
        known.then_some(Table { header: at, entries: at + 12, n_entries: u64::from(mem.u32(at + 8)?) })
    }

    /// Reads the entry at `at` (FDE) and what it has in common with others (CIE).
    fn parse(&self, at: u64) -> Option<Entry> {
        let mem = &self.memory;
        let end = |at: u64| {
            let len = u64::from(mem.u32(at)?);
            (len != 0 && len < MAX_ENTRY_BYTES).then_some(at + 4 + len)
        };
        let common = (at + 4).checked_sub(u64::from(mem.u32(at + 4)?))?;
        let mut reader = Reader::new(mem, common + 8, end(common)?);
        let version = reader.u8()?;
        let augmentation = reader.text()?;
        let (code_align, data_align) = (reader.uleb()?, reader.sleb()?);
        let return_address = if version == 1 { u64::from(reader.u8()?) } else { reader.uleb()? };
        if return_address != DWARF_RETURN_ADDRESS as u64 || !augmentation.starts_with(b"z") {
            return None;
        }
        let after = reader.uleb()?;
        let after = reader.at().checked_add(after)?;
        let mut encoding = 0;
        for letter in &augmentation[1..] {
            match letter {
                b'R' => encoding = reader.u8()?,
                b'P' => {
                    // The pointer to the personality routine, which is not wanted; only its length.
                    let kind = reader.u8()?;
                    reader.skip(match kind & 0x0f {
                        0x00 | 0x04 | 0x0c => 8,
                        0x03 | 0x0b => 4,
                        _ => return None,
                    })?;
                }
                b'L' => drop(reader.u8()?),
                b'S' | b'B' => {}
                _ => return None,
            }
        }
        if encoding != PCREL_SDATA4 {
            return None;
        }
        let start = (at + 8).checked_add_signed(i64::from(mem.u32(at + 8)?.cast_signed()))?;
        let mut own = Reader::new(mem, at + 16, end(at)?);
        let skipped = own.uleb()?;
        own.skip(skipped)?;
        Some(Entry {
            code_align,
            data_align,
            is_signal: augmentation.contains(&b'S'),
            first: (after, end(common)?),
            rest: (own.at(), end(at)?),
            start,
            len: u64::from(mem.u32(at + 12)?),
        })
    }

    /// The rules that hold at `place`.
    fn rules(&self, entry: &Entry, place: u64) -> Option<Rules> {
        let mut rules = Rules::default();
        let align = (entry.code_align, entry.data_align);
        let mut reader = Reader::new(&self.memory, entry.first.0, entry.first.1);
        rules.run(&mut reader, align, (entry.start, u64::MAX), None)?;
        let initial = rules.clone();
        let mut reader = Reader::new(&self.memory, entry.rest.0, entry.rest.1);
        rules.run(&mut reader, align, (entry.start, place), Some(&initial))?;
        Some(rules)
    }
}
