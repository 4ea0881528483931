//! The agent's one lock, and whether the agent is armed at all.
//!
//! Both stand in a page that the kernel wipes in forked children, so a child that was made without our `fork` hook
//! finds the lock free and the agent disarmed, whatever the parent was doing. The lock knows its owner by the
//! thread pointer: a hook that is entered again by the same thread (a signal handler, an allocator that calls another
//! one) passes through unrecorded, and is counted.
//!
//! A process begins with one thread, and while it has no other, that one *keeps* the lock: it says that it is inside by a plain
//! store, which an event notices less than an exchange that other processors could see. It gives the lock up before it creates
//! a thread. A thread that came into being without our hook takes it away: it waits until the keeper can have no store left that
//! others do not see, and until it is outside. From then on the lock is everybody's.
//!
//! Unsafe: the exclusive reference to the agent's state, which the lock gives out; the page that the lock stands in.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, compiler_fence};

use heapray_wire::ring::{FAULT_IMPOSSIBLE, MODE_EXACT};

use crate::agent::Agent;
use crate::arch::thread_pointer;
use crate::pages::{PAGE_BYTES, map};
use crate::ring::{add, control, header};
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
/// By then every processor sees a store, in nanoseconds: it waits in its own for less than a microsecond.
const SEEN_NS: u64 = 1_000_000;

/// `Page::armed`: a forked child that nobody has set up yet, or no agent.
const FRESH: u32 = 0;
/// `Page::armed`: events are recorded.
const ARMED: u32 = 1;
/// `Page::armed`: the agent passes everything through for good.
const IDLE: u32 = 2;

#[repr(C)]
struct Page {
    /// The thread that keeps the lock, 0 none.
    keeper: AtomicUsize,
    /// The keeper, while it is inside. Stays so where the lock is taken from it meanwhile.
    inside: AtomicUsize,
    /// The thread that has the lock, where nobody keeps it.
    owner: AtomicUsize,
    armed: AtomicU32,
    /// The owner is inside the C library's `fork`: its state is whole, and it may enter again.
    is_forking: AtomicU32,
    /// The owner has called an allocator whose inner calls are not to be recorded.
    is_nested: AtomicU32,
}

/// Stands in where no page was mapped.
static NO_PAGE: Page = Page::new(IDLE);
static PAGE: AtomicPtr<Page> = AtomicPtr::new((&raw const NO_PAGE).cast_mut());
/// What a guard inside another one of its thread clears.
static NOTHING: AtomicUsize = AtomicUsize::new(0);
static HAS_GIVEN_UP: AtomicBool = AtomicBool::new(false);

impl Page {
    const fn new(armed: u32) -> Page {
        Page {
            keeper: AtomicUsize::new(0),
            inside: AtomicUsize::new(0),
            owner: AtomicUsize::new(0),
            armed: AtomicU32::new(armed),
            is_forking: AtomicU32::new(0),
            is_nested: AtomicU32::new(0),
        }
    }

    /// Whether this thread, which keeps the lock, has entered. Not where it is inside already, or keeps it no longer.
    #[inline]
    fn is_let_in(&self, me: usize) -> bool {
        if self.inside.load(Relaxed) != 0 {
            return false;
        }
        self.inside.store(me, Relaxed);
        // The processor may do the two in the other order all the same: `take_away` waits for that.
        compiler_fence(SeqCst);
        if self.keeper.load(Relaxed) == me {
            return true;
        }
        self.inside.store(0, Release);
        false
    }

    /// Whether this thread has the lock.
    fn is_held_by(&self, me: usize) -> bool {
        self.owner.load(Relaxed) == me || self.inside.load(Relaxed) == me
    }

    /// Takes the lock from who keeps it, for the owner. Whether the keeper is outside then, and stays there.
    fn take_away(&self) -> bool {
        self.keeper.store(0, SeqCst);
        let start_ns = kernel::now_ns();
        while kernel::now_ns() - start_ns < SEEN_NS {
            kernel::nap(SEEN_NS);
        }
        let mut patience = Patience::new();
        while self.inside.load(Acquire) != 0 {
            if !patience.pauses() {
                return false;
            }
        }
        true
    }
}

/// The state behind the lock.
struct Cell(UnsafeCell<Agent>);

