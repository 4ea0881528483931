//! aarch64: system calls by `svc 0`, the thread pointer from `tpidr_el0`.
//!
//! Unsafe: inline assembly, which is the only way to reach the kernel without a library. Compiled in CI, never run
//! there: no such machine is at hand.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};

use crate::hooks::{python, sampled};
use crate::sampler::{MEM_LEFT, OBJECT_LEFT};
use crate::{patch, real};

/// Numbers of the system calls that are used (Linux, `asm-generic/unistd.h`).
pub(crate) mod nr {
    pub(crate) const OPENAT: usize = 56;
    pub(crate) const CLOSE: usize = 57;
    pub(crate) const READ: usize = 63;
    pub(crate) const PREAD64: usize = 67;
    pub(crate) const NANOSLEEP: usize = 101;
    pub(crate) const CLOCK_GETTIME: usize = 113;
    pub(crate) const SCHED_YIELD: usize = 124;
    pub(crate) const RT_SIGPROCMASK: usize = 135;
    pub(crate) const PRCTL: usize = 167;
    pub(crate) const GETPID: usize = 172;
    pub(crate) const GETTID: usize = 178;
    pub(crate) const MUNMAP: usize = 215;
    pub(crate) const MREMAP: usize = 216;
    pub(crate) const MMAP: usize = 222;
    pub(crate) const MPROTECT: usize = 226;
    pub(crate) const MINCORE: usize = 232;
    pub(crate) const MADVISE: usize = 233;
    pub(crate) const PROCESS_VM_READV: usize = 270;
    pub(crate) const GETRANDOM: usize = 278;
}

/// One system call; answers the kernel's word (-errno on failure).
///
/// # Safety
///
/// The arguments must be such that the call leaves memory that others use as it is.
#[inline]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the kernel changes x0 only; the caller answers for what the call does.
    unsafe {
        asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") args[0] as isize => answer,
            in("x1") args[1],
            in("x2") args[2],
            in("x3") args[3],
            in("x4") args[4],
            in("x5") args[5],
            options(nostack),
        );
    }
    answer
}

/// Ends the process by an invalid instruction.
pub(crate) fn trap() -> ! {
    // SAFETY: does not return.
    unsafe { asm!("brk #1", options(noreturn, nostack)) }
}

/// The calling thread's pointer. `pthread_self` of glibc lies below it by a fixed distance.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, tpidr_el0", out(reg) pointer, options(pure, nomem, nostack, preserves_flags)) };
    pointer
}

/// The processor's counter of time, in ticks of its own.
#[inline]
pub(crate) fn counter() -> u64 {
    let ticks: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
    ticks
}

/// Tells the processor that the memory at `addr` will be wanted soon; any address will do.
#[inline]
pub(crate) fn prefetch(addr: usize) {
    // SAFETY: changes nothing and never faults.
    unsafe { asm!("prfm pldl1keep, [{}]", in(reg) addr, options(nostack, preserves_flags, readonly)) }
}

/// Where C libraries keep the kernel's id of a thread, in bytes behind the thread pointer: they keep it before it here,
/// at a place that differs between versions.
pub(crate) const TID_OFFSETS: &[u64] = &[];

/// Relocation of a procedure's slot, `R_AARCH64_JUMP_SLOT`.
pub(crate) const R_JUMP_SLOT: u32 = 1026;
/// Relocation of an address in the GOT, `R_AARCH64_GLOB_DAT`.
pub(crate) const R_GLOB_DAT: u32 = 1025;
/// Relocation of an address in data, `R_AARCH64_ABS64`.
pub(crate) const R_ABSOLUTE: u32 = 257;
/// `MAP_NORESERVE` of `mmap`.
pub(crate) const MAP_NORESERVE: usize = 0x4000;

