//! The shared file's structs in mapped memory.
//!
//! Unsafe: casts addresses of mapped pages to structs of atomics. The mappings are never given back while a hook
//! can run: a fork maps the child's slot over the parent's, and `heapray_stop` leaves unmapping to who mapped.
#![allow(unsafe_code)]

use heapray_wire::ring::cells::{Cell, payload_cells};
use heapray_wire::ring::{
    Claim, Control, MAX_TEMPORARIES, RING_OFFSET, SlotHeader, TEMPORARIES_OFFSET, WINDOW_CELLS,
    WINDOW_OFFSET, claim_offset, ring_cells,
};

use crate::mem::shared;
use crate::ring::Pair;

/// The window's cells.
pub(crate) type WindowPairs = [Pair; WINDOW_CELLS];
/// The temporaries' cells.
pub(crate) type TemporaryPairs = [Pair; 2 * MAX_TEMPORARIES];

/// A control area of zeros.
pub(crate) const fn blank_control() -> Control {
    // SAFETY: zeros are a value of atomics.
    unsafe { core::mem::zeroed() }
}

/// A slot header of zeros.
pub(crate) const fn blank_header() -> SlotHeader {
    // SAFETY: zeros are a value of atomics.
    unsafe { core::mem::zeroed() }
}

/// The control area at `addr`, `None` for 0.
#[inline]
pub(crate) fn control(addr: usize) -> Option<&'static Control> {
    // SAFETY: not 0 is a mapped control area.
    (addr != 0).then(|| unsafe { shared(addr) })
}

/// The slot header at `addr`, `None` for 0.
#[inline]
pub(crate) fn header(addr: usize) -> Option<&'static SlotHeader> {
    // SAFETY: not 0 is a mapped slot.
    (addr != 0).then(|| unsafe { shared(addr) })
}

/// Claim `idx` of the control area at `control`.
pub(crate) fn claim(control: usize, idx: usize) -> &'static Claim {
    // SAFETY: claims lie in the mapped control area; callers stay below its count of slots.
    unsafe { shared(control + claim_offset(idx)) }
}

/// The window of the slot at `slot`.
pub(crate) fn window(slot: usize) -> &'static WindowPairs {
    // SAFETY: part of every mapped slot.
    unsafe { shared(slot + WINDOW_OFFSET) }
}

/// The temporaries of the slot at `slot`.
pub(crate) fn temporaries(slot: usize) -> &'static TemporaryPairs {
    // SAFETY: part of every mapped slot.
    unsafe { shared(slot + TEMPORARIES_OFFSET) }
}

/// The ring of the slot at `slot`, which has `slot_bytes`.
pub(crate) fn ring(slot: usize, slot_bytes: usize) -> &'static [Pair] {
    let n_cells = ring_cells(slot_bytes) as usize;
    // SAFETY: part of every mapped slot; the pairs are atomics.
    unsafe { core::slice::from_raw_parts((slot + RING_OFFSET) as *const Pair, n_cells) }
}

const _: () = assert!(size_of::<Pair>() == size_of::<Cell>() && payload_cells(16) == 1);
