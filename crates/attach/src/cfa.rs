//! The instructions of call frame information, and the expressions in them.
//!
//! What is not known here answers `None`: the caller must not guess.

use std::collections::BTreeMap;

use heapray_cpython::Memory;

use crate::frame_info::Frame;

/// How a register of the caller, or the canonical frame address, is had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Not at all; for the return address: there is no caller.
    Undefined,
    /// It is as it was.
    Same,
    /// In memory, so far from the canonical frame address.
    At(i64),
    /// In memory, where the expression says.
    AtValue(Vec<u8>),
    /// It is what the expression says.
    Value(Vec<u8>),
    /// A register plus an offset.
    Register(usize, i64),
}

/// The rules at one place.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) cfa: Rule,
    pub(crate) registers: BTreeMap<usize, Rule>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { cfa: Rule::Undefined, registers: BTreeMap::new() }
    }
}

/// Reads bytes of the target's tables one after another.
pub(crate) struct Reader<'a, M> {
    memory: &'a M,
    at: u64,
    end: u64,
}

impl<'a, M: Memory> Reader<'a, M> {
    pub(crate) fn new(memory: &'a M, at: u64, end: u64) -> Self {
        Self { memory, at, end }
    }

    pub(crate) fn at(&self) -> u64 {
        self.at
    }

    pub(crate) fn skip(&mut self, n: u64) -> Option<()> {
        self.at = self.at.checked_add(n).filter(|at| *at <= self.end)?;
        Some(())
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.memory.array::<N>(self.at)?;
        self.skip(N as u64)?;
        Some(bytes)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.number::<1>().map(|[byte]| byte)
    }

    pub(crate) fn uleb(&mut self) -> Option<u64> {
        let mut out = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            out |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(out);
            }
        }
        None
    }

    pub(crate) fn sleb(&mut self) -> Option<i64> {
        let mut out = 0i64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            out |= i64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let is_negative = byte & 0x40 != 0 && shift + 7 < 64;
                return Some(if is_negative { out | -1i64 << (shift + 7) } else { out });
            }
        }
        None
    }

    pub(crate) fn text(&mut self) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        loop {
            match self.u8()? {
                0 => return Some(out),
                byte => out.push(byte),
            }
        }
    }

    fn block(&mut self) -> Option<Vec<u8>> {
        let len = self.uleb()?;
        let bytes = self.memory.bytes(self.at, len, 4096)?;
        self.skip(len)?;
        Some(bytes)
    }

    fn register(&mut self) -> Option<usize> {
        usize::try_from(self.uleb()?).ok()
    }
}

impl Rules {
    /// Runs instructions until the place behind `places.1`. `initial`: the rules to which `restore` goes back.
    pub(crate) fn run<M: Memory>(
        &mut self,
        reader: &mut Reader<'_, M>,
        (code_align, data_align): (u64, i64),
        (mut at, place): (u64, u64),
        initial: Option<&Self>,
    ) -> Option<()> {
        let mut remembered = Vec::new();
        let scaled = |number: u64| i64::try_from(number).ok()?.checked_mul(data_align);
        while reader.at < reader.end {
            let code = reader.u8()?;
            let low = usize::from(code & 0x3f);
            let mut advance = None;
            match (code >> 6, code & 0x3f) {
                (1, _) => advance = Some(low as u64),
                (2, _) => {
                    let offset = scaled(reader.uleb()?)?;
                    self.registers.insert(low, Rule::At(offset));
                }
                (3, _) => self.restore(low, initial)?,
                (_, 0x00) => {}
                (_, 0x02) => advance = Some(u64::from(reader.u8()?)),
                (_, 0x03) => advance = Some(u64::from(u16::from_le_bytes(reader.number()?))),
                (_, 0x04) => advance = Some(u64::from(u32::from_le_bytes(reader.number()?))),
                (_, 0x05) => {
                    let (register, offset) = (reader.register()?, scaled(reader.uleb()?)?);
                    self.registers.insert(register, Rule::At(offset));
                }
                (_, 0x06) => {
                    let register = reader.register()?;
                    self.restore(register, initial)?;
                }
                (_, 0x0a) => remembered.push(self.clone()),
                (_, 0x0b) => *self = remembered.pop()?,
                (_, 0x2e) => drop(reader.uleb()?),
                (_, other) => self.define(other, reader, &scaled)?,
            }
            if let Some(steps) = advance {
                at = at.checked_add(steps.checked_mul(code_align)?)?;
                if at > place {
                    return Some(());
                }
            }
        }
        Some(())
    }

    fn restore(&mut self, register: usize, initial: Option<&Self>) -> Option<()> {
        match initial?.registers.get(&register) {
            Some(rule) => self.registers.insert(register, rule.clone()),
            None => self.registers.remove(&register),
        };
        Some(())
    }

