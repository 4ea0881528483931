//! Pointers to the agent's functions that somebody has kept in memory.
//!
//! Any word counts that is an address in the agent's code, but return addresses, which nobody keeps: they are what calls
//! have left on the stacks of threads that have ended, and where a thread really stands inside is asked elsewhere.

use std::ops::Range;
use std::time::Instant;

use heapray_linux::{Mapping, RemoteMemory};

use crate::inside::Code;

/// Memory is read in pieces of this size.
const PIECE_BYTES: u64 = 1 << 20;
/// So near to the end of its stack lies a thread's own block.
const BLOCK_BYTES: u64 = 64 << 10;
const PAGE_EXISTS: u64 = 0b11 << 62;

/// Where in the target's writable memory, but for `own` ranges and stacks, the address of one of the agent's functions stands.
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
    /// The agent's code.
    pub(crate) code: &'a Code,
    /// The agent's own memory.
    pub(crate) own: &'a [Range<u64>],
    /// Stack pointers of the threads.
    pub(crate) stacks: &'a [u64],
}

/// Looks for pointers to functions in memory while the target runs: what a library got when it asked for `free` to hand it on.
/// Shared memory is left out, as nobody shares code addresses; so are stacks, which are looked at when all threads stand still.
pub(crate) fn kept(pid: i32, sought: &Sought<'_>, deadline: Instant) -> Kept {
    let Sought { code, own, stacks } = sought;
    let memory = RemoteMemory::leaving_pages_shared(pid);
    let pagemap = std::fs::File::open(format!("/proc/{pid}/pagemap")).ok();
    let is_stack = |mapping: &Mapping| {
        mapping.path == "[stack]"
            || stacks.iter().any(|pointer| (mapping.start..mapping.end).contains(pointer))
    };
    let is_wanted = |mapping: &Mapping| {
        mapping.write && mapping.read && !mapping.shared && !mapping.is_special() && !is_stack(mapping)
    };
    let mappings = heapray_linux::mappings(pid).unwrap_or_default();
    let mut below: Option<&Mapping> = None;
    for mapping in &mappings {
        let is_guarded = below.replace(mapping).is_some_and(|guard| is_guard(guard, mapping));
        if !is_wanted(mapping) || is_guarded && is_thread_stack(&memory, mapping) {
            continue;
        }
        // Anonymous mappings that lie side by side are one line of `maps`, so ours may be in others'.
        for range in without(mapping, own).into_iter().flat_map(pieces) {
            if Instant::now() > deadline {
                return Kept::Unknown;
            }
            let runs = existing(pagemap.as_ref(), &range, mapping.inode == 0);
            if runs.into_iter().any(|run| has_pointer(&memory, run, code)) {
                return Kept::In(mapping.start);
            }
        }
    }
    Kept::Nowhere
}

/// Whether a mapping is what pthreads put below a stack.
fn is_guard(guard: &Mapping, mapping: &Mapping) -> bool {
    !guard.read && !guard.write && guard.inode == 0 && guard.end == mapping.start
}

/// Whether a mapping is the stack of a thread, also of one that has ended (glibc keeps it for the next): a thread's own block
/// lies at its top, and the first and third word of that are its address (`tcbhead_t`, sysdeps/x86_64/nptl/tls.h).
fn is_thread_stack(memory: &RemoteMemory, mapping: &Mapping) -> bool {
    let start = mapping.end.saturating_sub(BLOCK_BYTES).max(mapping.start);
    let mut bytes = vec![0; usize::try_from(mapping.end - start).unwrap_or(0)];
    if memory.read(start, &mut bytes).is_err() {
        return false;
    }
    let words: Vec<u64> =
        bytes.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().expect("eight bytes"))).collect();
    let is_block = |(n, three): (usize, &[u64])| {
        let address = start + 8 * n as u64;
        three[0] == address && three[2] == address
    };
    words.windows(3).enumerate().any(is_block)
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

fn has_pointer(memory: &RemoteMemory, range: Range<u64>, code: &Code) -> bool {
    let mut buf = vec![0; usize::try_from(PIECE_BYTES).unwrap_or(1 << 20)];
    let mut at = range.start;
    while at < range.end {
        let len = usize::try_from((range.end - at).min(PIECE_BYTES)).unwrap_or(0);
        let piece = &mut buf[..len];
        piece.fill(0);
        // What cannot be read holds no pointer that anybody could use.
        let _gone = memory.read_around(at, piece, |_, _| {});
        let is_pointer = |word: &[u8]| {
            let word = u64::from_le_bytes(word.try_into().expect("eight bytes"));
            code.text.contains(&word) && !code.is_return_address(word)
        };
        if piece.chunks_exact(8).any(is_pointer) {
            return true;
        }
        at += len as u64;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_pointer_in_our_own_memory_is_found() {
        let pid = std::process::id().cast_signed();
        // An address that nobody else has: in the page that is never mapped.
        let code = Code::read(pid, &(0x7e8..0x7f0));
        let kept_word = std::hint::black_box(Box::new(0x7e9_u64));
        let deadline = || Instant::now() + Duration::from_secs(60);
        let sought = Sought { code: &code, own: &[], stacks: &[] };
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
}
