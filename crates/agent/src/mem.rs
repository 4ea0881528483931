//! Raw words and raw calls: the few operations on addresses that everything else is written with.
//!
//! Addresses are plain numbers in the agent: most of them are other people's.
//!
//! Unsafe: reads and writes through addresses, calls through addresses. Who calls says why the address is good.
#![allow(unsafe_code)]

use core::mem::transmute;

/// Longest C text that is read, in bytes.
const MAX_TEXT_BYTES: usize = 4096;

/// The value at `addr`.
///
/// # Safety
///
/// `addr` is readable for a `T`, and any bits are a `T`.
#[inline]
pub(crate) unsafe fn load<T: Copy>(addr: usize) -> T {
    // SAFETY: the caller's.
    unsafe { (addr as *const T).read_unaligned() }
}

/// Puts `value` at `addr`.
///
/// # Safety
///
/// `addr` is writable for a `T`, and nobody has a reference to it.
#[inline]
pub(crate) unsafe fn store<T: Copy>(addr: usize, value: T) {
    // SAFETY: the caller's.
    unsafe { (addr as *mut T).write_unaligned(value) }
}

/// The value at `addr`, which stays there for good.
///
/// # Safety
///
/// `addr` is an aligned `T` whose memory is never given back, and whose fields are atomics.
#[inline]
pub(crate) unsafe fn shared<T>(addr: usize) -> &'static T {
    // SAFETY: the caller's.
    unsafe { &*(addr as *const T) }
}

/// The C text at `addr` without its end, at most [`MAX_TEXT_BYTES`].
///
/// # Safety
///
/// `addr` is 0 or a C text that lives while the answer is used.
pub(crate) unsafe fn text(addr: usize) -> &'static [u8] {
    if addr == 0 {
        return &[];
    }
    let mut len = 0;
    // SAFETY: every byte up to the ending zero is readable.
    while len < MAX_TEXT_BYTES && unsafe { load::<u8>(addr + len) } != 0 {
        len += 1;
    }
    // SAFETY: `len` bytes were just read.
    unsafe { core::slice::from_raw_parts(addr as *const u8, len) }
}

/// Calls `f(a)`.
///
/// # Safety
///
/// `f` is a C function of one word, and may be called with this one. So for the others.
#[inline]
pub(crate) unsafe fn call1(f: usize, a: usize) -> usize {
    // SAFETY: the caller's.
    let f = unsafe { transmute::<usize, extern "C" fn(usize) -> usize>(f) };
    f(a)
}

/// Calls `f(a, b)`.
///
/// # Safety
///
/// As [`call1`].
#[inline]
pub(crate) unsafe fn call2(f: usize, a: usize, b: usize) -> usize {
    // SAFETY: the caller's.
    let f = unsafe { transmute::<usize, extern "C" fn(usize, usize) -> usize>(f) };
    f(a, b)
}

/// Calls `f(a, b, c)`.
///
/// # Safety
///
/// As [`call1`].
#[inline]
pub(crate) unsafe fn call3(f: usize, a: usize, b: usize, c: usize) -> usize {
    // SAFETY: the caller's.
    let f = unsafe { transmute::<usize, extern "C" fn(usize, usize, usize) -> usize>(f) };
    f(a, b, c)
}

/// Calls `f` with six words; a function of fewer ignores the rest (both ABIs pass the first six in registers).
///
/// # Safety
///
/// As [`call1`].
#[inline]
pub(crate) unsafe fn call6(f: usize, args: [usize; 6]) -> usize {
    type Function = extern "C" fn(usize, usize, usize, usize, usize, usize) -> usize;
    // SAFETY: the caller's.
    let f = unsafe { transmute::<usize, Function>(f) };
    f(args[0], args[1], args[2], args[3], args[4], args[5])
}

/// Copies `n` bytes.
///
/// # Safety
///
/// Both ranges are good for `n` bytes and do not overlap.
pub(crate) unsafe fn copy(from: usize, to: usize, n: usize) {
    // SAFETY: the caller's.
    unsafe { core::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, n) }
}

/// Makes `n` bytes zero.
///
/// # Safety
///
/// The range is writable.
pub(crate) unsafe fn zero(addr: usize, n: usize) {
    // SAFETY: the caller's.
    unsafe { core::ptr::write_bytes(addr as *mut u8, 0, n) }
}