    /// The instructions that define one rule.
    fn define<M: Memory>(
        &mut self,
        code: u8,
        reader: &mut Reader<'_, M>,
        scaled: &dyn Fn(u64) -> Option<i64>,
    ) -> Option<()> {
        match code {
            0x07 => drop(self.registers.insert(reader.register()?, Rule::Undefined)),
            0x08 => drop(self.registers.insert(reader.register()?, Rule::Same)),
            0x0c => self.cfa = Rule::Register(reader.register()?, i64::try_from(reader.uleb()?).ok()?),
            0x0d => match self.cfa {
                Rule::Register(_, offset) => self.cfa = Rule::Register(reader.register()?, offset),
                _ => return None,
            },
            0x0e => match self.cfa {
                Rule::Register(register, _) => {
                    self.cfa = Rule::Register(register, i64::try_from(reader.uleb()?).ok()?);
                }
                _ => return None,
            },
            0x0f => self.cfa = Rule::Value(reader.block()?),
            0x10 => {
                let register = reader.register()?;
                self.registers.insert(register, Rule::AtValue(reader.block()?));
            }
            0x11 => {
                let (register, offset) = (reader.register()?, reader.sleb()?);
                self.registers.insert(register, Rule::At(offset.checked_mul(scaled(1)?)?));
            }
            0x16 => {
                let register = reader.register()?;
                self.registers.insert(register, Rule::Value(reader.block()?));
            }
            _ => return None,
        }
        Some(())
    }
}

/// An expression as a memory of its own, so that the same reader serves.
struct Code<'a>(&'a [u8]);

impl Memory for Code<'_> {
    fn tail(&self, addr: u64) -> &[u8] {
        usize::try_from(addr).ok().and_then(|at| self.0.get(at..)).unwrap_or_default()
    }
}

/// The value of an expression; `cfa` lies on its stack first where there is one.
pub(crate) fn evaluate(
    code: &[u8],
    frame: &Frame,
    cfa: Option<u64>,
    stack: &dyn Fn(u64) -> Option<u64>,
) -> Option<u64> {
    let code = Code(code);
    let mut reader = Reader::new(&code, 0, code.0.len() as u64);
    let mut values: Vec<u64> = cfa.into_iter().collect();
    while reader.at < reader.end {
        let op = reader.u8()?;
        let value = match op {
            0x06 => stack(values.pop()?)?,
            0x08 => u64::from(reader.u8()?),
            0x09 => i64::from(reader.u8()?.cast_signed()).cast_unsigned(),
            0x0a => u64::from(u16::from_le_bytes(reader.number()?)),
            0x0b => i64::from(i16::from_le_bytes(reader.number()?)).cast_unsigned(),
            0x0c => u64::from(u32::from_le_bytes(reader.number()?)),
            0x0d => i64::from(i32::from_le_bytes(reader.number()?)).cast_unsigned(),
            0x10 => reader.uleb()?,
            0x11 => reader.sleb()?.cast_unsigned(),
            0x23 => values.pop()?.wrapping_add(reader.uleb()?),
            0x1a | 0x1c | 0x21 | 0x22 | 0x24 | 0x2a => {
                let (right, left) = (values.pop()?, values.pop()?);
                match op {
                    0x1a => left & right,
                    0x1c => left.wrapping_sub(right),
                    0x21 => left | right,
                    0x22 => left.wrapping_add(right),
                    0x24 => left.checked_shl(u32::try_from(right).ok()?)?,
                    _ => u64::from(left.cast_signed() >= right.cast_signed()),
                }
            }
            0x30..0x50 => u64::from(op - 0x30),
            0x70..0x90 => {
                let register = frame.registers.get(usize::from(op - 0x70)).copied().flatten()?;
                register.wrapping_add_signed(reader.sleb()?)
            }
            _ => return None,
        };
        values.push(value);
    }
    values.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_any_length_are_read() {
        let code = Code(&[0xe5, 0x8e, 0x26, 0x7f, 0x80, 0x7f]);
        let mut reader = Reader::new(&code, 0, 6);
        assert_eq!((reader.uleb(), reader.sleb(), reader.sleb()), (Some(624_485), Some(-1), Some(-128)));
        assert_eq!(reader.uleb(), None);
    }

    #[test]
    fn the_expression_of_a_procedure_linkage_table_is_known() {
        // DW_OP_breg7 8, breg16 0, lit15, and, lit11, ge, lit3, shl, plus: the stack is one word deeper behind the push.
        let code = [0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33, 0x24, 0x22];
        let mut registers = [None; heapray_linux::arch::DWARF_REGISTERS];
        (registers[7], registers[16]) = (Some(0x1000), Some(0x400b));
        let mut frame = Frame { registers, pc: 0x400b, is_return: false };
        let none = |_: u64| None;
        assert_eq!(evaluate(&code, &frame, None, &none), Some(0x1010));
        frame.registers[16] = Some(0x4006);
        assert_eq!(evaluate(&code, &frame, None, &none), Some(0x1008));
        assert_eq!(evaluate(&[0xff], &frame, None, &none), None);
        assert_eq!(evaluate(&[0x22], &frame, Some(1), &none), None);
    }
}
