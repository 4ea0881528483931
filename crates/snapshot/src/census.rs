//! The census: every allocated block of pymalloc and glibc, and whom it belongs to.
//!
//! A block belongs to the object that starts in it or that reported it as out-of-line memory. One that belongs
//! to nobody but starts like an object is an object (nothing exact refers to it; `discover` follows it); any
//! other stays *unowned* until a conservative scan claims it. Memory of other allocators is not counted.

use crate::bitmap::Bitmap;
use crate::discover::Discovery;
use crate::malloc::Chunks;
use heapray_cpython::object::{Read, is_object, references};
use heapray_cpython::pymalloc::{ARENA_BYTES, POOL_BYTES, Pool, SMALL_REQUEST_BYTES};
use heapray_cpython::{Label, Memory, Region, Runtime, Sink, Strength, refcount};
use std::collections::BTreeSet;

const PAGE: u64 = 4096;
/// Where an object can start in its block: at once, after the collector's head, after that and the dict's pre-header.
const STARTS: [u64; 3] = [0, 16, 32];

/// References of a doubtful object that are looked at.
const TARGETS_MAX: usize = 64;
/// Reference count above which a doubtful object is none.
const COUNT_MAX: u64 = 1 << 20;

/// Blocks and bytes of one allocator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) blocks: u64,
    pub(crate) bytes: u64,
    pub(crate) free_bytes: u64,
    pub(crate) owned_blocks: u64,
    pub(crate) owned_bytes: u64,
}

/// Where the census looks.
pub(crate) struct Sweep<'a> {
    pub(crate) rt: &'a Runtime,
    pub(crate) regions: &'a [Region],
    /// Static data of libraries, where malloc's main arena is.
    pub(crate) statics: &'a [(u64, u64)],
}

/// All allocated blocks of one target.
#[derive(Debug)]
pub(crate) struct Census {
    pools: Vec<Pool>,
    pool_starts: Bitmap,
    chunks: Chunks,
    pub(crate) pymalloc: Tally,
    pub(crate) malloc: Tally,
    /// Starts of allocated blocks that belong to nobody so far.
    pub(crate) unowned: Bitmap,
    /// Starts of blocks that a conservative scan gave to an object.
    claimed: Bitmap,
    /// Bytes of arenas that hold a pool in use.
    pub(crate) arena_bytes: u64,
    pub(crate) n_arenas: u64,
}

/// What an address of allocator memory is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// An allocated block: its start and bytes.
    Block(u64, u64),
    /// A free block, or an allocator's own bookkeeping.
    Free,
    /// No allocator that we know.
    Elsewhere,
}

impl Census {
    /// Finds the blocks, and adds every one that belongs to nobody and starts like an object to `found`, which holds
    /// all objects that anything exact refers to. One pass over all anonymous memory.
    pub(crate) fn take<M: Memory>(memory: &mut M, outside: &Sweep<'_>, found: &mut Discovery) -> Self {
        let mut census = Self {
            pools: Vec::new(),
            pool_starts: Bitmap::new(),
            chunks: Chunks::default(),
            pymalloc: Tally::default(),
            malloc: Tally::default(),
            unowned: Bitmap::new(),
            claimed: Bitmap::new(),
            arena_bytes: 0,
            n_arenas: 0,
        };
        let is_named = outside.regions.iter().any(|region| region.path == "[heap]");
        let mut loose = Vec::new();
        for region in
            outside.regions.iter().filter(|region| region.read && region.write && is_anonymous(region))
        {
            if region.path == "[heap]" {
                census.chunks.main_heap(memory, region.start, region.end);
            } else if !is_named && census.chunks.unnamed_heap(memory, region.start, region.end) {
                // A core file does not say which mapping is the heap.
            } else {
                census.sweep(memory, (region, outside.rt), found, &mut loose);
            }
            memory.trim();
        }
        for (start, end) in outside.statics {
            census.chunks.main_arena(memory, *start, *end);
        }
        census.chunks.finish(memory);
        for chunk in census.chunks.chunks.iter().filter(|chunk| !chunk.free) {
            add_if_object(memory, outside.rt, found, (chunk.user, chunk.bytes - 8), &mut loose);
        }
        memory.trim();
        let arenas: BTreeSet<u32> = census.pools.iter().map(|pool| pool.arena_idx).collect();
        census.n_arenas = arenas.len() as u64;
        census.arena_bytes = census.n_arenas * ARENA_BYTES;
        census.tally_all();
        census.settle(found, loose);
        census
    }

