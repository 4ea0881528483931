//! AArch64.
//!
//! Compiled by CI, not run there. The kernel rewinds a restartable call *before* the ptrace stop
//! (arch/arm64/kernel/signal.c, `do_signal`), so the saved registers already point at the `svc` with its first
//! argument back. What it decides after the stop, `restart_syscall` for calls with a restart block, is lost when the
//! thread was used for an injected call: such a call (poll, nanosleep with a timeout) starts again with its full timeout.

use super::way_back::{Fields, Frame};
use super::{Call, FunctionCall, ThreadState};

/// Number of general registers, in the order of `user_pt_regs` (arch/arm64/include/uapi/asm/ptrace.h).
pub const REGISTER_COUNT: usize = 34;
/// `svc #0`.
pub const SYSCALL_INSTRUCTION: [u8; 4] = [0x01, 0x00, 0x00, 0xd4];
/// `svc #0; ret`.
pub const CALL_AND_RETURN: [u8; 8] = [0x01, 0x00, 0x00, 0xd4, 0xc0, 0x03, 0x5f, 0xd6];
/// `mov x8, #139; svc #0`: how the vDSO ends a signal's handler.
pub const SIGNAL_RETURN: [u8; 8] = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
/// Where a called function returns to. Tells its answer, gives way for a second by the processor's counter so that whoever called
/// can come, and becomes what the frame behind the landing says.
pub const LANDING_CODE: [u8; 56] = [
    0xe0, 0x07, 0x00, 0xf9, // str x0, [sp, #8]
    0x21, 0x00, 0x80, 0xd2, // mov x1, #1
    0xe1, 0x03, 0x00, 0xf9, // str x1, [sp]
    0x53, 0xe0, 0x3b, 0xd5, // mrs x19, cntvct_el0
    0x14, 0xe0, 0x3b, 0xd5, // mrs x20, cntfrq_el0
    0x88, 0x0f, 0x80, 0xd2, // 1: mov x8, #124 (sched_yield)
    0x01, 0x00, 0x00, 0xd4, // svc #0
    0x41, 0xe0, 0x3b, 0xd5, // mrs x1, cntvct_el0
    0x21, 0x00, 0x13, 0xcb, // sub x1, x1, x19
    0x3f, 0x00, 0x14, 0xeb, // cmp x1, x20
    0x63, 0xff, 0xff, 0x54, // b.lo 1b
    0xff, 0x43, 0x00, 0x91, // add sp, sp, #16
    0x68, 0x11, 0x80, 0xd2, // mov x8, #139 (rt_sigreturn)
    0x01, 0x00, 0x00, 0xd4, // svc #0
];
/// Instructions are words.
pub const CODE_ALIGN: usize = 4;
/// Below the stack pointer nothing is in use (AAPCS64, 6.4.5.1).
pub const RED_ZONE: u64 = 0;
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
/// `exit_group`.
pub const EXIT_GROUP: u64 = 94;
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

    /// These registers, changed so that a return leads to `SIGNAL_RETURN` at `code` with the frame at `frame`.
    pub(super) fn returning(&self, frame: u64, code: u64) -> Self {
        let mut out = self.clone();
        out.0[SP] = frame;
        out.0[LR] = code;
        out
    }

    /// These registers, changed so that the thread calls a function on the stack below `landing`, where it returns to; and the words
    /// that must be written to memory first, from the new stack pointer on.
    pub(super) fn calling(&self, call: &FunctionCall, landing: u64) -> (Self, Vec<u64>) {
        let mut out = self.clone();
        out.0[PC] = call.function;
        out.0[X0] = call.argument;
        out.0[LR] = call.return_to;
        out.0[SP] = landing;
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

/// `struct rt_sigframe` up to the records of its context, and one record of vectors with the mark of the end
/// (arch/arm64/kernel/signal.c; arch/arm64/include/uapi/asm/sigcontext.h).
const RECORDS_AT: usize = 592;
const FRAME_BYTES: u64 = RECORDS_AT as u64 + FPSIMD_BYTES + 16;
const FPSIMD_MAGIC: u64 = 0x4650_8001;
const FPSIMD_BYTES: u64 = 528;
/// Vectors of `struct user_fpsimd_state`, behind which two words of status follow.
const VECTOR_BYTES: usize = 512;
/// No kind of alternate stack: `rt_sigreturn` refuses it silently, and leaves what there is.
const KEEPS_ALTERNATE_STACK: u64 = 0x10;

/// The frame that a signal would push below `top` in a thread of this state. `rt_sigreturn` with the stack pointer at its beginning leads
/// back to the state; of SVE registers the part that they share with the others. `None` where the vectors are in no known form.
pub(super) fn frame_below(top: u64, _signal_return: u64, state: &ThreadState) -> Option<Frame> {
    let at = top.checked_sub(FRAME_BYTES)? / 16 * 16;
    let nothing = [0; VECTOR_BYTES + 8];
    let extended =
        if state.extended.is_empty() { &nothing } else { state.extended.get(..VECTOR_BYTES + 8)? };
    let (vectors, status) = extended.split_at(VECTOR_BYTES);
    let mut fields = Fields::default();
    // `siginfo`, flags, link.
    fields.zeros_to(128 + 16);
    fields.words(&[0, KEEPS_ALTERNATE_STACK, 0, state.signal_mask]);
    // Room for longer masks, alignment, the address of a fault.
    fields.zeros_to(128 + 184);
    fields.words(&state.registers.0);
    fields.zeros_to(RECORDS_AT);
    fields.words(&[FPSIMD_MAGIC | FPSIMD_BYTES << 32]);
    fields.0.extend(status);
    fields.0.extend(vectors);
    fields.zeros_to(usize::try_from(FRAME_BYTES).ok()?);
    Some(Frame { at, bytes: fields.0 })
}

/// `clone(flags, stack)` with nothing else.
pub fn clone_call(flags: u64, stack: u64) -> Call {
    Call::new(CLONE, &[flags, stack])
}