// SAFETY: reached through `Guard` only, and there is one at a time.
unsafe impl Sync for Cell {}

static AGENT: Cell = Cell(UnsafeCell::new(Agent::new()));

#[inline]
fn page() -> &'static Page {
    // SAFETY: `NO_PAGE`, or a page of ours that is never given back while hooks run.
    unsafe { &*PAGE.load(Relaxed) }
}

/// Makes the page; whether there was memory, and the kernel will wipe it.
pub(crate) fn prepare() -> bool {
    let Some(page) = map(PAGE_BYTES) else { return false };
    PAGE.store(page.cast(), Relaxed);
    kernel::wipe_on_fork(page as usize, PAGE_BYTES)
}

/// From here on events are recorded; by one thread, if this one is alone.
pub(crate) fn arm(is_alone: bool) {
    page().armed.store(ARMED, Release);
    page().keeper.store(if is_alone { keeper(thread_pointer()) } else { 0 }, Release);
}

/// Who keeps the lock where this thread is the only one: it, unless events are so few that nothing is gained.
fn keeper(me: usize) -> usize {
    if control().mode.load(Relaxed) == MODE_EXACT { me } else { 0 }
}

/// This thread is about to create another one: it keeps the lock no longer.
pub(crate) fn share() {
    let (page, me) = (page(), thread_pointer());
    if page.keeper.load(Relaxed) == me && page.inside.load(Relaxed) == 0 {
        page.keeper.store(0, Release);
    }
}

/// Passes everything through from here on.
pub(crate) fn go_idle(fault: u32) {
    HAS_GIVEN_UP.store(true, Relaxed);
    page().armed.store(IDLE, Release);
    page().keeper.store(0, Release);
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
    page().is_nested.load(Relaxed) != 0 && page().is_held_by(thread_pointer())
}

/// Whether the agent has given up in this process or its parent: a child stays idle too.
pub(crate) fn has_given_up() -> bool {
    HAS_GIVEN_UP.load(Relaxed)
}

/// The lock, held.
pub(crate) struct Guard {
    /// The word that says so.
    held: &'static AtomicUsize,
}

impl Guard {
    /// Calls an allocator whose inner calls are not to be recorded.
    #[inline]
    pub(crate) fn nest<T>(&self, call: impl FnOnce() -> T) -> T {
        let page = page();
        let was_nested = page.is_nested.load(Relaxed);
        page.is_nested.store(1, Relaxed);
        let answer = call();
        page.is_nested.store(was_nested, Relaxed);
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
        self.held.store(0, Release);
    }
}

/// Takes the lock. `None` where the event must pass through unrecorded: the agent is idle, this thread is inside it already,
/// or the lock could not be had in time. The latter two are counted.
#[inline]
pub(crate) fn enter() -> Option<Guard> {
    let page = page();
    let me = thread_pointer();
    if page.keeper.load(Relaxed) == me {
        if page.is_let_in(me) {
            return Some(Guard { held: &page.inside });
        }
        return enter_slowly(page, me);
    }
    enter_shared(page, me)
}

/// Takes the lock where this thread does not keep it.
#[inline]
fn enter_shared(page: &'static Page, me: usize) -> Option<Guard> {
    if page.owner.compare_exchange(0, me, Acquire, Relaxed).is_err() {
        return enter_slowly(page, me);
    }
    admit(page, me)
}

/// This thread has the lock: whether it may use it.
#[inline]
fn admit(page: &'static Page, me: usize) -> Option<Guard> {
    let guard = Guard { held: &page.owner };
    if page.armed.load(Relaxed) == ARMED && page.keeper.load(Relaxed) == 0 {
        return Some(guard);
    }
    enter_first(page, guard, me)
}

/// As [`enter`], but also inside a call that [`Guard::nest`] makes: the agent's state is whole there. For mappings, which
/// the outer call does not record.
pub(crate) fn enter_even_nested() -> Option<Guard> {
    if is_nested() { Some(Guard { held: &NOTHING }) } else { enter() }
}

