//! What stands behind the agent's lock: ring, window, stacks.

use core::sync::atomic::Ordering::{Relaxed, Release};

use heapray_wire::ring::cells::{
    Allocator, Drawn, alloc, alloc_large, border, ending, forking, free, sample, state, unmap,
};
use heapray_wire::ring::{FLAG_ALL_EVENTS, FLAG_NATIVE, MODE_EXACT};

use crate::cost::Cost;
use crate::ending::Ending;
use crate::ring::{Rank, Ring, control, header};
use crate::stack::Stacks;
use crate::stack::python::Holds;
use crate::stack::threads::Origin;
use crate::window::{LARGE_BYTES, Window};
use crate::{domains, kernel, lock, pages, sampler, view};

/// Samples are few: each counts as so many events where one is to be timed.
const TIMED_SAMPLES: u32 = 64;
/// How long a block may be young, in nanoseconds: a sweep through the window costs tens of microseconds.
const MAX_AGE_NS: u64 = 50_000_000;
/// Anonymous mappings that are remembered.
const MAX_MAPPINGS: usize = 256;

/// See the module.
pub(crate) struct Agent {
    pub(crate) ring: Ring,
    pub(crate) stacks: Stacks,
    pub(crate) slot_idx: u32,
    /// The mark of the fork that is going on, 0 none.
    pub(crate) fork_mark: u64,
    /// What a child of that fork takes over.
    heritage: Heritage,
    window: Option<Window>,
    /// The heartbeat at which there is nothing to be done.
    beat: u64,
    /// The heartbeat at which the collector's words were looked at.
    seen_beat: u64,
    /// The border between slices that was told last.
    border: u64,
    flushed_ns: u64,
    is_native: bool,
    is_recording: bool,
    has_recorded: bool,
    n_events: u64,
    n_marks: u64,
    cost: Cost,
    ending: Ending,
    mappings: [(usize, usize, Allocator); MAX_MAPPINGS],
    next_mapping: usize,
}

/// What a forked process takes over from its parent's slot. It is read before the fork: a parent that ends at once gives its slot
/// to others before its child comes to look.
#[derive(Clone, Copy)]
pub(crate) struct Heritage {
    pub(crate) generation: u32,
    pub(crate) python_hex: u32,
    pub(crate) objects: u32,
}

impl Heritage {
    const NONE: Heritage = Heritage { generation: 0, python_hex: 0, objects: 0 };

    fn of_header() -> Heritage {
        Heritage {
            generation: header().generation.load(Relaxed),
            python_hex: header().python_hex.load(Relaxed),
            objects: header().objects.load(Relaxed),
        }
    }
}

impl Agent {
    /// Before the start.
    pub(crate) const fn new() -> Agent {
        Agent {
            ring: Ring::empty(),
            stacks: Stacks::new(),
            slot_idx: 0,
            fork_mark: 0,
            heritage: Heritage::NONE,
            window: None,
            beat: 0,
            seen_beat: 0,
            border: 0,
            flushed_ns: 0,
            is_native: false,
            is_recording: false,
            has_recorded: false,
            n_events: 0,
            n_marks: 0,
            cost: Cost::new(),
            ending: Ending::never(),
            mappings: [(0, 0, Allocator::Mmap); MAX_MAPPINGS],
            next_mapping: 0,
        }
    }

    /// Takes a fresh slot, mapped at `slot`.
    pub(crate) fn begin(&mut self, slot_idx: u32, slot: usize) {
        let is_exact = control().mode.load(Relaxed) == MODE_EXACT;
        let pairs = view::ring(slot, control().slot_bytes.load(Relaxed) as usize);
        self.ring = Ring::new(pairs, is_exact);
        let cancels = is_exact && control().flags.load(Relaxed) & FLAG_ALL_EVENTS == 0;
        self.window = cancels.then(|| Window::new(view::window(slot), view::temporaries(slot)));
        self.stacks.begin_ring();
        self.slot_idx = slot_idx;
        self.seen_beat = control().heartbeat.load(Relaxed);
        self.border = control().border.load(Relaxed);
        self.beat = !self.seen_beat;
        self.is_native = control().flags.load(Relaxed) & FLAG_NATIVE != 0;
        self.is_recording = control().recording.load(Relaxed) != 0;
        self.has_recorded |= self.is_recording;
        self.n_events = 0;
        self.cost.begin();
        header().pid.store(kernel::pid(), Relaxed);
        header().start_id.store(kernel::random(), Relaxed);
        header().started_ns.store(kernel::now_ns(), Relaxed);
        header().agent_bytes.store(pages::mapped_bytes(), Relaxed);
        let is_recording = self.is_recording;
        self.ring.push(&[state(is_recording.into())], Rank::Vital);
        self.ending = self.stacks.ending();
        if self.ending.is_watched() {
            self.tell_ending();
        }
    }

