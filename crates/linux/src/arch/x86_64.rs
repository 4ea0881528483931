//! x86-64.
//!
//! At a ptrace stop inside a system call `orig_rax` is its number and `rax` its result, `-ERESTART…` where the
//! kernel will restart it: it does so on the way back, from the registers as they are then (arch/x86/kernel/signal.c,
//! `arch_do_signal_or_restart`). So −1 in `orig_rax` switches restart off for our call, and putting both back
//! before one more signal stop switches it on again for the thread's own.

use std::arch::x86_64::__cpuid_count;

use super::way_back::{Fields, Frame};
use super::{Call, FunctionCall, RESTARTS, ThreadState};

/// Number of general registers, in the order of `user_regs_struct` (arch/x86/include/asm/user_64.h).
pub const REGISTER_COUNT: usize = 27;
/// `syscall`.
pub const SYSCALL_INSTRUCTION: [u8; 2] = [0x0f, 0x05];
/// `syscall; ret`.
pub const CALL_AND_RETURN: [u8; 3] = [0x0f, 0x05, 0xc3];
/// `mov $15, %rax; syscall`: how every C library ends a signal's handler (debuggers know it by these bytes).
pub const SIGNAL_RETURN: [u8; 9] = [0x48, 0xc7, 0xc0, 0x0f, 0x00, 0x00, 0x00, 0x0f, 0x05];
/// Where a called function returns to. Tells its answer, gives way for 2^31 ticks of the processor's counter (some 0.7 s) so that
/// whoever called can come, and becomes what the frame behind the landing says.
pub const LANDING_CODE: [u8; 61] = [
    0x48, 0x89, 0x44, 0x24, 0x08, // mov %rax, 8(%rsp)
    0x48, 0xc7, 0x04, 0x24, 0x01, 0x00, 0x00, 0x00, // movq $1, (%rsp)
    0x0f, 0x31, // rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl $32, %rdx
    0x48, 0x09, 0xd0, // or %rdx, %rax
    0x48, 0x89, 0xc3, // mov %rax, %rbx
    0xb8, 0x18, 0x00, 0x00, 0x00, // 1: mov $24, %eax (sched_yield)
    0x0f, 0x05, // syscall
    0x0f, 0x31, // rdtsc
    0x48, 0xc1, 0xe2, 0x20, // shl $32, %rdx
    0x48, 0x09, 0xd0, // or %rdx, %rax
    0x48, 0x29, 0xd8, // sub %rbx, %rax
    0x48, 0xc1, 0xe8, 0x1f, // shr $31, %rax
    0x74, 0xe7, // jz 1b
    0x48, 0x83, 0xc4, 0x18, // add $24, %rsp
    0xb8, 0x0f, 0x00, 0x00, 0x00, // mov $15, %eax (rt_sigreturn)
    0x0f, 0x05, // syscall
];
/// Instructions start anywhere.
pub const CODE_ALIGN: usize = 1;
/// Below the stack pointer so many bytes are in use (System V ABI, 3.2.2).
pub const RED_ZONE: u64 = 128;
/// Value of the ELF header's `e_machine`.
pub const ELF_MACHINE: u16 = 62;
/// `clone`.
pub const CLONE: u64 = 56;
/// `wait4`.
pub const WAIT4: u64 = 61;
/// `waitid`.
pub const WAITID: u64 = 247;
/// `close_range` (Linux 5.9).
pub const CLOSE_RANGE: u64 = 436;
/// `prctl`.
pub const PRCTL: u64 = 157;
/// `mmap`.
pub const MMAP: u64 = 9;
/// `mprotect`.
pub const MPROTECT: u64 = 10;
/// `munmap`.
pub const MUNMAP: u64 = 11;
/// `close`.
pub const CLOSE: u64 = 3;
/// `memfd_create`.
pub const MEMFD_CREATE: u64 = 319;
/// `exit_group`.
pub const EXIT_GROUP: u64 = 231;
/// Register set of everything but the general registers: `NT_X86_XSTATE`, of a size that the processor determines.
pub const EXTENDED_STATE: usize = 0x202;
/// Registers that call frame information numbers (System V ABI, figure 3.36): sixteen general ones and the return address.
pub const DWARF_REGISTERS: usize = 17;
/// Number of the stack pointer among them.
pub const DWARF_STACK_POINTER: usize = 7;
/// Number of the return address among them.
pub const DWARF_RETURN_ADDRESS: usize = 16;
/// `R_X86_64_RELATIVE`.
pub const RELATIVE_RELOCATION: u32 = 8;

