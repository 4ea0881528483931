//! x86-64: system calls by `syscall`, the thread pointer from `fs:0`.
//!
//! Unsafe: inline assembly: the only way to reach the kernel without a library, and hooks that touch nothing but what they
//! must.
#![allow(unsafe_code)]

use core::arch::{asm, naked_asm};

use crate::hooks::{python, sampled};
use crate::sampler::{MEM_LEFT, OBJECT_LEFT};
use crate::{patch, real};

/// Numbers of the system calls that are used (Linux, `asm/unistd_64.h`).
pub(crate) mod nr {
    pub(crate) const READ: usize = 0;
    pub(crate) const CLOSE: usize = 3;
    pub(crate) const MMAP: usize = 9;
    pub(crate) const MPROTECT: usize = 10;
    pub(crate) const MUNMAP: usize = 11;
    pub(crate) const RT_SIGPROCMASK: usize = 14;
    pub(crate) const PREAD64: usize = 17;
    pub(crate) const SCHED_YIELD: usize = 24;
    pub(crate) const MREMAP: usize = 25;
    pub(crate) const MINCORE: usize = 27;
    pub(crate) const MADVISE: usize = 28;
    pub(crate) const NANOSLEEP: usize = 35;
    pub(crate) const GETPID: usize = 39;
    pub(crate) const PRCTL: usize = 157;
    pub(crate) const GETTID: usize = 186;
    pub(crate) const CLOCK_GETTIME: usize = 228;
    pub(crate) const OPENAT: usize = 257;
    pub(crate) const PROCESS_VM_READV: usize = 310;
    pub(crate) const GETRANDOM: usize = 318;
}

/// One system call; answers the kernel's word (-errno on failure).
///
/// # Safety
///
/// The arguments must be such that the call leaves memory that others use as it is.
#[inline]
pub(crate) unsafe fn syscall(number: usize, args: [usize; 6]) -> isize {
    let answer: isize;
    // SAFETY: the kernel clobbers rcx and r11 only; the caller answers for what the call does.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => answer,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    answer
}

/// Ends the process by an invalid instruction.
pub(crate) fn trap() -> ! {
    // SAFETY: does not return.
    unsafe { asm!("ud2", options(noreturn, nostack)) }
}

/// The calling thread's pointer: glibc and musl keep it at `fs:0`; it is also what `pthread_self` answers.
#[inline]
pub(crate) fn thread_pointer() -> usize {
    let pointer: usize;
    // SAFETY: x86-64 Linux programs keep the thread's own address at fs:0 (psABI, TLS variant II).
    unsafe { asm!("mov {}, fs:0", out(reg) pointer, options(pure, readonly, nostack, preserves_flags)) };
    pointer
}

/// The processor's counter of time, in ticks of its own. To be asked for only where [`crate::kernel::may_read_counter`].
#[inline]
pub(crate) fn counter() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: reads a register.
    unsafe { asm!("rdtsc", out("rax") low, out("rdx") high, options(nomem, nostack, preserves_flags)) };
    high << 32 | low
}

/// Tells the processor that the memory at `addr` will be wanted soon; any address will do.
#[inline]
pub(crate) fn prefetch(addr: usize) {
    // SAFETY: changes nothing and never faults.
    unsafe { asm!("prefetcht0 [{}]", in(reg) addr, options(nostack, preserves_flags, readonly)) }
}

/// Where C libraries keep the kernel's id of a thread, in bytes behind the thread pointer: musl, glibc. In this order,
/// since musl's record of a thread ends before glibc's place.
pub(crate) const TID_OFFSETS: &[u64] = &[48, 720];

/// Relocation of a procedure's slot, `R_X86_64_JUMP_SLOT`.
pub(crate) const R_JUMP_SLOT: u32 = 7;
/// Relocation of an address in the GOT, `R_X86_64_GLOB_DAT`.
pub(crate) const R_GLOB_DAT: u32 = 6;
/// Relocation of an address in data, `R_X86_64_64`.
pub(crate) const R_ABSOLUTE: u32 = 1;
/// `MAP_NORESERVE` of `mmap`.
pub(crate) const MAP_NORESERVE: usize = 0x4000;

