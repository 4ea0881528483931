//! New threads: who creates one notes where it stands, in both modes.
//!
//! The new thread runs what it was given and nothing of ours: a frame below it would stand on its stack for as long as it lives,
//! and keep the image from being taken out. What it allocates before the note is there is not known to come from here.
//!
//! Unsafe: passes the caller's arguments on.
#![allow(unsafe_code)]

use crate::{lock, real};

/// Replaces `pthread_create`.
pub(crate) extern "C" fn pthread_create(
    out: usize,
    attributes: usize,
    routine: usize,
    argument: usize,
) -> usize {
    let origin = lock::enter().and_then(|mut agent| agent.origin());
    lock::share();
    // SAFETY: the caller's arguments.
    let failed = unsafe { real::call(&real::PTHREAD_CREATE, [out, attributes, routine, argument, 0, 0]) };
    if let Some(origin) = origin.filter(|_| failed as u32 == 0)
        && let Some(mut agent) = lock::enter()
    {
        agent.stacks.note_start(out as u64, origin);
    }
    failed
}
