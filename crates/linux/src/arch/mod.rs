//! What differs between architectures: registers, system call numbers, instructions, the frames of signals.
//!
//! Exactly one file per architecture; each exports the same names. Nothing outside this folder asks for the architecture.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "x86_64")]
mod x86_64;

mod way_back;

#[cfg(target_arch = "aarch64")]
pub use aarch64::*;
pub use way_back::{Entry, Gate, Landing, ThreadState, WayBack};
#[cfg(target_arch = "x86_64")]
pub use x86_64::*;

/// Results from `-ERESTART_RESTARTBLOCK` to `-ERESTARTSYS` mean "interrupted before anything happened" (include/linux/errno.h).
pub const RESTARTS: std::ops::RangeInclusive<i64> = -516..=-512;

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

    /// The same call, with this stack for the child where it makes one.
    fn with_child_stack(mut self, stack: u64) -> Self {
        if self.number == CLONE {
            self.args[1] = stack;
        }
        self
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
    /// Where [`LANDING_CODE`] stands, to which it returns.
    pub return_to: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let registers = Registers(std::array::from_fn(|n| n as u64 + 100));
        let state = ThreadState { registers: registers.clone(), extended: Vec::new(), signal_mask: 0 };
        let call = FunctionCall { function: 0x1000, argument: 7, stack_top: 0x8000, return_to: 0x2000 };
        let entry = Entry::new(&state, &call).expect("a state");
        let after = entry.registers;
        assert_eq!((after.instruction_pointer(), after.fs_base()), (0x1000, registers.fs_base()));
        assert_eq!(after.stack_pointer(), entry.start);
        assert!(entry.start + entry.bytes.len() as u64 <= 0x8000);
        assert!(entry.landing.done.is_multiple_of(16) && entry.landing.done - entry.start <= 8);
        assert!(after.values().contains(&7));
    }

    #[test]
    fn a_way_back_lies_below_the_stack_and_holds_thread_and_child() {
        let mut registers = Registers(std::array::from_fn(|n| n as u64 + 100));
        registers = registers.returning(0x9_0000, 0x5000);
        let state = ThreadState { registers, extended: Vec::new(), signal_mask: 0xabcd };
        let gate = Gate { call: 0x4000, signal_return: Some(0x5000) };
        let way = WayBack::new(&state, &Call::new(CLONE, &[1, 2]), gate, 9).expect("there is one");
        let end = way.start + way.bytes.len() as u64;
        assert!(end <= 0x9_0000 - RED_ZONE);
        let after = way.registers;
        assert_eq!(after.instruction_pointer(), 0x4000);
        assert!((way.start..end).contains(&after.stack_pointer()) && after.values().contains(&way.start));
        let none = Gate { signal_return: None, ..gate };
        assert_eq!(WayBack::new(&state, &Call::new(CLONE, &[1, 2]), none, 9), None);
    }
}
