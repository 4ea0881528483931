//! Pools of CPython's small-object allocator, recognised by their own structure.
//!
//! A pool header checks itself (sizes, offsets and counts must agree), so pools are found without the arena
//! table, whose symbol stripped builds do not have. It does not enumerate memory: the caller offers addresses.
//! Source: `Include/internal/pycore_obmalloc.h`, `Objects/obmalloc.c` (the same from 3.10 to 3.15).

use crate::Memory;

/// `POOL_SIZE` with large pools, in bytes; pools are aligned to it.
pub const POOL_BYTES: u64 = 16 * 1024;
/// `ARENA_SIZE` with large arenas, in bytes.
pub const ARENA_BYTES: u64 = 1024 * 1024;
/// Largest request that pymalloc serves, in bytes.
pub const SMALL_REQUEST_BYTES: u64 = 512;
const OVERHEAD: u64 = 48;
const CLASSES: u32 = 32;
/// Most blocks in a pool, those of 16 bytes.
const BLOCKS_MAX: usize = 1024;

/// One pool in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// Its address, a multiple of [`POOL_BYTES`].
    pub address: u64,
    /// Size of its blocks in bytes, a multiple of 16.
    pub block_bytes: u64,
    /// Blocks handed out at least once.
    pub n_carved: u64,
    /// Blocks in use now.
    pub n_allocated: u64,
    /// Which arena it belongs to.
    pub arena_idx: u32,
    free_head: u64,
}

impl Pool {
    /// The pool at `address`, if one in use is there.
    pub fn read<M: Memory>(memory: &M, address: u64) -> Option<Self> {
        let header: [u8; 48] = memory.array(address)?;
        let word = |at: usize| u64::from_le_bytes(header[at..at + 8].try_into().expect("eight bytes"));
        let half = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("four bytes"));
        let (szidx, next, max_next) = (half(36), u64::from(half(40)), u64::from(half(44)));
        let block_bytes = (u64::from(szidx) + 1) * 16;
        let n_allocated = u64::from(half(0));
        let free_head = word(8);
        let fits = szidx < CLASSES
            && max_next == POOL_BYTES - block_bytes
            && next >= OVERHEAD + 2 * block_bytes
            && next <= POOL_BYTES
            && (next - OVERHEAD).is_multiple_of(block_bytes);
        if !fits || n_allocated == 0 {
            return None;
        }
        let n_carved = (next - OVERHEAD) / block_bytes;
        let pool = Self { address, block_bytes, n_carved, n_allocated, arena_idx: half(32), free_head };
        let head_fits = free_head == 0 || pool.index(free_head).is_some();
        (n_allocated <= n_carved && head_fits && word(16) != 0 && word(24) != 0).then_some(pool)
    }

    /// Address of block `i`.
    pub fn block(&self, i: u64) -> u64 {
        self.address + OVERHEAD + i * self.block_bytes
    }

    /// The number of the carved block that starts at `address`.
    pub fn index(&self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(self.address + OVERHEAD)?;
        let i = offset / self.block_bytes;
        (offset.is_multiple_of(self.block_bytes) && i < self.n_carved).then_some(i)
    }

    /// The number of the carved block that contains `address`.
    pub fn index_containing(&self, address: u64) -> Option<u64> {
        let i = address.checked_sub(self.address + OVERHEAD)? / self.block_bytes;
        (i < self.n_carved).then_some(i)
    }

    /// Which blocks are on the pool's free list. Stops at the first broken link.
    pub fn free<M: Memory>(&self, memory: &M) -> FreeSet {
        let mut set = FreeSet { bits: [0; BLOCKS_MAX / 64] };
        let mut at = self.free_head;
        for _ in 0..self.n_carved - self.n_allocated {
            let Some(i) = self.index(at) else { break };
            set.bits[i as usize / 64] |= 1 << (i % 64);
            let Some(next) = memory.u64(at) else { break };
            at = next;
        }
        set
    }
}

/// The free blocks of one pool, by block number.
#[derive(Clone, Debug)]
pub struct FreeSet {
    bits: [u64; BLOCKS_MAX / 64],
}

impl FreeSet {
    /// Whether block `i` is free.
    pub fn contains(&self, i: u64) -> bool {
        self.bits.get(i as usize / 64).is_some_and(|word| word >> (i % 64) & 1 == 1)
    }
}