/// This thread has the lock, but another one keeps it, or the agent is not armed: a forked child, or idle.
#[cold]
fn enter_first(page: &'static Page, mut guard: Guard, me: usize) -> Option<Guard> {
    if page.keeper.load(Relaxed) != 0 && !page.take_away() {
        add(&header().contended, 1);
        go_idle(FAULT_IMPOSSIBLE);
    }
    if page.armed.load(Relaxed) == FRESH {
        let is_set_up = !has_given_up() && process::set_up_child(&mut guard);
        page.armed.store(if is_set_up { ARMED } else { IDLE }, Release);
        // A child begins with one thread.
        page.keeper.store(if is_set_up { keeper(me) } else { 0 }, Release);
    }
    (page.armed.load(Relaxed) == ARMED).then_some(guard)
}

#[cold]
fn enter_slowly(page: &'static Page, me: usize) -> Option<Guard> {
    if page.is_held_by(me) {
        if page.is_forking.load(Relaxed) != 0 && page.armed.load(Relaxed) == ARMED {
            return Some(Guard { held: &NOTHING });
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
    let mut patience = Patience::new();
    loop {
        if page.armed.load(Relaxed) == IDLE {
            return None;
        }
        if page.owner.load(Relaxed) == 0 && page.owner.compare_exchange(0, me, Acquire, Relaxed).is_ok() {
            return admit(page, me);
        }
        if !patience.pauses() {
            break;
        }
    }
    add(&header().contended, 1);
    if page.owner.load(Relaxed) == owner && owner != 0 {
        // Its thread has ended, or was torn out of the agent by a jump.
        go_idle(FAULT_IMPOSSIBLE);
    }
    None
}

/// How long a thread has waited already.
struct Patience {
    round: u32,
    last_ns: u64,
    waited_ns: u64,
}

impl Patience {
    const fn new() -> Patience {
        Patience { round: 0, last_ns: 0, waited_ns: 0 }
    }

    /// Waits a moment; `false` where that has been long enough.
    fn pauses(&mut self) -> bool {
        self.round = self.round.saturating_add(1);
        if self.round <= MAX_SPINS {
            core::hint::spin_loop();
            return true;
        }
        let now_ns = kernel::now_ns();
        self.waited_ns += if self.last_ns == 0 { 0 } else { (now_ns - self.last_ns).min(MAX_ROUND_NS) };
        self.last_ns = now_ns;
        if self.waited_ns > MAX_WAIT_NS {
            return false;
        }
        if self.round <= MAX_SPINS + MAX_YIELDS {
            kernel::yield_now()
        } else {
            kernel::nap(NAP_NS)
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that are added to by whoever has the lock, and by nobody else.
    static SUM: [AtomicUsize; 2] = [const { AtomicUsize::new(0) }; 2];

    fn add_inside() {
        for number in &SUM {
            number.store(number.load(Relaxed) + 1, Relaxed);
        }
        assert_eq!(SUM[0].load(Relaxed), SUM[1].load(Relaxed));
    }

    #[test]
    fn a_thread_that_nobody_announced_takes_the_lock_away() {
        const EACH: usize = 50_000;
        const KEEPER: usize = 1;
        let page: &'static Page = Box::leak(Box::new(Page::new(ARMED)));
        page.keeper.store(KEEPER, Relaxed);
        let take = |me: usize| {
            while page.owner.compare_exchange(0, me, Acquire, Relaxed).is_err() {
                std::thread::yield_now();
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..EACH {
                    if page.is_let_in(KEEPER) {
                        assert!(page.is_held_by(KEEPER) && !page.is_let_in(KEEPER));
                        add_inside();
                        page.inside.store(0, Release);
                        continue;
                    }
                    take(KEEPER);
                    add_inside();
                    page.owner.store(0, Release);
                }
            });
            for me in [2, 3] {
                scope.spawn(move || {
                    for _ in 0..EACH {
                        take(me);
                        assert!(page.keeper.load(Relaxed) == 0 || page.take_away());
                        add_inside();
                        page.owner.store(0, Release);
                    }
                });
            }
        });
        assert_eq!(SUM[0].load(Relaxed), 3 * EACH);
        assert_eq!(page.keeper.load(Relaxed), 0);
    }

    #[test]
    fn nothing_is_recorded_before_the_start() {
        assert!(enter().is_none());
        assert!(!is_armed());
    }
}
