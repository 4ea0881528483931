//! AArch64.
//!
//! Compiled by CI, not run there. The kernel rewinds a restartable call *before* the ptrace stop
//! (arch/arm64/kernel/signal.c, `do_signal`), so the saved registers already point at the `svc` with its first
//! argument back. What it decides after the stop, `restart_syscall` for calls with a restart block, is lost when the
//! thread was used for an injected call: such a call (poll, nanosleep with a timeout) starts again with its full timeout.

use super::{Call, FunctionCall};

/// Number of general registers, in the order of `user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h).
pub const REGISTER_COUNT: usize = 34;
/// `svc #0`.
pub const SYSCALL_INSTRUCTION: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
/// Instructions are words.
pub const SYSCALL_ALIGN: usize = 4;
/// Value of the ELF header's `e_machine`.
pub const ELF_MACHINE: u16 = 183;
/// `clone`.
pub const CLONE: u64 = 220;
/// `wait4`.
pub const WAIT4: u64 = 260;
/// `waitid`.
pub const WAITID: u64 = 95;
/// `close_range` (Linux 5.9).
pub const CLOSE_RANGE: u64 = 436;
/// `prctl`.
pub const PRCTL: u64 = 167;
/// `mmap`.
pub const MMAP: u64 = 222;
/// `mprotect`.
pub const MPROTECT: u64 = 226;
/// `munmap`.
pub const MUNMAP: u64 = 215;
/// `close`.
pub const CLOSE: u64 = 57;
/// `memfd_create`.
pub const MEMFD_CREATE: u64 = 279;
/// `brk #0`: where a called function returns to; it stops with SIGTRAP at it.
pub const TRAP_INSTRUCTION: [u8; 4] = [0x00, 0x00, 0x20, 0xd4];
/// How far the instruction pointer lies behind a trap when it has stopped the thread.
pub const TRAP_ADVANCE: u64 = 0;
/// Register set of everything but the general registers: `NT_PRFPREG`.
pub const EXTENDED_STATE: usize = 2;
/// Registers that call frame information numbers (DWARF for the Arm 64-bit Architecture): x0 to x30 and the stack pointer.
pub const DWARF_REGISTERS: usize = 32;
/// Number of the stack pointer among them.
pub const DWARF_STACK_POINTER: usize = 31;
/// Number of the return address among them: the link register.
pub const DWARF_RETURN_ADDRESS: usize = 30;
/// `R_AARCH64_RELATIVE`.
pub const RELATIVE_RELOCATION: u32 = 1027;

const X0: usize = 0;
const X8: usize = 8;
const LR: usize = 30;
const SP: usize = 31;
const PC: usize = 32;
const PSTATE: usize = 33;
/// Set in `pstate` while 32-bit code runs (`PSR_MODE32_BIT`).
const MODE32_BIT: u64 = 0x10;

/// How long calls are.
pub const CALL_LENGTHS: [usize; 1] = [4];

/// Whether these bytes, all of them, may be a call: `bl`, or `blr`.
pub fn is_call(code: &[u8]) -> bool {
    let Ok(bytes) = code.try_into() else { return false };
    let word = u32::from_le_bytes(bytes);
    word >> 26 == 0x25 || word & 0xffff_fc1f == 0xd63f_0000
}

/// General registers of a stopped thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registers(pub [u64; REGISTER_COUNT]);

impl Registers {
    /// Where the thread goes on.
    pub fn instruction_pointer(&self) -> u64 {
        self.0[PC]
    }

    /// Top of its stack.
    pub fn stack_pointer(&self) -> u64 {
        self.0[SP]
    }

    /// Not among the general registers here: see [`crate::Tracee::thread_pointer`].
    pub fn fs_base(&self) -> Option<u64> {
        None
    }

    /// Result of the system call that has just returned; negative error numbers.
    pub fn result(&self) -> i64 {
        self.0[X0].cast_signed()
    }

    /// Unknown here: the general registers do not tell whether the thread is in a call.
    pub fn current_call(&self) -> Option<Call> {
        None
    }

    /// Runs 64-bit code: not a 32-bit process, whose calls have other numbers.
    pub fn is_native(&self) -> bool {
        self.0[PSTATE] & MODE32_BIT == 0
    }

    /// Unknown here: see [`Registers::current_call`]. The few calls that the kernel never restarts (epoll_wait, semop,
    /// sigwaitinfo; signal(7)) fail with EINTR after a stop, as after any tracer's.
    pub fn waiting_again(&self) -> Option<Self> {
        None
    }

    /// These registers, changed so that the thread runs `call` at the instruction `at`. The stack pointer stays.
    pub fn prepared(&self, call: &Call, at: u64) -> Self {
        let mut out = self.clone();
        out.0[PC] = at;
        out.0[X8] = call.number;
        out.0[X0..X0 + 6].copy_from_slice(&call.args);
        out
    }

    /// These registers, changed so that the thread calls a function; and the words that must be written to memory first, from
    /// the new stack pointer on.
    pub fn calling(&self, call: &FunctionCall) -> (Self, Vec<u64>) {
        let mut out = self.clone();
        out.0[PC] = call.function;
        out.0[X0] = call.argument;
        out.0[LR] = call.return_to;
        out.0[SP] = call.stack_top / 16 * 16;
        (out, Vec::new())
    }

    /// The registers by their numbers in call frame information.
    pub fn dwarf(&self) -> [u64; DWARF_REGISTERS] {
        std::array::from_fn(|n| self.0[n])
    }

    /// The values in the general registers, as a function may have left pointers in them.
    pub fn values(&self) -> &[u64] {
        &self.0[..=PC]
    }
}

/// `clone(flags, stack)` with nothing else.
pub fn clone_call(flags: u64, stack: u64) -> Call {
    Call::new(CLONE, &[flags, stack])
}
