//! Gets at a process without loading anything into it: stop, clone, resume, read the frozen copy, leave nothing behind.
//!
//! [`copy`] makes a frozen copy and lets the target run on at once, [`in_place`] stops the target for the time of the
//! read, [`core`] opens a core file; all answer an [`Image`] that the walker reads. A small guardian process holds the tracing
//! and cleans up however heapray ends. `docs/snapshot.md` tells how, and what cannot be excluded.
//!
//! Nothing here knows what CPython's memory means.

mod agent;
mod agent_image;
mod arena;
mod call;
mod cfa;
mod chunk;
mod copy;
mod core;
mod enter;
mod error;
mod fault;
mod frame_info;
mod guardian;
mod hook;
mod image;
mod inject;
mod inside;
mod launch;
mod leave;
mod memory;
mod message;
mod place;
mod preflight;
mod preload;
mod python;
mod reap;
mod recording;
mod search;
mod shared;
mod source;
mod stop;
mod tree;

pub use crate::core::core;
pub use agent::{AttachOptions, Attached, Detached, attach_agent, detach_agent};
pub use agent_image::agent_image;
pub use error::AttachError;
pub use image::{CopyOptions, Image, ImageKind, Released, StoppedThread, copy, in_place};
pub use launch::{Ending, LaunchError, Launched, launch};
pub use memory::{DEFAULT_BUDGET_BYTES, ImageMemory, MemoryStats};
pub use recording::{Command, Recording, find_recording};
pub use shared::{SHARED_NAME, SharedFile, SharedPlan, Slot};
pub use tree::{pythons_below, tree};