    fn sweep<M: Memory>(
        &mut self,
        memory: &mut M,
        (region, rt): (&Region, &Runtime),
        found: &mut Discovery,
        loose: &mut Vec<(u64, u64)>,
    ) {
        let mut at = region.start.next_multiple_of(PAGE);
        let mut trimmed_at = at;
        while at < region.end {
            let pool = if at % POOL_BYTES == 0 { Pool::read(memory, at) } else { None };
            let next = if let Some(pool) = pool {
                let free = pool.free(memory);
                for i in (0..pool.n_carved).filter(|i| !free.contains(*i)) {
                    add_if_object(memory, rt, found, (pool.block(i), pool.block_bytes), loose);
                }
                self.pools.push(pool);
                self.pool_starts.insert(at);
                Some(at + POOL_BYTES)
            } else {
                let arena = self.chunks.arena_heap(memory, at, region.end);
                arena.or_else(|| self.chunks.mapped(memory, at, region.end))
            };
            at = next.unwrap_or(at + PAGE);
            if at - trimmed_at > 16 << 20 {
                memory.trim();
                trimmed_at = at;
            }
        }
    }

    fn tally_all(&mut self) {
        let mut tally = Tally::default();
        for pool in &self.pools {
            tally.blocks += pool.n_allocated;
            tally.bytes += pool.n_allocated * pool.block_bytes;
        }
        tally.free_bytes = self.arena_bytes.saturating_sub(tally.bytes);
        self.pymalloc = tally;
        let mut tally = Tally::default();
        for chunk in &self.chunks.chunks {
            if chunk.free {
                tally.free_bytes += chunk.bytes;
            } else {
                tally.blocks += 1;
                tally.bytes += chunk.bytes;
            }
        }
        self.malloc = tally;
    }

    /// Decides which blocks belong to an object, now that all objects are known: `loose` holds the others' candidates.
    fn settle(&mut self, found: &Discovery, loose: Vec<(u64, u64)>) {
        (self.pymalloc.owned_blocks, self.pymalloc.owned_bytes) = (self.pymalloc.blocks, self.pymalloc.bytes);
        (self.malloc.owned_blocks, self.malloc.owned_bytes) = (self.malloc.blocks, self.malloc.bytes);
        for (start, bytes) in loose {
            if is_owned(found, start, bytes) {
                continue;
            }
            self.unowned.insert(start);
            let (tally, bytes) = match self.pool_of(start) {
                Some(_) => (&mut self.pymalloc, bytes),
                None => (&mut self.malloc, bytes + 8),
            };
            tally.owned_blocks -= 1;
            tally.owned_bytes -= bytes;
        }
    }

    /// Claims the unowned block at `start` for an object; answers its bytes, or `None` where it is not unowned.
    pub(crate) fn claim<M: Memory>(&mut self, memory: &M, start: u64) -> Option<u64> {
        if !self.unowned.contains(start) {
            return None;
        }
        self.unowned.remove(start);
        self.claimed.insert(start);
        let bytes = self.block_bytes(memory, start, 0);
        let tally = if self.pool_of(start).is_some() { &mut self.pymalloc } else { &mut self.malloc };
        tally.owned_blocks += 1;
        tally.owned_bytes += bytes;
        Some(bytes)
    }

