//! Chunks of glibc's malloc: the main heap, thread arenas and mapped chunks, recognised by their headers.
//!
//! A chain of chunk headers checks itself: it must end exactly where its heap ends. Free chunks are those whose
//! successor says so, those in thread caches, which carry the process's cache key, and those in fast bins, whose
//! arena is found by its pointer to the heap's top. No symbol of libc is needed. Other allocators (jemalloc, mimalloc, musl) are not recognised: their memory stays uncounted.
//! Source: glibc `malloc/malloc.c`, `malloc/arena.c` (2.28 to 2.43).

use heapray_cpython::Memory;
use std::collections::{BTreeMap, BTreeSet};

const PREV_IN_USE: u64 = 1;
const IS_MAPPED: u64 = 2;
const FLAGS: u64 = 7;
const CHUNK_MIN: u64 = 32;
const HEADER: u64 = 16;
/// `HEAP_MAX_SIZE`: heaps of thread arenas are aligned to it.
const HEAP_ALIGN: u64 = 64 << 20;
const PAGE: u64 = 4096;
/// Where the first chunk of a thread arena's heap can start: after `heap_info`, or after it and `malloc_state`.
const FIRST_CHUNK_MAX: u64 = 16 * 1024;

/// Offsets in `malloc_state`.
const FAST_BINS: u64 = 16;
const N_FAST_BINS: u64 = 10;
const TOP: u64 = 96;
const FAST_LIST_MAX: usize = 1 << 24;

/// One chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Address that `malloc` returned.
    pub(crate) user: u64,
    /// Bytes of the whole chunk with its header.
    pub(crate) bytes: u64,
    /// Not handed out, or in a thread's cache.
    pub(crate) free: bool,
}

/// All chunks found, in address order once [`Chunks::finish`] ran.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    pub(crate) chunks: Vec<Chunk>,
    /// Heaps whose chain of headers did not end where the heap ends, in bytes.
    pub(crate) unwalked_bytes: u64,
    /// Bytes of main heap, arenas and mapped chunks.
    pub(crate) heap_bytes: u64,
    /// Bytes of free chunks in thread caches, which `mallinfo` counts as used.
    pub(crate) cached_bytes: u64,
    /// Addresses of the `malloc_state` of thread arenas.
    arenas: BTreeSet<u64>,
    /// Address of the main heap's top chunk.
    main_top: Option<u64>,
}

impl Chunks {
    /// Walks the heap in `start..end` (the `[heap]` mapping).
    pub(crate) fn main_heap<M: Memory>(&mut self, memory: &M, start: u64, end: u64) {
        self.heap_bytes += end - start;
        if self.chain(memory, start, end) {
            self.main_top = self.chunks.last().map(|top| top.user - HEADER);
        } else {
            self.unwalked_bytes += end - start;
        }
    }

    /// Walks `start..end` if it is the main heap, which its chain of headers shows.
    pub(crate) fn unnamed_heap<M: Memory>(&mut self, memory: &M, start: u64, end: u64) -> bool {
        let is_heap = self.main_top.is_none() && self.chain(memory, start, end);
        if is_heap {
            self.heap_bytes += end - start;
            self.main_top = self.chunks.last().map(|top| top.user - HEADER);
        }
        is_heap
    }

    /// The heap of a thread arena at `start`, if one is there: answers its end.
    pub(crate) fn arena_heap<M: Memory>(&mut self, memory: &M, start: u64, region_end: u64) -> Option<u64> {
        if !start.is_multiple_of(HEAP_ALIGN) {
            return None;
        }
        let (arena, size) = (memory.u64(start)?, memory.u64(start + 16)?);
        let end = start.checked_add(size)?;
        let is_size = (PAGE..=HEAP_ALIGN).contains(&size) && size.is_multiple_of(PAGE);
        if !is_size || end > region_end || !arena.is_multiple_of(16) {
            return None;
        }
        memory.u64(arena)?;
        let first =
            (32..FIRST_CHUNK_MAX.min(size)).step_by(16).find(|at| self.chain(memory, start + at, end));
        first?;
        self.heap_bytes += size;
        self.arenas.insert(arena);
        Some(end)
    }

    /// Finds the main arena in `start..end` of static data: the word before its bins that points at the top chunk.
    pub(crate) fn main_arena<M: Memory>(&mut self, memory: &M, start: u64, end: u64) {
        let Some(top) = self.main_top else { return };
        let mut at = start;
        let mut found = None;
        memory.words(start, (end - start) / 8, |word| {
            if word == top {
                found = Some(at - TOP);
            }
            at += 8;
        });
        self.arenas.extend(found);
    }

