//! What differs between processors: system calls, the thread pointer, relocations, the entries of hooks.
//!
//! One file per architecture; nothing else in the agent names one.

#[cfg(target_arch = "x86_64")]
mod x86_64;
#[cfg(target_arch = "x86_64")]
pub(crate) use x86_64::*;

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(target_arch = "aarch64")]
pub(crate) use aarch64::*;
