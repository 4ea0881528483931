//! Watching code objects end, so that an address never stands for an object that is gone.
//!
//! `PyCode_Type.tp_dealloc` leads through [`code_ends`] while the agent is in. It takes no lock: it puts the address into a
//! short list that the stack reader takes up before it looks at an address again. Where the list overflows, all addresses
//! are forgotten, which costs time and nothing else.
//!
//! Unsafe: a word of a type object is changed; a function is called by its address.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

use heapray_cpython::layouts::RuntimeLayout;

use crate::stack::index::hash;

/// Ends that are kept until the next look.
const ENDS_MAX: usize = 512;

/// Bits of the filter of known addresses.
const FILTER_BITS: u64 = 1 << 14;

static ENDS: [AtomicU64; ENDS_MAX] = [const { AtomicU64::new(0) }; ENDS_MAX];
static N_ENDS: AtomicU32 = AtomicU32::new(0);
/// Addresses that somebody may want to know the end of: by hash, so that some are in it that were not put in.
static KNOWN: [AtomicU64; FILTER_BITS as usize / 64] =
    [const { AtomicU64::new(0) }; FILTER_BITS as usize / 64];
/// The interpreter's own function, and the slot where it stood; 0 while nothing is watched.
static REAL: AtomicU64 = AtomicU64::new(0);
static SLOT: AtomicU64 = AtomicU64::new(0);

type Dealloc = unsafe extern "C" fn(u64);

/// Begins to watch. Once; a second call changes nothing.
///
/// # Safety
///
/// `code_type` is the address of `PyCode_Type` in the Python of this layout; the calling thread holds its interpreter, or
/// all others are stopped.
pub(crate) unsafe fn begin(code_type: u64, layout: &RuntimeLayout) -> bool {
    if code_type == 0 || SLOT.load(Relaxed) != 0 {
        return false;
    }
    let slot = code_type + u64::from(layout.type_dealloc);
    // SAFETY: an aligned word of a static type object, which is writable and never moves.
    let word = unsafe { &*(slot as *const AtomicU64) };
    REAL.store(word.load(Relaxed), Relaxed);
    SLOT.store(slot, Relaxed);
    let ours: Dealloc = code_ends;
    word.store(ours as usize as u64, Release);
    true
}

/// Ends the watch: the interpreter's own function is put back where it stood. Later ends go unseen.
pub(crate) fn end() {
    let slot = SLOT.swap(0, Relaxed);
    if slot == 0 {
        return;
    }
    // SAFETY: the word that `begin` changed.
    let word = unsafe { &*(slot as *const AtomicU64) };
    let ours: Dealloc = code_ends;
    // Whoever put another function there since calls ours in turn, which goes on to work.
    let _ = word.compare_exchange(ours as usize as u64, REAL.load(Relaxed), Release, Relaxed);
}

/// Whether ends are seen.
#[inline]
pub(crate) fn is_on() -> bool {
    SLOT.load(Relaxed) != 0
}

/// From now on the end of the code object at `address` is of interest.
pub(crate) fn know(address: u64) {
    let (word, bit) = place(address);
    word.fetch_or(bit, Relaxed);
}

/// Calls `each` with the known code objects that ended since the last call (and perhaps others); `false` where some
/// cannot be named.
#[inline]
pub(crate) fn take(each: impl FnMut(u64)) -> bool {
    match N_ENDS.load(Acquire) {
        0 => true,
        _ => take_some(each),
    }
}

#[cold]
fn take_some(mut each: impl FnMut(u64)) -> bool {
    let n = N_ENDS.swap(0, Acquire) as usize;
    let mut are_all_named = n <= ENDS_MAX;
    for end in &ENDS[..n.min(ENDS_MAX)] {
        match end.swap(0, Acquire) {
            // Counted, and not written yet.
            0 => are_all_named = false,
            address => each(address),
        }
    }
    are_all_named
}

fn place(address: u64) -> (&'static AtomicU64, u64) {
    let bit = hash(address, 2) % FILTER_BITS;
    (&KNOWN[(bit / 64) as usize], 1 << (bit % 64))
}

fn note(address: u64) {
    let (word, bit) = place(address);
    if word.load(Relaxed) & bit == 0 {
        return;
    }
    let number = N_ENDS.fetch_add(1, Relaxed) as usize;
    if let Some(end) = ENDS.get(number) {
        end.store(address, Release);
    }
    // Publishes the address to whoever sees the number.
    N_ENDS.fetch_add(0, Release);
}

/// Stands in `tp_dealloc` of code objects.
unsafe extern "C" fn code_ends(object: u64) {
    note(object);
    // SAFETY: the function that stood here before us, which is a `destructor` and gets what we got.
    let real = unsafe { core::mem::transmute::<usize, Dealloc>(REAL.load(Relaxed) as usize) };
    // SAFETY: as above.
    unsafe { real(object) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_known_addresses_are_taken_once() {
        let taken = || {
            let mut found = Vec::new();
            take(|address| found.push(address)).then_some(found)
        };
        assert_eq!(taken(), Some(vec![]));
        (1..=3).for_each(|n| know(n * 4096));
        note(4096);
        note(3 * 4096);
        assert_eq!(taken(), Some(vec![4096, 3 * 4096]));
        assert_eq!(taken(), Some(vec![]));
        (0..=ENDS_MAX).for_each(|_| note(4096));
        assert_eq!(taken(), None);
        assert_eq!(taken(), Some(vec![]));
        // What nobody knows of is no end, but for a chance of one in thousands each.
        (1000..1100).for_each(|n| note(n * 16));
        assert!(taken().is_some_and(|found| found.len() < 5));
    }
}