const EINTR: i64 = 4;
const EPOLL_WAIT: u64 = 232;
const EPOLL_PWAIT: u64 = 281;
const EPOLL_PWAIT2: u64 = 441;
const SEMOP: u64 = 65;
const SEMTIMEDOP: u64 = 220;
const RT_SIGTIMEDWAIT: u64 = 128;

const R10: usize = 7;
const R9: usize = 8;
const R8: usize = 9;
const RAX: usize = 10;
const RDX: usize = 12;
const RSI: usize = 13;
const RDI: usize = 14;
const ORIG_RAX: usize = 15;
const RIP: usize = 16;
const CS: usize = 17;
const FLAGS: usize = 18;
const RSP: usize = 19;
const SS: usize = 20;
const FS_BASE: usize = 21;
/// Interrupts on, direction forward, no single step: what a function may expect.
const PLAIN_FLAGS: u64 = 0x202;
/// Code segment of 64-bit user code (`__USER_CS`).
const USER_CS_64: u64 = 0x33;

/// How long calls are.
pub const CALL_LENGTHS: [usize; 7] = [5, 2, 3, 4, 6, 7, 8];

/// Whether these bytes are exactly one call: near with an offset, or by a register or a word of memory.
pub fn is_call(code: &[u8]) -> bool {
    let operand = match code {
        [0xe8, _, _, _, _] => return true,
        // A prefix for an extended register, or none.
        [0x40..=0x4f, 0xff, rest @ ..] | [0xff, rest @ ..] => rest,
        _ => return false,
    };
    let [form, rest @ ..] = operand else { return false };
    // Intel SDM volume 2, table 2-2: mode, extension of the code (2 is call), register or memory.
    let (mode, extension, memory) = (form >> 6, form >> 3 & 7, form & 7);
    let index = usize::from(mode != 3 && memory == 4);
    let has_base = index == 0 || rest.first().is_none_or(|index| index & 7 != 5);
    let offset = match (mode, memory) {
        (1, _) => 1,
        (2, _) | (0, 5) => 4,
        (0, 4) if !has_base => 4,
        _ => 0,
    };
    extension == 2 && rest.len() == index + offset
}

/// General registers of a stopped thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(pub [u64; REGISTER_COUNT]);

impl Registers {
    /// Where the thread goes on.
    pub fn instruction_pointer(&self) -> u64 {
        self.0[RIP]
    }

    /// Top of its stack.
    pub fn stack_pointer(&self) -> u64 {
        self.0[RSP]
    }

    /// Base of its thread-local storage, where the kernel keeps it among the general registers.
    pub fn fs_base(&self) -> Option<u64> {
        Some(self.0[FS_BASE])
    }

    /// Result of the system call that has just returned; negative error numbers.
    pub fn result(&self) -> i64 {
        self.0[RAX].cast_signed()
    }

    /// The system call the thread is in and its arguments; `None` in user code.
    pub fn current_call(&self) -> Option<Call> {
        let number = Some(self.0[ORIG_RAX].cast_signed()).filter(|number| *number >= 0)?;
        let args = [RDI, RSI, RDX, R10, R8, R9].map(|n| self.0[n]);
        Some(Call { number: number.cast_unsigned(), args })
    }

    /// Runs 64-bit code: not a 32-bit process, whose calls have other numbers.
    pub fn is_native(&self) -> bool {
        self.0[CS] == USER_CS_64
    }

