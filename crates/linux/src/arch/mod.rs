//! What differs between architectures: registers, system call numbers, the system call instruction.
//!
//! Exactly one file per architecture; each exports the same names. Nothing outside this folder asks for the architecture.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// A system call to be run by a stopped thread: number and up to six arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Number, of this architecture.
    pub number: u64,
    /// Arguments in order; unused ones are 0.
    pub args: [u64; 6],
}

impl Call {
    /// A call with these arguments, the others 0.
    pub fn new(number: u64, args: &[u64]) -> Self {
        let mut out = [0; 6];
        for (slot, arg) in out.iter_mut().zip(args) {
            *slot = *arg;
        }
        Self { number, args: out }
    }
}

/// A function to be called by a stopped thread, with one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FunctionCall {
    /// Its address.
    pub function: u64,
    /// Its argument.
    pub argument: u64,
    /// One past the highest address of the stack that it may use.
    pub stack_top: u64,
    /// Where a trap instruction stands, at which it ends.
    pub return_to: u64,
}

/// Where in `text`, loaded at `base`, the system call instruction stands first.
pub fn find_syscall_instruction(text: &[u8], base: u64) -> Option<u64> {
    let found = text
        .windows(SYSCALL_INSTRUCTION.len())
        .enumerate()
        .find(|(at, window)| at.is_multiple_of(SYSCALL_ALIGN) && *window == SYSCALL_INSTRUCTION);
    found.map(|(at, _)| base + at as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_instruction_is_found_at_its_address() {
        let mut text = vec![0x90; 32];
        text[8..8 + SYSCALL_INSTRUCTION.len()].copy_from_slice(&SYSCALL_INSTRUCTION);
        assert_eq!(find_syscall_instruction(&text, 0x1000), Some(0x1008));
        assert_eq!(find_syscall_instruction(&text[..9], 0x1000), None);
    }

    #[test]
    fn a_prepared_call_changes_only_what_it_must() {
        let before = Registers(std::array::from_fn(|n| n as u64 + 100));
        let call = Call::new(CLONE, &[1, 2, 3, 4, 5, 6]);
        let after = before.prepared(&call, 0xabc);
        assert_eq!((after.instruction_pointer(), after.stack_pointer()), (0xabc, before.stack_pointer()));
        assert_eq!(after.fs_base(), before.fs_base());
    }

    #[test]
    fn a_called_function_has_a_stack_of_its_own() {
        let before = Registers(std::array::from_fn(|n| n as u64 + 100));
        let call = FunctionCall { function: 0x1000, argument: 7, stack_top: 0x8000, return_to: 0x2000 };
        let (after, words) = before.calling(&call);
        assert_eq!((after.instruction_pointer(), after.fs_base()), (0x1000, before.fs_base()));
        assert_eq!(after.stack_pointer() + 8 * words.len() as u64, 0x8000);
        assert!(words.is_empty() || words == [0x2000]);
        assert!(after.values().contains(&7));
    }
}