/// As in `x86_64`: subtract the size in `$size` from this thread's countdown (bits 12 to 17 of the thread pointer choose it);
/// below zero go to `$slow`, else on to `$real`. `x9` to `x17` are free.
macro_rules! sharded {
    ($($name:ident [$($before:literal),*] $size:literal $slow:path, [$($after:literal),*] $marked:path, $real:path;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                "mrs x9, tpidr_el0",
                "ubfx x9, x9, #12, #6",
                "adrp x10, {shards}",
                "add x10, x10, :lo12:{shards}",
                "add x10, x10, x9, lsl #6",
                "ldr x11, [x10]",
                concat!("subs x11, x11, ", $size),
                "str x11, [x10]",
                "b.mi 2f",
                $($after,)*
                "adrp x16, {real}",
                "ldr x16, [x16, :lo12:{real}]",
                "br x16",
                "2:",
                "b {slow}",
                "3:",
                "b {marked}",
                shards = sym crate::sampler::SHARDS,
                slow = sym $slow,
                marked = sym $marked,
                real = sym $real,
            )
        }
    )*};
}

sharded! {
    sampled_malloc [] "x0" sampled::slow_malloc, [] sampled::slow_malloc, real::MALLOC;
    sampled_calloc ["mul x12, x0, x1"] "x12" sampled::slow_calloc, [] sampled::slow_calloc, real::CALLOC;
    sampled_realloc [] "x1" sampled::slow_realloc, [
            "mov w12, #0xfef", "tst w0, w12", "b.eq 3f", "ldur x12, [x0, #-8]", "cmp x12, #0x20, lsl #12", "b.hs 3f"
        ]
        sampled::marked_realloc, real::REALLOC;
    sampled_raw_malloc ["cmp x1, #1", "csinc x0, x1, xzr, hs"] "x0" sampled::slow_raw_malloc,
        [] sampled::slow_raw_malloc, real::MALLOC;
    sampled_raw_calloc ["mov x0, x1", "mov x1, x2", "mul x12, x0, x1"] "x12" sampled::slow_raw_calloc,
        ["cbz x12, 3f"] sampled::zero_raw_calloc, real::CALLOC;
    sampled_raw_realloc ["mov x0, x1", "cmp x2, #1", "csinc x1, x2, xzr, hs"] "x1" sampled::slow_raw_realloc,
        [
            "mov w12, #0xfef", "tst w0, w12", "b.eq 3f", "ldur x12, [x0, #-8]", "cmp x12, #0x20, lsl #12", "b.hs 3f"
        ] sampled::marked_raw_realloc, real::REALLOC;
}

/// As in `x86_64`: only a block of the kind that samples have is looked at further.
macro_rules! marked {
    ($($name:ident [$($before:literal),*] $marked:path;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                "mov w9, #0xfef",
                "tst w0, w9",
                "b.eq 2f",
                "ldur x9, [x0, #-8]",
                "cmp x9, #0x20, lsl #12",
                "b.hs 2f",
                "adrp x16, {real}",
                "ldr x16, [x16, :lo12:{real}]",
                "br x16",
                "2:",
                "b {marked}",
                marked = sym $marked,
                real = sym real::FREE,
            )
        }
    )*};
}

marked! {
    sampled_free [] sampled::marked_free;
    sampled_raw_free ["mov x0, x1"] sampled::marked_raw_free;
}

/// As in `x86_64`: a Python domain's countdown `$left`; `$at` is the offset of the function in its `Domain`.
macro_rules! counted {
    ($($name:ident [$($before:literal),*] $size:literal $left:path, $slow:path, $domain:path, $at:literal;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                "adrp x10, {left}",
                "ldr x11, [x10, :lo12:{left}]",
                concat!("subs x11, x11, ", $size),
                "str x11, [x10, :lo12:{left}]",
                "b.mi 2f",
                "adrp x16, {domain}",
                "add x16, x16, :lo12:{domain}",
                concat!("ldr x16, [x16, #", $at, "]"),
                "br x16",
                "2:",
                "b {slow}",
                left = sym $left,
                slow = sym $slow,
                domain = sym $domain,
            )
        }
    )*};
}

counted! {
    sampled_object_malloc [] "x1" OBJECT_LEFT, python::slow_object_malloc, python::OBJECT, "8";
    sampled_object_calloc ["mul x12, x1, x2"] "x12" OBJECT_LEFT, python::slow_object_calloc, python::OBJECT, "16";
    sampled_object_realloc [] "x2" OBJECT_LEFT, python::slow_object_realloc, python::OBJECT, "24";
    sampled_mem_malloc [] "x1" MEM_LEFT, python::slow_mem_malloc, python::MEM, "8";
    sampled_mem_calloc ["mul x12, x1, x2"] "x12" MEM_LEFT, python::slow_mem_calloc, python::MEM, "16";
    sampled_mem_realloc [] "x2" MEM_LEFT, python::slow_mem_realloc, python::MEM, "24";
}

