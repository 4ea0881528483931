//! New processes: `fork` gets a slot of its own, `exec` takes the agent along.
//!
//! Unsafe: passes the caller's arguments on, reads environments, maps the child's slot over the parent's.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use heapray_wire::ring::{Claim, FLAG_FOLLOW_EXEC, SLOT_CLAIMING, SLOT_FREE, SLOT_LIVE, slot_offset};

use crate::agent::Agent;
use crate::environment::{Environment, with_agent};
use crate::mem::load;
use crate::real::{self, Real};
use crate::ring::{control, header, mapped, set_mapped};
use crate::{kernel, lock, sampler, view};

/// Most entries of an environment that is extended with little stack.
const FEW_ENTRIES: usize = 512;
/// Most entries of an environment that is extended.
const MANY_ENTRIES: usize = 4096;

/// Replaces `fork`.
///
/// The lock is held across it, so the child finds the agent's state whole, whatever other threads were at.
pub(crate) extern "C" fn fork() -> usize {
    let mut guard = lock::enter();
    if let Some(agent) = &mut guard {
        agent.begin_fork();
        lock::set_forking(true);
    }
    // SAFETY: fork has no argument.
    let pid = unsafe { real::call(&real::FORK, [0; 6]) };
    if pid as u32 != 0 {
        if let Some(agent) = &mut guard {
            agent.fork_mark = 0;
            lock::set_forking(false);
        }
        return pid;
    }
    // The kernel has wiped the lock: it is nobody's here.
    core::mem::forget(guard);
    drop(lock::enter());
    pid
}

/// Takes a free slot of the file: (its index, its claim).
pub(crate) fn claim_slot(control_addr: usize) -> Option<(usize, &'static Claim)> {
    let n_slots = control().n_slots.load(Relaxed) as usize;
    let found = (0..n_slots.min(heapray_wire::ring::MAX_SLOTS)).find_map(|idx| {
        let claim = view::claim(control_addr, idx);
        let is_ours = claim.state.compare_exchange(SLOT_FREE, SLOT_CLAIMING, AcqRel, Relaxed).is_ok();
        is_ours.then_some((idx, claim))
    });
    match found {
        Some((_, claim)) => {
            claim.generation.fetch_add(1, Relaxed);
        }
        None => {
            control().refused_claims.fetch_add(1, Relaxed);
        }
    }
    found
}

/// Gives a forked child a slot of its own, mapped where the parent's was. Whether that went well.
///
/// The child has the agent's state as the parent left it at the fork.
pub(crate) fn set_up_child(agent: &mut Agent) -> bool {
    let (control_addr, slot_addr) = mapped();
    if control_addr == 0 || control().stop.load(Acquire) != 0 {
        return false;
    }
    let (parent_slot, heritage) = (agent.slot_idx, agent.heritage());
    let Some((idx, claim)) = claim_slot(control_addr) else { return false };
    if !map_slot_over(control_addr, idx, slot_addr) {
        claim.state.store(SLOT_FREE, Release);
        return false;
    }
    header().generation.store(claim.generation.load(Relaxed), Relaxed);
    header().parent_slot.store(parent_slot, Relaxed);
    header().parent_generation.store(heritage.generation, Relaxed);
    header().fork_mark.store(core::mem::take(&mut agent.fork_mark), Relaxed);
    header().python_hex.store(heritage.python_hex, Relaxed);
    header().objects.store(heritage.objects, Relaxed);
    header().hooked.store(1, Relaxed);
    agent.begin(idx as u32, slot_addr);
    sampler::restart();
    claim.state.store(SLOT_LIVE, Release);
    true
}

/// Maps slot `idx` where another slot is mapped. The file is reached through the mapping of its first page.
fn map_slot_over(control_addr: usize, idx: usize, slot_addr: usize) -> bool {
    let slot_bytes = control().slot_bytes.load(Relaxed) as usize;
    let offset = slot_offset(idx, slot_bytes);
    let Some(all) = kernel::map_again(control_addr, offset + slot_bytes) else { return false };
    // SAFETY: the new mapping is ours alone; the parent's slot is not referred to any more: the agent begins anew.
    let is_moved = unsafe { kernel::move_over(all + offset, slot_bytes, slot_addr) };
    // SAFETY: mapped above, used by nobody. What was moved away is not there any more.
    unsafe { kernel::unmap(all, if is_moved { offset } else { offset + slot_bytes }) };
    set_mapped(control_addr, slot_addr);
    is_moved
}