    /// The start of the block that contains `addr` and belongs to no object, or was claimed for one.
    /// O(log n) where `addr` is in a heap.
    #[inline]
    pub(crate) fn block_at<M: Memory>(&self, memory: &M, addr: u64) -> Option<u64> {
        let start = if let Some(pool) = self.pool_of(addr) {
            let pool = Pool::read(memory, pool)?;
            pool.block(pool.index_containing(addr)?)
        } else {
            self.chunks.chunks[self.chunks.containing(addr)?].user
        };
        (self.unowned.contains(start) || self.claimed.contains(start)).then_some(start)
    }

    /// Whether a conservative scan gave the block at `start` to an object.
    pub(crate) fn is_claimed(&self, start: u64) -> bool {
        self.claimed.contains(start)
    }

    /// Whether `addr` lies in a pool of pymalloc. O(1).
    pub(crate) fn is_in_pool(&self, addr: u64) -> bool {
        self.pool_of(addr).is_some()
    }

    #[inline]
    fn pool_of(&self, addr: u64) -> Option<u64> {
        let start = addr & !(POOL_BYTES - 1);
        self.pool_starts.contains(start).then_some(start)
    }

    /// Bytes that the allocator spends on the block at `start`, of which `requested` were asked for: the pool's
    /// class or the chunk's header tell. O(1).
    #[inline]
    pub(crate) fn block_bytes<M: Memory>(&self, memory: &M, start: u64, requested: u64) -> u64 {
        if requested <= SMALL_REQUEST_BYTES
            && let Some(pool) = self.pool_of(start)
        {
            return memory.u32(pool + 36).map_or(requested, |szidx| (u64::from(szidx % 32) + 1) * 16);
        }
        let chunk = memory.u64(start.wrapping_sub(8)).unwrap_or(0) & !7;
        let plausible = chunk >= requested && chunk >= 32 && chunk - requested <= requested / 2 + 2 * PAGE;
        if plausible { chunk } else { requested.next_multiple_of(16) }
    }

    /// What `addr` is part of. O(log n).
    pub(crate) fn place<M: Memory>(&self, memory: &M, addr: u64) -> Place {
        if let Some(start) = self.pool_of(addr) {
            let Some(pool) = Pool::read(memory, start) else { return Place::Free };
            return match pool.index_containing(addr) {
                Some(i) if !pool.free(memory).contains(i) => Place::Block(pool.block(i), pool.block_bytes),
                _ => Place::Free,
            };
        }
        match self.chunks.containing(addr).map(|at| self.chunks.chunks[at]) {
            Some(chunk) if chunk.free => Place::Free,
            Some(chunk) => Place::Block(chunk.user, chunk.bytes - 8),
            None => Place::Elsewhere,
        }
    }

    /// Bytes of malloc's heaps, whole.
    pub(crate) fn malloc_heap_bytes(&self) -> u64 {
        self.chunks.heap_bytes
    }

    /// Bytes of heaps whose headers could not be followed.
    pub(crate) fn unwalked_bytes(&self) -> u64 {
        self.chunks.unwalked_bytes
    }
}

/// Private anonymous memory: heaps, arenas, thread stacks.
pub(crate) fn is_anonymous(region: &Region) -> bool {
    region.path.is_empty() || region.path == "[heap]" || region.path.starts_with("[anon")
}

fn is_owned(found: &Discovery, start: u64, bytes: u64) -> bool {
    found.blocks.contains(start) || found.objects.any_in(start, start + bytes.min(STARTS[2] + 8))
}

/// Adds the object in an allocated block, unless the block belongs to one already; one without goes to `loose`.
fn add_if_object<M: Memory>(
    memory: &M,
    rt: &Runtime,
    found: &mut Discovery,
    (start, bytes): (u64, u64),
    loose: &mut Vec<(u64, u64)>,
) {
    if is_owned(found, start, bytes) {
        return;
    }
    for offset in STARTS.into_iter().filter(|offset| offset + 16 <= bytes) {
        let object = start + offset;
        let Some(type_idx) = found.types.of_object(memory, rt, object) else { continue };
        let info = found.types.get(type_idx);
        if info.presize == offset
            && is_object(memory, rt, info, object)
            && holds_together(memory, rt, found, object)
        {
            found.add_from_census(memory, rt, object);
            return;
        }
    }
    loose.push((start, bytes));
}