/// As in `x86_64`: the loader's functions are jumped to; what came or went is looked at when the next of them is called.
macro_rules! loader {
    ($($name:ident $real:path, $changes:literal;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                "adrp x9, {is_stale}",
                "add x9, x9, :lo12:{is_stale}",
                "ldr w10, [x9]",
                "cbz w10, 2f",
                "stp x0, x1, [sp, #-32]!",
                "stp x2, x30, [sp, #16]",
                "bl {refresh}",
                "ldp x2, x30, [sp, #16]",
                "ldp x0, x1, [sp], #32",
                "2:",
                "adrp x9, {is_stale}",
                "add x9, x9, :lo12:{is_stale}",
                "ldr w10, [x9]",
                concat!("orr w10, w10, ", $changes),
                "str w10, [x9]",
                "adrp x16, {real}",
                "ldr x16, [x16, :lo12:{real}]",
                "br x16",
                is_stale = sym patch::IS_STALE,
                refresh = sym patch::refresh,
                real = sym $real,
            )
        }
    )*};
}

loader! {
    dlopen real::DLOPEN, "#1";
    dlclose real::DLCLOSE, "#1";
    dlsym real::DLSYM, "wzr";
    dlvsym real::DLVSYM, "wzr";
}

// As in `x86_64`: hidden memory functions for the image. Byte by byte: they are rare.
#[cfg(panic = "abort")]
core::arch::global_asm!(
    ".macro hidden name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name, %function",
    "\\name:",
    ".endm",
    ".text",
    "hidden memmove",
    "sub x8, x0, x1",
    "cmp x8, x2",
    "b.lo 5f",
    "hidden memcpy",
    "mov x8, x0",
    "cbz x2, 3f",
    "2:",
    "ldrb w9, [x1], #1",
    "strb w9, [x8], #1",
    "subs x2, x2, #1",
    "b.ne 2b",
    "3:",
    "ret",
    "5:",
    "cbz x2, 3b",
    "sub x2, x2, #1",
    "ldrb w9, [x1, x2]",
    "strb w9, [x0, x2]",
    "b 5b",
    "hidden memset",
    "mov x8, x0",
    "6:",
    "cbz x2, 3b",
    "strb w1, [x8], #1",
    "sub x2, x2, #1",
    "b 6b",
    "hidden memcmp",
    "hidden bcmp",
    "mov x8, x0",
    "mov w0, wzr",
    "7:",
    "cbz x2, 3b",
    "ldrb w9, [x8], #1",
    "ldrb w10, [x1], #1",
    "subs w0, w9, w10",
    "b.ne 3b",
    "sub x2, x2, #1",
    "b 7b",
    ".purgem hidden",
);

/// Number of the stack pointer in call frame information (DWARF for the Arm 64-bit Architecture).
pub(crate) const DWARF_STACK_POINTER: u64 = 31;
/// Number of the frame pointer, `x29`.
pub(crate) const DWARF_FRAME_POINTER: u64 = 29;
/// Number of the return address, `x30`.
pub(crate) const DWARF_RETURN_ADDRESS: u64 = 30;
/// Where the kernel's record of a signal has its registers: not followed here.
pub(crate) const SIGNAL_CONTEXT: Option<[u64; 3]> = None;

/// Instruction pointer, stack pointer and frame pointer of the function that this is inlined into; the first is one that a call,
/// which is never made, could return to: see there for x86-64.
#[inline(always)]
pub(crate) fn registers() -> [u64; 3] {
    let (pc, sp, fp): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("b 2f", "bl 2f", "2:", "adr {}, 2b", "mov {}, sp", "mov {}, x29",
            out(reg) pc, out(reg) sp, out(reg) fp, options(nomem, nostack, preserves_flags));
    }
    [pc, sp, fp]
}