    /// Looks at the collector's words where it has moved, and at the interpreter while that starts.
    #[inline]
    pub(crate) fn poll(&mut self) {
        let beat = control().heartbeat.load(Relaxed);
        if beat != self.beat {
            self.look(beat);
        }
    }

    #[cold]
    #[inline(never)]
    fn look(&mut self, beat: u64) {
        domains::look_again();
        // An interpreter that starts is looked at again with the next event, whatever the collector does.
        self.beat = if domains::are_settled() { beat } else { !beat };
        if beat != self.seen_beat {
            self.seen_beat = beat;
            self.obey();
        }
    }

    fn obey(&mut self) {
        if self.ending.is_news() {
            self.tell_ending();
        }
        let now_ns = kernel::now_ns();
        let border_wanted = control().border.load(Relaxed);
        if now_ns - self.flushed_ns >= MAX_AGE_NS || border_wanted != self.border {
            self.flushed_ns = now_ns;
            self.flush();
        }
        if border_wanted != self.border {
            self.border = border_wanted;
            self.ring.push(&[border(border_wanted)], Rank::Vital);
        }
        if let Some(window) = &mut self.window {
            window.set_crest(header().crest.load(Relaxed), header().crest_step.load(Relaxed));
        }
        self.cost.tell(now_ns);
        header().n_events.store(self.n_events, Relaxed);
        header().n_slow.store(self.n_events, Relaxed);
        header().n_nodes.store(self.stacks.n_nodes(), Relaxed);
        header().agent_bytes.store(pages::mapped_bytes(), Relaxed);
        let is_recording = control().recording.load(Relaxed) != 0;
        if is_recording != self.is_recording {
            self.is_recording = is_recording;
            self.has_recorded |= is_recording;
            self.ring.push(&[state(is_recording.into())], Rank::Vital);
        }
        if control().stop.load(Relaxed) != 0 {
            lock::go_idle(0);
        }
    }

    /// Moves what is young into the ring.
    pub(crate) fn flush(&mut self) {
        if let Some(window) = &mut self.window {
            window.flush(&mut self.ring);
        }
    }

    /// Exact mode: a block was given.
    #[inline]
    pub(crate) fn alloc(&mut self, holds: Holds, allocator: Allocator, ptr: usize, size: usize) {
        self.poll();
        if !self.is_recording {
            return;
        }
        self.n_events += 1;
        if self.cost.is_due(1) {
            return self.alloc_timed(holds, allocator, ptr, size);
        }
        self.alloc_now(holds, allocator, ptr, size);
    }

    #[cold]
    #[inline(never)]
    fn alloc_timed(&mut self, holds: Holds, allocator: Allocator, ptr: usize, size: usize) {
        let start = self.cost.now();
        self.alloc_now(holds, allocator, ptr, size);
        self.cost.add(start);
    }

    #[inline]
    fn alloc_now(&mut self, holds: Holds, allocator: Allocator, ptr: usize, size: usize) {
        let node = self.node(holds);
        let (ptr, size) = (ptr as u64, size as u64);
        match (u32::try_from(size), &mut self.window) {
            (Ok(small), Some(window)) if size < LARGE_BYTES && is_heap(allocator) => {
                window.insert(alloc(allocator, ptr, node, small), &mut self.ring);
            }
            (Ok(small), _) => {
                self.rise(size);
                self.ring.event(&[alloc(allocator, ptr, node, small)]);
            }
            _ => {
                self.rise(size);
                self.ring.event(&alloc_large(allocator, ptr, node, size));
            }
        }
    }

    fn rise(&mut self, n_bytes: u64) {
        if let Some(window) = &mut self.window {
            window.rise(n_bytes, &mut self.ring);
        }
    }

    /// Where the calling thread is.
    #[inline]
    fn node(&mut self, holds: Holds) -> u32 {
        match self.is_native {
            true => self.stacks.native_node(holds, &mut self.ring),
            false => self.stacks.node(holds, &mut self.ring),
        }
    }

    /// Where a thread starts that the calling one is about to create; `None` where that is not known.
    pub(crate) fn origin(&mut self) -> Option<Origin> {
        self.poll();
        self.stacks.origin(self.is_native, &mut self.ring)
    }

    /// Says that the interpreter ends, after all that happened before.
    #[cold]
    #[inline(never)]
    fn tell_ending(&mut self) {
        self.flush();
        let ring = &mut self.ring;
        self.ending.tell(|is_ending| {
            if !is_ending {
                domains::begin_again();
            }
            ring.push(&[ending(is_ending.into())], Rank::Vital)
        });
        self.beat = !self.seen_beat;
    }

    /// Exact mode: a block goes back.
    #[inline]
    pub(crate) fn free(&mut self, ptr: usize, allocator: Allocator) {
        self.poll();
        if self.ending.is_news() {
            self.tell_ending();
        }
        if !self.has_recorded {
            return;
        }
        self.n_events += 1;
        if self.cost.is_due(1) {
            return self.free_timed(ptr, allocator);
        }
        self.free_now(ptr, allocator);
    }