    /// Where the stop itself has made a waiting call fail with EINTR, which the kernel does for a few calls that it never
    /// restarts (signal(7)): the registers with which the thread waits again as if nothing had been. `None` for any other
    /// state, and where that would not be exact: a finite timeout would start anew, a signal mask would be set again.
    pub fn waiting_again(&self) -> Option<Self> {
        if self.result() != -EINTR {
            return None;
        }
        let [_, _, third, fourth, fifth, _] = self.current_call()?.args;
        let exact = match self.0[ORIG_RAX] {
            EPOLL_WAIT => fourth as u32 == u32::MAX,
            EPOLL_PWAIT => fourth as u32 == u32::MAX && fifth == 0,
            EPOLL_PWAIT2 => fourth == 0 && fifth == 0,
            SEMOP => true,
            SEMTIMEDOP => fourth == 0,
            RT_SIGTIMEDWAIT => third == 0,
            _ => false,
        };
        exact.then(|| self.calling_again())
    }

    fn calling_again(&self) -> Self {
        let mut out = self.clone();
        out.0[RAX] = self.0[ORIG_RAX];
        out.0[ORIG_RAX] = u64::MAX;
        out.0[RIP] -= SYSCALL_INSTRUCTION.len() as u64;
        out
    }

    /// As a signal's handler would leave the thread: a call that was interrupted begins again.
    fn resumed(&self) -> Self {
        let restarts = self.current_call().is_some() && RESTARTS.contains(&self.result());
        if restarts { self.calling_again() } else { self.waiting_again().unwrap_or_else(|| self.clone()) }
    }

    /// These registers, changed so that the thread runs `call` at the instruction `at`. The stack pointer stays:
    /// nothing is pushed, so the red zone is safe.
    pub fn prepared(&self, call: &Call, at: u64) -> Self {
        let mut out = self.clone();
        out.0[RIP] = at;
        out.0[RAX] = call.number;
        out.0[ORIG_RAX] = u64::MAX;
        for (register, arg) in [RDI, RSI, RDX, R10, R8, R9].into_iter().zip(call.args) {
            out.0[register] = arg;
        }
        out
    }

    /// These registers, changed so that a return leads to `SIGNAL_RETURN` at `code` with the frame at `frame`, whose first word says so.
    pub(super) fn returning(&self, frame: u64, _code: u64) -> Self {
        let mut out = self.clone();
        out.0[RSP] = frame;
        out
    }

    /// These registers, changed so that the thread calls a function on the stack below `landing`, where it returns to; and the words
    /// that must be written to memory first, from the new stack pointer on.
    pub(super) fn calling(&self, call: &FunctionCall, landing: u64) -> (Self, Vec<u64>) {
        let mut out = self.clone();
        out.0[RIP] = call.function;
        out.0[RDI] = call.argument;
        out.0[RAX] = 0;
        // System V ABI: 16-byte alignment before the call, whose push is the return address.
        out.0[RSP] = landing - 8;
        out.0[FLAGS] = PLAIN_FLAGS;
        out.0[ORIG_RAX] = u64::MAX;
        (out, vec![call.return_to])
    }

    /// The registers by their numbers in call frame information.
    pub fn dwarf(&self) -> [u64; DWARF_REGISTERS] {
        // rax rdx rcx rbx rsi rdi rbp rsp, r8 to r15, rip: their places in `user_regs_struct`.
        [RAX, RDX, 11, 5, RSI, RDI, 4, RSP, R8, R9, R10, 6, 3, 2, 1, 0, RIP].map(|n| self.0[n])
    }

    /// The values in the general registers, as a function may have left pointers in them.
    pub fn values(&self) -> &[u64] {
        &self.0[..=RSP]
    }
}