/// Whether what only looks like an object can be one: read whole, with references that lead to objects, and a count
/// that a lost reference can have. Stale memory of a dead object fails one of them.
fn holds_together<M: Memory>(memory: &M, rt: &Runtime, found: &mut Discovery, object: u64) -> bool {
    let Some(type_idx) = found.types.of_object(memory, rt, object) else { return false };
    if refcount(memory, rt, object).is_none_or(|count| !count.immortal && count.count > COUNT_MAX) {
        return false;
    }
    let mut targets = Targets::default();
    let read = references(memory, rt, found.types.get(type_idx), object, &mut targets);
    let Targets(targets) = targets;
    read == Read::Complete
        && targets.iter().all(|target| found.types.of_object(memory, rt, *target).is_some())
}

/// The first references that an object owns.
#[derive(Default)]
struct Targets(Vec<u64>);

impl Sink for Targets {
    fn edge(&mut self, target: u64, _label: Label, strength: Strength) {
        if strength == Strength::Owned && self.0.len() < TARGETS_MAX {
            self.0.push(target);
        }
    }

    fn block(&mut self, _addr: u64, _bytes: u64) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use heapray_testkit::{ProcMemory, Target, find_pythons};

    const SCRIPT: &str = r##"
import ctypes, os, re, sys, tempfile, threading
class Info(ctypes.Structure):
    _fields_ = [(n, ctypes.c_size_t) for n in "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()]
libc = ctypes.CDLL(None)
info = libc.mallinfo2
info.restype = Info
keep = [bytes(i % 3000) for i in range(20000)]
keep = keep[::2]
for size in (24, 40, 100, 900):
    libc.malloc.restype = ctypes.c_void_p
    blocks = [libc.malloc(size) for _ in range(50)]
    for block in blocks[::2]:
        libc.free(ctypes.c_void_p(block))
sys.stderr.flush()
with tempfile.TemporaryFile() as out:
    saved = os.dup(2)
    os.dup2(out.fileno(), 2)
    sys._debugmallocstats()
    os.dup2(saved, 2)
    out.seek(0)
    text = out.read().decode()
small = int(re.search(r"# bytes in allocated blocks\s*=\s*([\d,]+)", text)[1].replace(",", ""))
print(small)
one = info()
print(one.uordblks + one.hblkhd, flush=True)
sys.stdin.readline()
"##;

    #[test]
    fn every_allocated_byte_is_counted() {
        for python in find_pythons() {
            let mut target = Target::start(python, SCRIPT);
            let small: u64 = target.line().parse().expect("a number");
            let large: u64 = target.line().parse().expect("a number");
            let mut memory = ProcMemory::open(target.pid());
            let regions = memory.regions().to_vec();
            let statics = crate::walk::static_ranges(&regions);
            let oracle = target.memory();
            let rt = Runtime::find(&memory, &|name| oracle.symbol(name)).expect("a supported Python");
            let sweep = Sweep { rt: &rt, regions: &regions, statics: &statics };
            let census = Census::take(&mut memory, &sweep, &mut Discovery::new());
            let near = |ours: u64, theirs: u64, slack: u64| ours.abs_diff(theirs) <= slack;
            assert!(near(census.pymalloc.bytes, small, 64 << 10), "{python:?}: {census:?} {small}");
            let used = census.malloc.bytes + census.chunks.cached_bytes;
            assert!(near(used, large, 32 << 10), "{python:?}: {:?} {used} {large}", census.malloc);
            assert_eq!(census.unwalked_bytes(), 0, "{python:?}");
        }
    }
}