/// Whether programs that this process starts are to be recorded, and can be.
pub(crate) fn follows() -> bool {
    let is_asked = control().flags.load(Relaxed) & FLAG_FOLLOW_EXEC != 0 && control().stop.load(Relaxed) == 0;
    let Some(own) = with_agent().filter(|_| is_asked) else { return false };
    let is_reachable = own.is_reachable();
    if !is_reachable {
        control().unreachable.fetch_add(1, Relaxed);
    }
    is_reachable
}

/// Moves what is young into the ring: the caller may be another program soon.
pub(crate) fn flush() {
    if let Some(mut agent) = lock::enter() {
        agent.flush();
    }
}

/// Calls `real`, whose argument `at` is an environment, with the agent added to that.
fn pass_on(real: &Real, args: [usize; 6], at: usize) -> usize {
    flush();
    let envp = args[at];
    let n_entries = count(envp);
    if !follows() || n_entries >= MANY_ENTRIES {
        // SAFETY: the caller's arguments.
        return unsafe { real::call(real, args) };
    }
    if n_entries < FEW_ENTRIES {
        extended::<FEW_ENTRIES>(real, args, at)
    } else {
        extended::<MANY_ENTRIES>(real, args, at)
    }
}

#[inline(never)]
fn extended<const N: usize>(real: &Real, mut args: [usize; 6], at: usize) -> usize {
    let mut environment = Environment::<N>::new();
    if environment.extend(args[at]) {
        args[at] = environment.addr();
    }
    // SAFETY: the caller's arguments, and an environment that outlives the call.
    unsafe { real::call(real, args) }
}

/// Entries of the array of C texts at `envp`.
fn count(envp: usize) -> usize {
    // SAFETY: an environment ends with a zero.
    (0..MANY_ENTRIES)
        .find(|idx| envp == 0 || unsafe { load::<usize>(envp + 8 * idx) } == 0)
        .unwrap_or(MANY_ENTRIES)
}

/// The process's environment.
pub(crate) fn environ() -> usize {
    match real::ENVIRON.addr() {
        0 => 0,
        // SAFETY: the C library's variable.
        addr => unsafe { load::<usize>(addr) },
    }
}

/// Replaces `execve`.
pub(crate) extern "C" fn execve(path: usize, argv: usize, envp: usize) -> usize {
    pass_on(&real::EXECVE, [path, argv, envp, 0, 0, 0], 2)
}

/// Replaces `execv`.
pub(crate) extern "C" fn execv(path: usize, argv: usize) -> usize {
    if real::EXECVE.addr() != 0 && environ() != 0 {
        return pass_on(&real::EXECVE, [path, argv, environ(), 0, 0, 0], 2);
    }
    // SAFETY: the caller's arguments.
    unsafe { real::call(&real::EXECV, [path, argv, 0, 0, 0, 0]) }
}

/// Replaces `execvp`.
pub(crate) extern "C" fn execvp(file: usize, argv: usize) -> usize {
    if real::EXECVPE.addr() != 0 && environ() != 0 {
        return pass_on(&real::EXECVPE, [file, argv, environ(), 0, 0, 0], 2);
    }
    // SAFETY: the caller's arguments.
    unsafe { real::call(&real::EXECVP, [file, argv, 0, 0, 0, 0]) }
}

/// Replaces `execvpe`.
pub(crate) extern "C" fn execvpe(file: usize, argv: usize, envp: usize) -> usize {
    pass_on(&real::EXECVPE, [file, argv, envp, 0, 0, 0], 2)
}

/// Replaces `fexecve`.
pub(crate) extern "C" fn fexecve(fd: usize, argv: usize, envp: usize) -> usize {
    pass_on(&real::FEXECVE, [fd, argv, envp, 0, 0, 0], 2)
}

/// Replaces `posix_spawn`.
pub(crate) extern "C" fn posix_spawn(
    pid: usize,
    path: usize,
    actions: usize,
    attributes: usize,
    argv: usize,
    envp: usize,
) -> usize {
    pass_on(&real::POSIX_SPAWN, [pid, path, actions, attributes, argv, envp], 5)
}

/// Replaces `posix_spawnp`.
pub(crate) extern "C" fn posix_spawnp(
    pid: usize,
    file: usize,
    actions: usize,
    attributes: usize,
    argv: usize,
    envp: usize,
) -> usize {
    pass_on(&real::POSIX_SPAWNP, [pid, file, actions, attributes, argv, envp], 5)
}
