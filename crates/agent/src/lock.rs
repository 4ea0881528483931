//! The agent's one lock, and whether the agent is armed at all.
//!
//! Both stand in a page that the kernel wipes in forked children, so a child that was made without our `fork` hook
//! finds the lock free and the agent disarmed, whatever the parent was doing. The lock knows its owner by the
//! thread pointer: a hook that is entered again by the same thread (a signal handler, an allocator that calls another
//! one) passes through unrecorded, and is counted.
//!
//! Unsafe: the exclusive reference to the agent's state, which the lock gives out.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use heapray_wire::ring::FAULT_IMPOSSIBLE;

use crate::agent::Agent;
use crate::arch::thread_pointer;
use crate::mem::shared;
use crate::pages::{PAGE_BYTES, map};
use crate::ring::{add, header};
use crate::{kernel, process};

/// Rounds of waiting in the processor before the thread lets others run.
const MAX_SPINS: u32 = 200;
/// Longest wait for the lock, in nanoseconds. On a busy machine its owner may not run for a while.
const MAX_WAIT_NS: u64 = 2_000_000_000;
/// What one round of waiting counts at most: the process may have been stopped meanwhile.
const MAX_ROUND_NS: u64 = 10_000_000;
/// Rounds of letting others run before the thread sleeps between looks.
const MAX_YIELDS: u32 = 64;
/// One such sleep, in nanoseconds.
const NAP_NS: u64 = 50_000;

/// `Page::armed`: a forked child that nobody has set up yet, or no agent.
const FRESH: u32 = 0;
/// `Page::armed`: events are recorded.
const ARMED: u32 = 1;
/// `Page::armed`: the agent passes everything through for good.
const IDLE: u32 = 2;

#[repr(C)]
struct Page {
    owner: AtomicUsize,
    armed: AtomicU32,
    /// The owner is inside the C library's `fork`: its state is whole, and it may enter again.
    is_forking: AtomicU32,
    /// The owner has called an allocator whose inner calls are not to be recorded.
    is_nested: AtomicU32,
}

/// Stands in where no page was mapped.
static NO_PAGE: Page = Page {
    owner: AtomicUsize::new(0),
    armed: AtomicU32::new(IDLE),
    is_forking: AtomicU32::new(0),
    is_nested: AtomicU32::new(0),
};
static PAGE: AtomicUsize = AtomicUsize::new(0);
static HAS_GIVEN_UP: AtomicBool = AtomicBool::new(false);

/// The state behind the lock.
struct Cell(UnsafeCell<Agent>);

// SAFETY: reached through `Guard` only, and there is one at a time.
unsafe impl Sync for Cell {}

static AGENT: Cell = Cell(UnsafeCell::new(Agent::new()));

#[inline]
fn page() -> &'static Page {
    match PAGE.load(Relaxed) {
        0 => &NO_PAGE,
        // SAFETY: a page of ours that is never given back while hooks run.
        addr => unsafe { shared(addr) },
    }
}

/// Makes the page; whether there was memory, and the kernel will wipe it.
pub(crate) fn prepare() -> bool {
    let Some(page) = map(PAGE_BYTES) else { return false };
    PAGE.store(page as usize, Relaxed);
    kernel::wipe_on_fork(page as usize, PAGE_BYTES)
}

/// From here on events are recorded.
pub(crate) fn arm() {
    page().armed.store(ARMED, Release);
}

/// Passes everything through from here on.
pub(crate) fn go_idle(fault: u32) {
    HAS_GIVEN_UP.store(true, Relaxed);
    page().armed.store(IDLE, Release);
    if fault != 0 {
        header().fault.store(fault, Relaxed);
    }
}

/// Whether events are recorded.
pub(crate) fn is_armed() -> bool {
    page().armed.load(Relaxed) == ARMED
}

/// Marks that the owner is inside `fork`.
pub(crate) fn set_forking(is_forking: bool) {
    page().is_forking.store(u32::from(is_forking), Relaxed);
}

/// Whether this thread is inside such a call.
pub(crate) fn is_nested() -> bool {
    page().is_nested.load(Relaxed) != 0 && page().owner.load(Relaxed) == thread_pointer()
}

/// Whether the agent has given up in this process or its parent: a child stays idle too.
pub(crate) fn has_given_up() -> bool {
    HAS_GIVEN_UP.load(Relaxed)
}

