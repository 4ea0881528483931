//! `system` and `popen`: the C library starts their shell past all hooks, so the shell is told to pass the agent on.
//!
//! What the shell does is the same: it exports two variables before the command, which stays on its line. The agent takes them
//! out again in each program that it comes to.
//!
//! Unsafe: passes the caller's arguments on; reads the command.
#![allow(unsafe_code)]

use crate::environment::exports;
use crate::mem::text;
use crate::process::{environ, flush, follows};
use crate::real::{self, Real};

/// Longest command that is extended, with what comes before it and its ending zero, in bytes of the caller's stack.
const MAX_BYTES: usize = 4096;

/// Calls `real`, whose first argument is a command for the shell.
fn pass_on(real: &Real, command: usize, mode: usize) -> usize {
    flush();
    let mut extended = [0_u8; MAX_BYTES];
    let is_extended = command != 0 && follows() && extend(&mut extended, command);
    let command = if is_extended { extended.as_ptr() as usize } else { command };
    // SAFETY: the caller's arguments, or a C text that outlives the call.
    unsafe { real::call(real, [command, mode, 0, 0, 0, 0]) }
}

/// Writes the command, behind what exports the agent; whether it fits.
fn extend(out: &mut [u8; MAX_BYTES], command: usize) -> bool {
    let Some(len) = exports(environ(), out) else { return false };
    // SAFETY: the caller's C text; a longer one than is read here is not whole, and does not fit.
    let command = unsafe { text(command) };
    let Some(rest) = out.get_mut(len..).filter(|rest| rest.len() > command.len()) else { return false };
    for (to, byte) in rest.iter_mut().zip(command) {
        *to = *byte;
    }
    true
}

/// Replaces `system`.
pub(crate) extern "C" fn system(command: usize) -> usize {
    pass_on(&real::SYSTEM, command, 0)
}

/// Replaces `popen`.
pub(crate) extern "C" fn popen(command: usize, mode: usize) -> usize {
    pass_on(&real::POPEN, command, mode)
}