    #[cold]
    #[inline(never)]
    fn free_timed(&mut self, ptr: usize, allocator: Allocator) {
        let start = self.cost.now();
        self.free_now(ptr, allocator);
        self.cost.add(start);
    }

    #[inline]
    fn free_now(&mut self, ptr: usize, allocator: Allocator) {
        let ptr = ptr as u64;
        if let Some(window) = &mut self.window {
            if window.cancel(ptr, &mut self.ring) {
                return;
            }
            window.fall(&mut self.ring);
        }
        self.ring.free(&[free(ptr, allocator)]);
    }

    /// Sampled mode: a block was given and is a sample.
    pub(crate) fn sample(&mut self, allocator: Allocator, ptr: usize, size: usize) {
        self.poll();
        self.n_events += 1;
        let start = self.cost.is_due(TIMED_SAMPLES).then(|| self.cost.now());
        let node = self.node(holds(allocator));
        let drawn = Drawn { size: size as u64, interval: sampler::of(allocator).sampled_interval() };
        self.ring.event(&sample(allocator, ptr as u64, node, drawn));
        if let Some(start) = start {
            self.cost.add(start);
        }
    }

    /// Sampled mode: a block that may be a sample goes back.
    pub(crate) fn sampled_free(&mut self, ptr: usize, allocator: Allocator) {
        self.poll();
        if self.ending.is_news() {
            self.tell_ending();
        }
        self.n_events += 1;
        let start = self.cost.is_due(TIMED_SAMPLES).then(|| self.cost.now());
        self.ring.free(&[free(ptr as u64, allocator)]);
        if let Some(start) = start {
            self.cost.add(start);
        }
    }

    /// Address space is reserved, in both modes: it is rare, and how much of it will be used is not known.
    pub(crate) fn reserve(&mut self, start: usize, n_bytes: usize) {
        if self.is_recording {
            self.n_events += 1;
            let node = self.node(Holds::Unknown);
            self.ring.event(&alloc_large(Allocator::Reserved, start as u64, node, n_bytes as u64));
        }
    }

    /// A range of addresses is unmapped.
    pub(crate) fn unmap(&mut self, start: usize, n_bytes: usize) {
        self.poll();
        for mapping in &mut self.mappings {
            if mapping.0 >= start && mapping.0 < start.saturating_add(n_bytes) {
                *mapping = (0, 0, Allocator::Mmap);
            }
        }
        if self.ending.is_news() {
            self.tell_ending();
        }
        if self.has_recorded {
            if let Some(window) = &mut self.window {
                window.fall(&mut self.ring);
            }
            self.ring.free(&[unmap(start as u64, n_bytes as u64)]);
        }
    }

    /// Remembers an anonymous mapping; the oldest is forgotten.
    pub(crate) fn note_mapping(&mut self, kind: Allocator, start: usize, n_bytes: usize) {
        self.mappings[self.next_mapping % MAX_MAPPINGS] = (start, n_bytes, kind);
        self.next_mapping = self.next_mapping.wrapping_add(1);
    }

    /// What the anonymous mapping that `start` is in was recorded as, where it is remembered; one that moves is no arena.
    pub(crate) fn mapping(&self, start: usize) -> Option<Allocator> {
        let is_it = |mapping: &&(usize, usize, Allocator)| {
            let (first, n_bytes, _) = **mapping;
            start >= first && start - first < n_bytes
        };
        let (_, _, kind) = self.mappings.iter().find(is_it)?;
        Some(if *kind == Allocator::Arena { Allocator::Mmap } else { *kind })
    }

    /// Puts a mark into the ring, after all that happened before the fork.
    pub(crate) fn begin_fork(&mut self) {
        self.flush();
        self.n_marks += 1;
        self.fork_mark = self.n_marks;
        self.ring.push(&[forking(self.fork_mark)], Rank::Vital);
        header().n_events.store(self.n_events, Release);
        self.heritage = Heritage::of_header();
    }

    /// What a child takes over, which has this state from its parent.
    pub(crate) fn heritage(&self) -> Heritage {
        // A fork that was not seen left none.
        if self.fork_mark == 0 { Heritage::of_header() } else { self.heritage }
    }
}

/// Whether the allocator gives blocks that are freed by their address.
fn is_heap(allocator: Allocator) -> bool {
    !matches!(allocator, Allocator::Mmap | Allocator::Arena | Allocator::Reserved)
}

/// Whether who calls this allocator holds the interpreter's lock.
fn holds(allocator: Allocator) -> Holds {
    match allocator {
        Allocator::PythonMem | Allocator::PythonObject => Holds::Interpreter,
        _ => Holds::Unknown,
    }
}
