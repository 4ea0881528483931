//! The image's symbols: its two entry points, its constructor, and what the compiler asks of a C library.
//!
//! Unsafe: exported symbols, memory functions, and a panic handler that ends the process without a library.
#![allow(unsafe_code)]

use core::alloc::{GlobalAlloc, Layout};
use core::panic::PanicInfo;

use heapray_agent::Start;

/// Begins to record; see `heapray_agent::start`.
///
/// # Safety
///
/// `start` is readable, its addresses are 0 or what they are said to be, and no other thread runs.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heapray_start(start: *const Start) -> i64 {
    // SAFETY: the caller's.
    heapray_agent::start(unsafe { &*start })
}

/// Takes every hook out; see `heapray_agent::stop`.
#[unsafe(no_mangle)]
pub extern "C" fn heapray_stop() -> i64 {
    heapray_agent::stop()
}

/// Labels what the calling thread allocates from now on; without bytes takes the label off.
///
/// # Safety
///
/// `text` has `n_bytes` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn heapray_tag(text: *const u8, n_bytes: usize) {
    let is_empty = text.is_null() || n_bytes == 0;
    // SAFETY: the caller's.
    heapray_agent::set_tag(if is_empty {
        &[]
    } else {
        unsafe { core::slice::from_raw_parts(text, n_bytes) }
    });
}

extern "C" fn construct() {
    heapray_agent::start_preloaded();
}

// SAFETY: the loader calls what stands in this section, with any arguments.
#[unsafe(link_section = ".init_array")]
#[used]
static CONSTRUCTOR: extern "C" fn() = construct;

/// The agent never panics by design; if it does, it must not run on.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    heapray_agent::abort()
}

/// The crates below could allocate; the agent's use of them never does.
struct NoAllocator;

// SAFETY: an allocator that has no memory.
unsafe impl GlobalAlloc for NoAllocator {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoAllocator = NoAllocator;