/// The lock, held.
pub(crate) struct Guard {
    page: &'static Page,
    is_outermost: bool,
}

impl Guard {
    /// Calls an allocator whose inner calls are not to be recorded.
    #[inline]
    pub(crate) fn nest<T>(&self, call: impl FnOnce() -> T) -> T {
        let was_nested = self.page.is_nested.load(Relaxed);
        self.page.is_nested.store(1, Relaxed);
        let answer = call();
        self.page.is_nested.store(was_nested, Relaxed);
        answer
    }
}

impl Deref for Guard {
    type Target = Agent;

    #[inline]
    fn deref(&self) -> &Agent {
        // SAFETY: this thread owns the lock.
        unsafe { &*AGENT.0.get() }
    }
}

impl DerefMut for Guard {
    #[inline]
    fn deref_mut(&mut self) -> &mut Agent {
        // SAFETY: this thread owns the lock; a second guard of the thread exists inside `fork` only, where the first
        // one is not in use.
        unsafe { &mut *AGENT.0.get() }
    }
}

impl Drop for Guard {
    #[inline]
    fn drop(&mut self) {
        if self.is_outermost {
            self.page.owner.store(0, Release);
        }
    }
}

/// Takes the lock. `None` where the event must pass through unrecorded: the agent is idle, this thread is inside it already,
/// or the lock could not be had in time. The latter two are counted.
#[inline]
pub(crate) fn enter() -> Option<Guard> {
    let page = page();
    let me = thread_pointer();
    if page.owner.compare_exchange(0, me, Acquire, Relaxed).is_err() {
        return enter_slowly(page, me);
    }
    if page.armed.load(Relaxed) == ARMED {
        return Some(Guard { page, is_outermost: true });
    }
    enter_unarmed(page)
}

/// As [`enter`], but also inside a call that [`Guard::nest`] makes: the agent's state is whole there. For mappings, which
/// the outer call does not record.
pub(crate) fn enter_even_nested() -> Option<Guard> {
    if is_nested() { Some(Guard { page: page(), is_outermost: false }) } else { enter() }
}

/// This thread has the lock, but the agent is not armed: a forked child, or idle.
#[cold]
fn enter_unarmed(page: &'static Page) -> Option<Guard> {
    let mut guard = Guard { page, is_outermost: true };
    if page.armed.load(Relaxed) == FRESH {
        let is_set_up = !has_given_up() && process::set_up_child(&mut guard);
        page.armed.store(if is_set_up { ARMED } else { IDLE }, Release);
        if is_set_up {
            return Some(guard);
        }
    }
    None
}

#[cold]
fn enter_slowly(page: &'static Page, me: usize) -> Option<Guard> {
    if page.owner.load(Relaxed) == me {
        if page.is_forking.load(Relaxed) != 0 && page.armed.load(Relaxed) == ARMED {
            return Some(Guard { page, is_outermost: false });
        }
        if page.is_nested.load(Relaxed) == 0 {
            add(&header().reentered, 1);
        }
        return None;
    }
    wait(page, me)
}

/// Waits for another thread's release.
fn wait(page: &'static Page, me: usize) -> Option<Guard> {
    let owner = page.owner.load(Relaxed);
    let (mut last_ns, mut waited_ns) = (0, 0);
    for round in 0_u32.. {
        if page.armed.load(Relaxed) == IDLE {
            return None;
        }
        if page.owner.load(Relaxed) == 0 && page.owner.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
            let guard = Guard { page, is_outermost: true };
            return (page.armed.load(Relaxed) == ARMED).then_some(guard);
        }
        if round < MAX_SPINS {
            core::hint::spin_loop();
            continue;
        }
        let now_ns = kernel::now_ns();
        waited_ns += if last_ns == 0 { 0 } else { (now_ns - last_ns).min(MAX_ROUND_NS) };
        last_ns = now_ns;
        if waited_ns > MAX_WAIT_NS {
            break;
        }
        if round < MAX_SPINS + MAX_YIELDS { kernel::yield_now() } else { kernel::nap(NAP_NS) }
    }
    add(&header().contended, 1);
    if page.owner.load(Relaxed) == owner && owner != 0 {
        // Its thread has ended, or was torn out of the agent by a jump.
        go_idle(FAULT_IMPOSSIBLE);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_recorded_before_the_start() {
        assert!(enter().is_none());
        assert!(!is_armed());
    }
}