/// Entries of the system's allocator, sampled: subtract the size in `$size` from this thread's countdown; below zero go to
/// `$slow`, else on to `$real`. `$before` makes the arguments those of `$real`, `$after` looks at them. `rax` and `rcx` are free.
///
/// The shard is bits 12 to 17 of the thread pointer, as in `sampler::shard`; 64 bytes each.
macro_rules! sharded {
    ($($name:ident [$($before:literal),*] $size:literal $slow:path, [$($after:literal),*] $marked:path, $real:path;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                "mov rax, fs:0",
                "shr rax, 6",
                "and eax, 0xfc0",
                "lea rcx, [rip + {shards}]",
                concat!("sub qword ptr [rcx + rax], ", $size),
                "js 2f",
                $($after,)*
                "jmp qword ptr [rip + {real}]",
                "2:",
                "jmp {slow}",
                "3:",
                "jmp {marked}",
                shards = sym crate::sampler::SHARDS,
                slow = sym $slow,
                marked = sym $marked,
                real = sym $real,
            )
        }
    )*};
}

sharded! {
    sampled_malloc [] "rdi" sampled::slow_malloc, [] sampled::slow_malloc, real::MALLOC;
    sampled_calloc ["mov rdx, rdi", "imul rdx, rsi"] "rdx" sampled::slow_calloc, [] sampled::slow_calloc,
        real::CALLOC;
    sampled_realloc [] "rsi" sampled::slow_realloc, ["test edi, 0xfef", "jz 3f", "cmp qword ptr [rdi - 8], 0x20000", "jae 3f"] sampled::marked_realloc,
        real::REALLOC;
    sampled_raw_malloc ["mov rdi, rsi", "cmp rdi, 1", "adc rdi, 0"] "rdi" sampled::slow_raw_malloc,
        [] sampled::slow_raw_malloc, real::MALLOC;
    sampled_raw_calloc ["mov rdi, rsi", "mov rsi, rdx", "imul rdx, rdi"] "rdx" sampled::slow_raw_calloc,
        ["test rdx, rdx", "jz 3f"] sampled::zero_raw_calloc, real::CALLOC;
    sampled_raw_realloc ["mov rdi, rsi", "mov rsi, rdx", "cmp rsi, 1", "adc rsi, 0"] "rsi"
        sampled::slow_raw_realloc, ["test edi, 0xfef", "jz 3f", "cmp qword ptr [rdi - 8], 0x20000", "jae 3f"] sampled::marked_raw_realloc, real::REALLOC;
}

/// Entries of `free`, sampled: only a block of the kind that samples have is looked at further: at a page (or 16 bytes after one, where
/// the word before it may be in another page for all we know), or large by the word before it, which is glibc's size.
macro_rules! marked {
    ($($name:ident [$($before:literal),*] $marked:path;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                "test edi, 0xfef",
                "jz {marked}",
                "cmp qword ptr [rdi - 8], 0x20000",
                "jae {marked}",
                "jmp qword ptr [rip + {real}]",
                marked = sym $marked,
                real = sym real::FREE,
            )
        }
    )*};
}

marked! {
    sampled_free [] sampled::marked_free;
    sampled_raw_free ["mov rdi, rsi"] sampled::marked_raw_free;
}

/// Entries of a Python domain, sampled: the interpreter's lock is held, so there is one countdown, `$left`. `$at` is the offset
/// of the function in `hooks::python::Domain`.
macro_rules! counted {
    ($($name:ident [$($before:literal),*] $size:literal $left:path, $slow:path, $domain:path, $at:literal;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                $($before,)*
                concat!("sub qword ptr [rip + {left}], ", $size),
                "js {slow}",
                concat!("jmp qword ptr [rip + {domain} + ", $at, "]"),
                left = sym $left,
                slow = sym $slow,
                domain = sym $domain,
            )
        }
    )*};
}

