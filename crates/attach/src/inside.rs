//! Who may still come back to the agent's code: threads inside it, and pointers to it that somebody has kept.
//!
//! Conservative: any word that is an address in the code counts, in a register, on a live part of a stack, or in writable
//! memory. A word that only looks so keeps the image mapped, which costs some pages; the other mistake would cost the target.
//! One kind of word is looked at more closely, because every thread that has allocated has some: return addresses on a stack.
//! They do not count where the thread's frames can be followed, by exact information, to its very beginning, and none
//! is the agent's.

use std::ops::Range;
use std::time::Instant;

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
/// Memory is read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;
const PAGE_EXISTS: u64 = 0b11 << 62;

/// What is needed to tell a frame of the agent from the leavings of one.
#[derive(Debug)]
pub(crate) struct Watcher {
    pid: i32,
    text: Range<u64>,
    /// The agent's code.
    code: Vec<u8>,
    /// Of the mappings as they were then.
    info: FrameInfo<ImageMemory>,
    mappings: Vec<Mapping>,
}

impl Watcher {
    /// Reads the agent's code, and what is needed of the other objects when it is.
    pub(crate) fn new(pid: i32, text: &Range<u64>) -> Self {
        let mappings = heapray_linux::mappings(pid).unwrap_or_default();
        let memory = ImageMemory::new(Source::process(pid), &mappings, CACHE_BYTES);
        let mut code = vec![0; usize::try_from(text.end - text.start).unwrap_or(0)];
        // Code that cannot be read has no calls in it, and then every word counts.
        let _gone = RemoteMemory::new(pid).read(text.start, &mut code);
        Self { pid, text: text.clone(), code, info: FrameInfo::new(memory, &mappings), mappings }
    }

    /// A thread that may come back to the agent's code, or to an address of it. All threads must stand still, or the answer
    /// means nothing (but has read what the next one needs).
    pub(crate) fn thread_inside(&mut self, threads: &[Held]) -> Option<i32> {
        let mappings = heapray_linux::mappings(self.pid).unwrap_or_default();
        let code = |mappings: &[Mapping]| {
            mappings.iter().filter(|mapping| mapping.exec && mapping.is_file()).cloned().collect::<Vec<_>>()
        };
        if code(&mappings) != code(&self.mappings) {
            *self = Self::new(self.pid, &self.text);
        }
        threads.iter().find(|held| self.is_inside(held, &mappings)).map(|held| held.tracee.0)
    }

    fn is_inside(&self, held: &Held, mappings: &[Mapping]) -> bool {
        if held.registers.values().iter().any(|value| self.text.contains(value)) {
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
        let stack = Stack::read(self.pid, from..mapping.end.min(from + MAX_STACK_BYTES));
        let mut found = stack.words().filter(|word| self.text.contains(word)).peekable();
        if found.peek().is_none() {
            return false;
        }
        // A return address that no frame returns to is what an earlier call has left; anything else may be a function's address.
        found.any(|word| !self.is_return_address(word)) || !self.is_outside(held, &stack)
    }

    /// Whether a call stands before this address.
    fn is_return_address(&self, address: u64) -> bool {
        let at = usize::try_from(address - self.text.start).unwrap_or(0);
        let before =
            |n: usize| at.checked_sub(n).and_then(|from| self.code.get(from..at)).unwrap_or_default();
        heapray_linux::arch::CALL_LENGTHS.iter().any(|n| heapray_linux::arch::is_call(before(*n)))
    }

    /// Whether the thread's frames are known down to the last, and none of them is the agent's.
    fn is_outside(&self, held: &Held, stack: &Stack) -> bool {
        let mut frame = FrameInfo::<ImageMemory>::first(&held.registers);
        for _ in 0..MAX_FRAMES {
            if self.text.contains(&frame.pc) {
                return false;
            }
            match self.info.step(&frame, &|addr| stack.word(addr)) {
                Step::Caller(caller) => frame = caller,
                Step::End => return true,
                Step::Unknown => return false,
            }
        }
        false
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

fn has_pointer(memory: &RemoteMemory, range: Range<u64>, text: &Range<u64>) -> bool {
    let mut buf = vec![0; usize::try_from(PIECE_BYTES).unwrap_or(1 << 20)];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from((range.end - at).min(PIECE_BYTES)).unwrap_or(0);
        let piece = &mut buf[..len];
        piece.fill(0);
        // What cannot be read holds no pointer that anybody could use.
        let _gone = memory.read_around(at, piece, |_, _| {});
        let is_pointer =
            |word: &[u8]| text.contains(&u64::from_le_bytes(word.try_into().expect("eight bytes")));
        if piece.chunks_exact(8).any(is_pointer) {
            return true;
        }
        at += len as u64;
    }
    false
}

/// Where in the target's writable memory, but for `own` ranges and stacks, an address in `text` stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// Nowhere.
    Nowhere,
    /// In the mapping that begins here.
    In(u64),
    /// The time for searching was over before its end.
    Unknown,
}

/// What is looked for, and where not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sought<'a> {
    /// The addresses.
    pub(crate) text: &'a Range<u64>,
    /// The agent's own memory.
    pub(crate) own: &'a [Range<u64>],
    /// Stack pointers of the threads.
    pub(crate) stacks: &'a [u64],
}

