//! The allocation agent: what runs inside the recorded process.
//!
//! It hooks allocators and writes what they do into the shared memory file that `heapray-wire` lays out
//! ([`heapray_wire::ring`]). It uses no library, makes no thread, allocates from the kernel only, takes no lock that the
//! process can hold, and unwinds nothing. `agent-so` is the shell that makes a loadable image of it.
#![cfg_attr(not(test), no_std)]

mod agent;
pub(crate) mod arch;
mod cost;
mod domains;
mod elf;
pub(crate) mod emit;
mod ending;
mod environment;
mod hooks;
mod kernel;
mod lock;
mod mem;
mod objects;
pub(crate) mod pages;
mod patch;
mod preload;
mod process;
mod real;
mod ring;
mod sampler;
mod shell;
pub(crate) mod stack;
mod start;
mod view;
mod window;

pub use heapray_wire::ring::Start;
pub use pages::HEAPRAY_PAGES;

/// Starts where the environment asks for it; for the image's constructor.
pub fn start_preloaded() {
    preload::run();
}

/// Begins to record with a mapped control area and slot; for who attaches, with all other threads stopped.
///
/// Answers 0, or a `START_…` of [`heapray_wire::ring`].
pub fn start(start: &Start) -> i64 {
    start::start(start, false)
}

/// Takes every hook out. Answers 0; 1 where something of ours could not be taken out.
pub fn stop() -> i64 {
    start::stop()
}

/// Labels what the calling thread allocates from now on; an empty label takes it off.
pub fn set_tag(tag: &[u8]) {
    if let Some(mut agent) = lock::enter() {
        agent.stacks.set_tag(tag);
    }
}

/// Ends the process at once: a state that cannot be, in a place where nothing else is safe.
pub fn abort() -> ! {
    arch::trap()
}
