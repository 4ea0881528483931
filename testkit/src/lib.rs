//! What tests need of the world: the Pythons of this machine, target programs to run on them, and their memory.
//!
//! For tests only: it does I/O freely and panics with a reason where the machine does not play along.

mod memory;
mod pythons;
mod symbols;
mod target;

pub use memory::ProcMemory;
pub use pythons::{Python, find_other_pythons, find_pythons};
pub use symbols::symbol;
pub use target::Target;
