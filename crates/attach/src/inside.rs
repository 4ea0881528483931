//! Who may still come back to the agent's code: threads inside it.
//!
//! Conservative: any word that is an address in the code counts, in a register or on the live part of a stack. A word that only looks so keeps the image mapped, which costs some pages; the other mistake would cost the target.
//! One kind of word is looked at more closely, because every thread that has allocated has some: return addresses on a stack.
//! They do not count where the thread's frames can be followed, by exact information, to its very beginning, and none
//! is the agent's.

use std::ops::Range;

use heapray_linux::{Mapping, RemoteMemory};

use crate::frame_info::{FrameInfo, Step};
use crate::memory::ImageMemory;
use crate::source::Source;
use crate::stop::Held;

/// Longest part of a stack that is looked at; main threads have 8 MiB unless told otherwise.
const MAX_STACK_BYTES: u64 = 64 << 20;
/// No stack has more frames that are worth following.
const MAX_FRAMES: usize = 1 << 20;
/// Code and tables of other objects that are kept.
const CACHE_BYTES: u64 = 256 << 20;

/// What is needed to tell a frame of the agent from the leavings of one.
#[derive(Debug)]
pub(crate) struct Watcher {
    pid: i32,
    /// The agent's code.
    pub(crate) code: Code,
    /// Of the mappings as they were then.
    info: FrameInfo<ImageMemory>,
    mappings: Vec<Mapping>,
}

impl Watcher {
    /// Reads the agent's code, and what is needed of the other objects when it is.
    pub(crate) fn new(pid: i32, text: &Range<u64>) -> Self {
        let mappings = heapray_linux::mappings(pid).unwrap_or_default();
        let memory = ImageMemory::new(Source::process(pid), &mappings, CACHE_BYTES);
        Self { pid, code: Code::read(pid, text), info: FrameInfo::new(memory, &mappings), mappings }
    }

    /// A thread that may come back to the agent's code, or to an address of it. All threads must stand still, or the answer
    /// means nothing (but has read what the next one needs).
    pub(crate) fn thread_inside(&mut self, threads: &[Held]) -> Option<i32> {
        let mappings = heapray_linux::mappings(self.pid).unwrap_or_default();
        let code = |mappings: &[Mapping]| {
            mappings.iter().filter(|mapping| mapping.exec && mapping.is_file()).cloned().collect::<Vec<_>>()
        };
        if code(&mappings) != code(&self.mappings) {
            *self = Self::new(self.pid, &self.code.text.clone());
        }
        threads.iter().find(|held| self.is_inside(held, &mappings)).map(|held| held.tracee.0)
    }

    fn is_inside(&self, held: &Held, mappings: &[Mapping]) -> bool {
        if held.registers.values().iter().any(|value| self.code.text.contains(value)) {
            return true;
        }
        let stack_pointer = held.registers.stack_pointer();
        let after = mappings.partition_point(|mapping| mapping.end <= stack_pointer);
        let Some(mapping) = mappings.get(after).filter(|mapping| mapping.start <= stack_pointer) else {
            // A stack that is not mapped: a process that is being killed.
            return false;
        };
        // The 128 bytes below belong to leaf functions (x86-64 ABI, red zone), which may have pointers there.
        let from = (stack_pointer / 8 * 8).saturating_sub(128).max(mapping.start);
        // A thread's own block lies above its stack: what the kernel has merged with that is not looked at.
        let above = Some(held.thread_pointer).filter(|end| (from..mapping.end).contains(end));
        let to = above.unwrap_or(mapping.end).min(from + MAX_STACK_BYTES);
        let stack = Stack::read(self.pid, from..to);
        let mut found = stack.words().filter(|word| self.code.text.contains(word)).peekable();
        if found.peek().is_none() {
            return false;
        }
        // A return address that no frame returns to is what an earlier call has left; anything else may be a function's address.
        found.any(|word| !self.code.is_return_address(word)) || !self.is_outside(held, &stack)
    }

    /// Whether the thread's frames are known down to the last, and none of them is the agent's.
    fn is_outside(&self, held: &Held, stack: &Stack) -> bool {
        let mut frame = FrameInfo::<ImageMemory>::first(&held.registers);
        for _ in 0..MAX_FRAMES {
            if self.code.text.contains(&frame.pc) {
                return false;
            }
            match self.info.step(&frame, &|addr| stack.word(addr)) {
                Step::Caller(caller) => frame = *caller,
                Step::End => return true,
                Step::Unknown => return false,
            }
        }
        false
    }
}

/// The agent's code, copied.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) text: Range<u64>,
    bytes: Vec<u8>,
}

impl Code {
    pub(crate) fn read(pid: i32, text: &Range<u64>) -> Self {
        let mut bytes = vec![0; usize::try_from(text.end - text.start).unwrap_or(0)];
        // Code that cannot be read has no calls in it, and then every word counts.
        let _gone = RemoteMemory::new(pid).read(text.start, &mut bytes);
        Self { text: text.clone(), bytes }
    }

    /// Whether a call stands before this address.
    pub(crate) fn is_return_address(&self, address: u64) -> bool {
        let at = usize::try_from(address - self.text.start).unwrap_or(0);
        let before =
            |n: usize| at.checked_sub(n).and_then(|from| self.bytes.get(from..at)).unwrap_or_default();
        heapray_linux::arch::CALL_LENGTHS.iter().any(|n| heapray_linux::arch::is_call(before(*n)))
    }
}

/// The live part of a thread's stack, copied.
struct Stack {
    start: u64,
    bytes: Vec<u8>,
}

impl Stack {
    fn read(pid: i32, range: Range<u64>) -> Self {
        let mut bytes = vec![0; usize::try_from(range.end - range.start).unwrap_or(0)];
        // What cannot be read holds no pointer that anybody could use.
        let _gone = RemoteMemory::new(pid).read_around(range.start, &mut bytes, |_, _| {});
        Self { start: range.start, bytes }
    }

    fn words(&self) -> impl Iterator<Item = u64> {
        self.bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes")))
    }

    fn word(&self, addr: u64) -> Option<u64> {
        let at = usize::try_from(addr.checked_sub(self.start)?).ok()?;
        let word = self.bytes.get(at..at.checked_add(8)?)?;
        Some(u64::from_le_bytes(word.try_into().expect("eight bytes")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_is_a_copy_of_words() {
        let words = [7u64, 8, 9];
        let at = words.as_ptr() as u64;
        let stack = Stack::read(std::process::id().cast_signed(), at..at + 24);
        assert_eq!(stack.words().collect::<Vec<_>>(), words);
        assert_eq!((stack.word(at + 16), stack.word(at + 24), stack.word(at - 8)), (Some(9), None, None));
    }

    #[test]
    fn a_call_is_told_from_what_is_none() {
        let bytes = vec![
            0x90, 0xe8, 1, 2, 3, 4, 0xff, 0xd0, 0xcc, 0xff, 0x15, 1, 2, 3, 4, 0x41, 0xff, 0xd4, 0xff, 0xe0,
        ];
        let code = Code { text: 0x1000..0x1000 + bytes.len() as u64, bytes };
        let found: Vec<u64> = (0x1000..0x1015).filter(|address| code.is_return_address(*address)).collect();
        // An offset may itself end with what would be a call; that much is sure of x86-64's.
        assert_eq!(found, [0x1006, 0x1008, 0x100f, 0x1012]);
    }
}