/// `struct rt_sigframe` up to what only handlers read: the return address, `struct ucontext` (arch/x86/include/asm/sigframe.h).
const FRAME_BYTES: u64 = 8 * 39;
/// The vectors are in the form of XSAVE; the stack segment is to be taken as it is (`UC_FP_XSTATE`, `UC_SIGCONTEXT_SS`,
/// `UC_STRICT_RESTORE_SS`).
const CONTEXT_FLAGS: u64 = 7;
/// No kind of alternate stack: `rt_sigreturn` refuses it silently, and leaves what there is.
const KEEPS_ALTERNATE_STACK: u64 = 0x10;

/// The frame that a signal would push below `top` in a thread of this state, and whose handler returns to `signal_return`. The stack
/// pointer at its beginning, a return and `rt_sigreturn` lead back to the state. `None` where the vectors are in no known form.
pub(super) fn frame_below(top: u64, signal_return: u64, state: &ThreadState) -> Option<Frame> {
    let vectors = if state.extended.is_empty() { Vec::new() } else { signal_vectors(&state.extended)? };
    let vectors_at = top.checked_sub(vectors.len() as u64)? / 64 * 64;
    let at = vectors_at.checked_sub(FRAME_BYTES)? / 16 * 16;
    let registers = state.registers.resumed().0;
    // r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, flags: their places in `user_regs_struct`.
    let general = [R8, R9, R10, 6, 3, 2, 1, 0, RDI, RSI, 4, 5, RDX, RAX, 11, RSP, RIP, FLAGS];
    let segments = registers[CS] & 0xffff | registers[SS] << 48;
    let mut fields = Fields::default();
    fields.words(&[signal_return, CONTEXT_FLAGS, 0, 0, KEEPS_ALTERNATE_STACK, 0]);
    fields.words(&general.map(|n| registers[n]));
    fields.words(&[segments, 0, 0, 0, 0, if vectors.is_empty() { 0 } else { vectors_at }]);
    fields.words(&[0; 8]);
    fields.words(&[state.signal_mask]);
    fields.zeros_to(usize::try_from(vectors_at - at).ok()?);
    fields.0.extend(vectors);
    Some(Frame { at, bytes: fields.0 })
}

/// Vectors as `NT_X86_XSTATE` has them, in the form that a signal's frame has: of the parts that the processor knows only those
/// that the thread uses, with words around them that say how long it is (`struct _fpx_sw_bytes`, `FP_XSTATE_MAGIC1` and 2).
fn signal_vectors(extended: &[u8]) -> Option<Vec<u8>> {
    const SOFTWARE: usize = 464;
    const HEADER: usize = 512;
    const FIRST_PART: usize = HEADER + 64;
    /// The protection keys: the kernel tells them outside of the list of what is in use.
    const PKRU: u64 = 1 << 9;
    const MAGICS: (u32, u32) = (0x4650_5853, 0x4650_5845);
    let word = |at: usize| Some(u64::from_le_bytes(extended.get(at..at + 8)?.try_into().ok()?));
    let used = word(HEADER)? | word(SOFTWARE)? & PKRU;
    // Intel SDM volume 1, 13.5: leaf 0xd tells each part's size and place.
    let end = |part: u32| {
        let part = __cpuid_count(0xd, part);
        (part.eax + part.ebx) as usize
    };
    let parts = (2..63).filter(|part| used >> part & 1 != 0);
    let len = parts.map(end).max().unwrap_or(0).max(FIRST_PART);
    let mut out = extended.get(..len)?.to_vec();
    out[HEADER..HEADER + 8].copy_from_slice(&used.to_le_bytes());
    let len = u32::try_from(len).ok()?;
    let mut software = Vec::new();
    software.extend(MAGICS.0.to_le_bytes());
    software.extend((len + 4).to_le_bytes());
    software.extend(used.to_le_bytes());
    software.extend(len.to_le_bytes());
    software.resize(HEADER - SOFTWARE, 0);
    out[SOFTWARE..HEADER].copy_from_slice(&software);
    out.extend(MAGICS.1.to_le_bytes());
    Some(out)
}

/// `clone(flags, stack)` with nothing else.
pub fn clone_call(flags: u64, stack: u64) -> Call {
    Call::new(CLONE, &[flags, stack])
}
