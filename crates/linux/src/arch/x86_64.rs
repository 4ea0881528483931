//! x86-64.
//!
//! At a ptrace stop inside a system call `orig_rax` is its number and `rax` its result, `-ERESTART…` where the
//! kernel will restart it: it does so on the way back, from the registers as they are then (arch/x86/kernel/signal.c,
//! `arch_do_signal_or_restart`). So −1 in `orig_rax` switches restart off for our call, and putting both back
//! before one more signal stop switches it on again for the thread's own.

use super::{Call, FunctionCall};

/// Number of general registers, in the order of `user_regs_struct` (arch/x86/include/asm/user_64.h).
pub const REGISTER_COUNT: usize = 27;
/// `syscall`.
pub const SYSCALL_INSTRUCTION: [u8; 2] = [0x0f, 0x05];
/// Instructions start anywhere.
pub const SYSCALL_ALIGN: usize = 1;
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
/// `int3`: where a called function returns to; it stops with SIGTRAP behind it.
pub const TRAP_INSTRUCTION: [u8; 1] = [0xcc];
/// How far the instruction pointer lies behind a trap when it has stopped the thread.
pub const TRAP_ADVANCE: u64 = 1;
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
        let mut out = self.clone();
        out.0[RAX] = self.0[ORIG_RAX];
        out.0[ORIG_RAX] = u64::MAX;
        out.0[RIP] -= SYSCALL_INSTRUCTION.len() as u64;
        exact.then_some(out)
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

    /// These registers, changed so that the thread calls a function; and the words that must be written to memory first, from
    /// the new stack pointer on.
    pub fn calling(&self, call: &FunctionCall) -> (Self, Vec<u64>) {
        let mut out = self.clone();
        out.0[RIP] = call.function;
        out.0[RDI] = call.argument;
        out.0[RAX] = 0;
        // System V ABI: 16-byte alignment before the call, whose push is the return address.
        out.0[RSP] = call.stack_top / 16 * 16 - 8;
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

/// `clone(flags, stack)` with nothing else.
pub fn clone_call(flags: u64, stack: u64) -> Call {
    Call::new(CLONE, &[flags, stack])
}