counted! {
    sampled_object_malloc [] "rsi" OBJECT_LEFT, python::slow_object_malloc, python::OBJECT, "8";
    sampled_object_calloc ["mov rax, rsi", "imul rax, rdx"] "rax" OBJECT_LEFT, python::slow_object_calloc,
        python::OBJECT, "16";
    sampled_object_realloc [] "rdx" OBJECT_LEFT, python::slow_object_realloc, python::OBJECT, "24";
    sampled_mem_malloc [] "rsi" MEM_LEFT, python::slow_mem_malloc, python::MEM, "8";
    sampled_mem_calloc ["mov rax, rsi", "imul rax, rdx"] "rax" MEM_LEFT, python::slow_mem_calloc, python::MEM, "16";
    sampled_mem_realloc [] "rdx" MEM_LEFT, python::slow_mem_realloc, python::MEM, "24";
}

/// Entries of the loader's functions. The real one looks at its return address, so it is jumped to, not called; objects that
/// came or went are looked at when the next of these functions is called.
macro_rules! loader {
    ($($name:ident $real:path, $changes:literal;)*) => {$(
        #[unsafe(naked)]
        pub(crate) extern "C" fn $name() {
            naked_asm!(
                "cmp dword ptr [rip + {is_stale}], 0",
                "je 2f",
                "push rdi",
                "push rsi",
                "push rdx",
                "call {refresh}",
                "pop rdx",
                "pop rsi",
                "pop rdi",
                "2:",
                concat!("or dword ptr [rip + {is_stale}], ", $changes),
                "jmp qword ptr [rip + {real}]",
                is_stale = sym patch::IS_STALE,
                refresh = sym patch::refresh,
                real = sym $real,
            )
        }
    )*};
}

loader! {
    dlopen real::DLOPEN, "1";
    dlclose real::DLCLOSE, "1";
    dlsym real::DLSYM, "0";
    dlvsym real::DLVSYM, "0";
}

// The memory functions that the compiler calls, where there is no C library to have them. Hidden: the process must not get
// ours. Short copies are inlined, so these are for long ones.
#[cfg(panic = "abort")]
core::arch::global_asm!(
    ".macro hidden name",
    ".globl \\name",
    ".hidden \\name",
    ".type \\name, @function",
    "\\name:",
    ".endm",
    ".text",
    "hidden memcpy",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    "hidden memmove",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    "2:",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    "hidden memset",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    "hidden memcmp",
    "hidden bcmp",
    "xor eax, eax",
    "test rdx, rdx",
    "jz 4f",
    "3:",
    "movzx eax, byte ptr [rdi]",
    "movzx ecx, byte ptr [rsi]",
    "sub eax, ecx",
    "jnz 4f",
    "inc rdi",
    "inc rsi",
    "dec rdx",
    "jnz 3b",
    "4:",
    "ret",
    ".purgem hidden",
);

/// Number of the stack pointer in call frame information (psABI, figure 3.36).
pub(crate) const DWARF_STACK_POINTER: u64 = 7;
/// Number of the frame pointer, `rbp`.
pub(crate) const DWARF_FRAME_POINTER: u64 = 6;
/// Number of the return address.
pub(crate) const DWARF_RETURN_ADDRESS: u64 = 16;
/// Where the kernel's record of a signal has `rbp`, `rsp` and `rip`, in bytes behind the stack pointer of the frame that
/// returns from the signal: `uc_mcontext` of `struct ucontext`.
pub(crate) const SIGNAL_CONTEXT: Option<[u64; 3]> = Some([120, 160, 168]);

/// Instruction pointer, stack pointer and frame pointer of the function that this is inlined into.
///
/// The first is one that a call could return to, which is never made: what is left of it on a stack, or in a copy of one (greenlets
/// have theirs copied), then reads as a return address, not as the address of a function that somebody has kept.
#[inline(always)]
pub(crate) fn registers() -> [u64; 3] {
    let (pc, sp, fp): (u64, u64, u64);
    // SAFETY: reads registers.
    unsafe {
        asm!("jmp 2f", "call 2f", "2:", "lea {}, [rip + 2b]", "mov {}, rsp", "mov {}, rbp",
            out(reg) pc, out(reg) sp, out(reg) fp, options(nomem, nostack, preserves_flags));
    }
    [pc, sp, fp]
}