    /// A chunk with a mapping of its own at page `start`: answers its end.
    pub(crate) fn mapped<M: Memory>(&mut self, memory: &M, start: u64, region_end: u64) -> Option<u64> {
        let (before, size) = (memory.u64(start)?, memory.u64(start + 8)?);
        // The size counts the header before 2.43, and from then on only what follows it.
        let bytes = (size & !FLAGS).checked_next_multiple_of(PAGE)?;
        let end = start.checked_add(bytes)?;
        let beyond = bytes - (size & !FLAGS);
        let fits = size & FLAGS == IS_MAPPED
            && (beyond == 0 || beyond == HEADER)
            && before == 0
            && bytes >= PAGE
            && end <= region_end;
        if !fits {
            return None;
        }
        self.heap_bytes += bytes;
        self.chunks.push(Chunk { user: start + HEADER, bytes, free: false });
        Some(end)
    }

    /// Follows chunk headers from `start`; keeps the chunks only where the chain ends exactly at `end`.
    fn chain<M: Memory>(&mut self, memory: &M, start: u64, end: u64) -> bool {
        let kept = self.chunks.len();
        let mut at = start;
        while at < end {
            let Some(size) = memory.u64(at + 8) else { break };
            let bytes = size & !FLAGS;
            let is_fence = bytes < CHUNK_MIN && end - at <= 2 * CHUNK_MIN;
            if is_fence && self.chunks.len() > kept {
                return true;
            }
            let is_size = bytes >= CHUNK_MIN && bytes.is_multiple_of(16) && bytes <= end - at;
            if !is_size || size & IS_MAPPED != 0 {
                break;
            }
            if size & PREV_IN_USE == 0 && self.chunks.len() > kept {
                self.chunks.last_mut().expect("one was kept").free = true;
            }
            self.chunks.push(Chunk { user: at + HEADER, bytes, free: at + bytes == end });
            at += bytes;
        }
        let whole = at == end && self.chunks.len() > kept;
        if !whole {
            self.chunks.truncate(kept);
        }
        whole
    }

    /// Sorts the chunks and marks those in fast bins and thread caches as free.
    pub(crate) fn finish<M: Memory>(&mut self, memory: &M) {
        self.chunks.sort_unstable_by_key(|chunk| chunk.user);
        for arena in std::mem::take(&mut self.arenas) {
            for bin in 0..N_FAST_BINS {
                self.mark_fast_bin(memory, arena + FAST_BINS + bin * 8);
            }
        }
        let Some(key) = self.cache_key(memory) else { return };
        for chunk in &mut self.chunks {
            if !chunk.free && memory.u64(chunk.user + 8) == Some(key) {
                chunk.free = true;
                self.cached_bytes += chunk.bytes;
            }
        }
    }

    /// The random word that glibc 2.34+ writes into every chunk of a thread cache: the one whose chunks form lists.
    fn cache_key<M: Memory>(&self, memory: &M) -> Option<u64> {
        let mut lists: BTreeMap<u64, (u32, u32)> = BTreeMap::new();
        for chunk in self.chunks.iter().filter(|chunk| !chunk.free) {
            let Some(key) = memory.u64(chunk.user + 8).filter(|key| key >> 47 != 0) else { continue };
            let Some(link) = memory.u64(chunk.user) else { continue };
            let next = link ^ (chunk.user >> 12);
            let linked = next == 0 || (next % 16 == 0 && memory.u64(next + 8) == Some(key));
            let count = lists.entry(key).or_default();
            count.0 += u32::from(linked);
            count.1 += 1;
        }
        let best = lists.into_iter().max_by_key(|(_, (linked, _))| *linked)?;
        let (key, (linked, all)) = best;
        (linked >= 2 && linked * 2 > all).then_some(key)
    }

    /// Marks the chunks of the list whose head is at `head`; links are mangled since glibc 2.32.
    fn mark_fast_bin<M: Memory>(&mut self, memory: &M, head: u64) {
        let mut user = memory.u64(head).filter(|first| *first != 0).map(|first| first.wrapping_add(HEADER));
        for _ in 0..FAST_LIST_MAX {
            let Some(at) = user.and_then(|user| self.starting(user)) else { return };
            if std::mem::replace(&mut self.chunks[at].free, true) {
                return;
            }
            let address = self.chunks[at].user;
            let Some(link) = memory.u64(address) else { return };
            let mangled = (link ^ (address >> 12)).wrapping_add(HEADER);
            user = if self.starting(mangled).is_some() {
                Some(mangled)
            } else {
                Some(link.wrapping_add(HEADER))
            };
        }
    }

    fn starting(&self, user: u64) -> Option<usize> {
        self.chunks.binary_search_by_key(&user, |chunk| chunk.user).ok()
    }

    /// The chunk that contains `addr` in its usable part.
    pub(crate) fn containing(&self, addr: u64) -> Option<usize> {
        if self.chunks.first().is_none_or(|first| addr < first.user) {
            return None;
        }
        let at = self.chunks.partition_point(|chunk| chunk.user <= addr).checked_sub(1)?;
        let chunk = &self.chunks[at];
        (addr < chunk.user + chunk.bytes - 8).then_some(at)
    }
}
