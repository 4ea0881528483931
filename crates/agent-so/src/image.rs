//! The image's symbols.
//!
//! Unsafe: exported symbols, and a panic handler that ends the process without a library.
#![allow(unsafe_code)]

use core::panic::PanicInfo;

/// The agent never panics by design; if it does, it must not run on.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    loop {}
}
