//! The allocation agent: what runs inside the recorded process.
//!
//! It hooks allocators and writes what they do into the shared memory file that `heapray-wire` lays out
//! ([`heapray_wire::ring`]). It uses no library, makes no thread, allocates from the kernel only, takes no lock that the
//! process can hold, and unwinds nothing. `agent-so` is the shell that makes a loadable image of it.
#![cfg_attr(not(test), no_std)]

pub(crate) mod arch;
pub(crate) mod emit;
pub(crate) mod pages;
pub(crate) mod stack;