/// Looks for pointers into `text` in memory while the target runs: what a library got when it asked for `free` to hand it on.
/// Shared memory is left out, as nobody shares code addresses; so are stacks, which are looked at when all threads stand still.
pub(crate) fn kept(pid: i32, sought: &Sought<'_>, deadline: Instant) -> Kept {
    let Sought { text, own, stacks } = sought;
    let memory = RemoteMemory::leaving_pages_shared(pid);
    let pagemap = std::fs::File::open(format!("/proc/{pid}/pagemap")).ok();
    let is_stack = |mapping: &Mapping| {
        mapping.path == "[stack]"
            || stacks.iter().any(|pointer| (mapping.start..mapping.end).contains(pointer))
    };
    let is_wanted = |mapping: &&Mapping| {
        mapping.write && mapping.read && !mapping.shared && !mapping.is_special() && !is_stack(mapping)
    };
    let mappings = heapray_linux::mappings(pid).unwrap_or_default();
    for mapping in mappings.iter().filter(is_wanted) {
        // Anonymous mappings that lie side by side are one line of `maps`, so ours may be in others'.
        for range in without(mapping, own).into_iter().flat_map(pieces) {
            if Instant::now() > deadline {
                return Kept::Unknown;
            }
            let runs = existing(pagemap.as_ref(), &range, mapping.inode == 0);
            if runs.into_iter().any(|run| has_pointer(&memory, run, text)) {
                return Kept::In(mapping.start);
            }
        }
    }
    Kept::Nowhere
}

fn without(mapping: &Mapping, own: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut own: Vec<_> = own.to_vec();
    own.sort_by_key(|range| range.start);
    let mut out = Vec::new();
    let mut at = mapping.start;
    for range in own.iter().filter(|range| range.start < mapping.end && mapping.start < range.end) {
        out.push(at..range.start.max(at));
        at = at.max(range.end);
    }
    out.push(at..mapping.end.max(at));
    out.retain(|range| !range.is_empty());
    out
}

fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let (start, end) = (range.start, range.end);
    (start..end)
        .step_by(usize::try_from(PIECE_BYTES).unwrap_or(1 << 20))
        .map(move |at| at..end.min(at + PIECE_BYTES))
}

/// The pages of `range` that were ever written; all of it where that cannot be known.
fn existing(pagemap: Option<&std::fs::File>, range: &Range<u64>, anonymous: bool) -> Vec<Range<u64>> {
    use std::os::unix::fs::FileExt;
    let page = heapray_linux::page_bytes();
    let n = usize::try_from((range.end - range.start) / page).unwrap_or(0);
    let mut bytes = vec![0; 8 * n];
    let read = |file: &std::fs::File| file.read_exact_at(&mut bytes, range.start / page * 8).is_ok();
    if !anonymous || !pagemap.is_some_and(read) {
        return vec![range.clone()];
    }
    let mut runs: Vec<Range<u64>> = Vec::new();
    for (n, entry) in bytes.chunks_exact(8).enumerate() {
        let entry = u64::from_le_bytes(entry.try_into().expect("eight bytes"));
        let at = range.start + n as u64 * page;
        match runs.last_mut() {
            _ if entry & PAGE_EXISTS == 0 => {}
            Some(run) if run.end == at => run.end += page,
            _ => runs.push(at..at + page),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_pointer_in_our_own_memory_is_found() {
        let pid = std::process::id().cast_signed();
        // An address that nobody else has: in the page that is never mapped.
        let text = 0x7e8..0x7f0;
        let kept_word = Box::new(0x7e9_u64);
        let deadline = || Instant::now() + Duration::from_secs(60);
        let sought = Sought { text: &text, own: &[], stacks: &[] };
        assert!(matches!(kept(pid, &sought, deadline()), Kept::In(_)));
        assert_eq!(*kept_word, 0x7e9);
        assert_eq!(kept(pid, &sought, Instant::now() - Duration::from_secs(1)), Kept::Unknown);
    }

    #[test]
    fn our_own_ranges_are_cut_out() {
        let mapping = Mapping { start: 0x1000, end: 0x9000, ..Mapping::default() };
        assert_eq!(without(&mapping, &[0x3000..0x4000, 0x8000..0xa000]), [0x1000..0x3000, 0x4000..0x8000]);
        assert!(without(&mapping, &[0..0x9000, 0x9000..0x10000]).is_empty());
    }

    #[test]
    fn a_stack_is_a_copy_of_words() {
        let words = [7u64, 8, 9];
        let at = words.as_ptr() as u64;
        let stack = Stack::read(std::process::id().cast_signed(), at..at + 24);
        assert_eq!(stack.words().collect::<Vec<_>>(), words);
        assert_eq!((stack.word(at + 16), stack.word(at + 24), stack.word(at - 8)), (Some(9), None, None));
    }

    #[test]
    fn stacks_are_read_from_the_stack_pointer_on() {
        let memory = RemoteMemory::new(std::process::id().cast_signed());
        let words = [0x7e9_u64, 1, 2, 3];
        let at = words.as_ptr() as u64;
        assert!(has_pointer(&memory, at..at + 32, &(0x7e8..0x7f0)));
        assert!(!has_pointer(&memory, at + 8..at + 32, &(0x7e8..0x7f0)));
    }
}
