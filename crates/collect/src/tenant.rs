//! The process that has a slot: who it is, and how far its ring was read.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::atomic::{AtomicU64, Ordering};

use heapray_attach::Slot;
use heapray_linux::PidFd;
use heapray_wire::ring::SlotHeader;
use heapray_wire::ring::cells::Cell;
use heapray_wire::{Fact, FactValue};

use crate::Engine;
use crate::drain::Looks;

/// Most cells that are taken from one ring before the others have their turn.
const BATCH_CELLS: u64 = 1 << 16;

/// Time between two looks at what an agent keeps outside of its ring, and so the shortest pause of a process that is noticed. Longer
/// than the agent keeps anything there once it has an event.
const LOOKS_NS: u64 = 250_000_000;

/// The process in a slot.
#[derive(Debug)]
pub(crate) struct Tenant {
    /// Its number in the file.
    pub(crate) number: u32,
    /// Its pid as we see it.
    pub(crate) pid: i32,
    /// When it took its slot, by the monotonic clock.
    pub(crate) started_ns: u64,
    /// `None` where it had ended before we looked, or the kernel is too old.
    pub(crate) pidfd: Option<PidFd>,
    /// Its events when it was last looked at how fast they come.
    pub(crate) n_events: u64,
    /// When it was looked at how much of its reserved address space is in use.
    pub(crate) looks: Looks,
    /// A record that was cut at this count; a second time it is given up.
    cut_at: Option<u64>,
    young: Young,
}

/// What a process keeps outside of its ring, as it was seen last.
#[derive(Clone, Copy, Debug, Default)]
struct Young {
    looked_ns: u64,
    /// Records written to the ring until then, and a hash of what was outside.
    seen: (u64, u64),
    /// Records written to the ring when it was taken; 0 never.
    taken_at: u64,
}

impl Tenant {
    pub(crate) fn new(number: u32, pid: i32, started_ns: u64) -> Self {
        let pidfd = PidFd::open(pid).ok();
        Self {
            number,
            pid,
            started_ns,
            pidfd,
            n_events: 0,
            looks: Looks::new(),
            cut_at: None,
            young: Young::default(),
        }
    }

    /// Takes what is in the ring, at most one batch; answers how many cells that was.
    pub(crate) fn drain(&mut self, slot: &Slot<'_>, engine: &mut Engine, now: Now<'_>) -> u64 {
        let (from, head) = slot.pending();
        let to = head.min(from + BATCH_CELLS);
        if from == to {
            return 0;
        }
        now.buffer.clear();
        slot.copy_cells((from, to), now.buffer);
        let taken = engine.cells(self.number, now.buffer, now.t_ns) as u64;
        let next = match taken {
            // A batch ends anywhere, but the ring ends with a whole record: one that is cut twice is no record.
            0 if to == head && self.cut_at == Some(from) => from + 1,
            0 if to == head => {
                self.cut_at = Some(from);
                from
            }
            // No record is longer than a batch.
            0 => from + 1,
            n => from + n,
        };
        slot.consumed(next);
        next - from
    }
}

impl Tenant {
    /// Takes what a process keeps outside of its ring, once it has stood still between two looks: else an idle process would hold
    /// what nobody sees.
    pub(crate) fn look_at_young(&mut self, slot: &Slot<'_>, engine: &mut Engine, now: Now<'_>) {
        if now.t_ns >= self.young.looked_ns + LOOKS_NS {
            self.look_now(slot, engine, now);
        }
    }

    /// The same whenever the last look was.
    pub(crate) fn look_now(&mut self, slot: &Slot<'_>, engine: &mut Engine, now: Now<'_>) {
        let (from, head) = slot.pending();
        let young = &mut self.young;
        if from != head || young.taken_at == head {
            return;
        }
        young.looked_ns = now.t_ns;
        now.buffer.clear();
        slot.copy_young(now.buffer);
        let words: Vec<_> = now.buffer.iter().map(|cell| (cell.a, cell.b)).collect();
        let seen = (head, BuildHasherDefault::<DefaultHasher>::default().hash_one(words));
        if std::mem::replace(&mut young.seen, seen) == seen && !now.buffer.is_empty() {
            young.taken_at = head;
            engine.early_cells(self.number, now.buffer, now.t_ns);
        }
    }

    /// Takes what a process that has ended left outside of its ring, once that is empty.
    pub(crate) fn drain_young(&self, slot: &Slot<'_>, engine: &mut Engine, now: Now<'_>) {
        now.buffer.clear();
        slot.copy_young(now.buffer);
        engine.cells(self.number, now.buffer, now.t_ns);
    }
}

/// A moment, and a buffer for it.
pub(crate) struct Now<'a> {
    pub(crate) t_ns: u64,
    pub(crate) buffer: &'a mut Vec<Cell>,
}

/// What the agent says of itself, as facts.
pub(crate) fn status(header: &SlotHeader) -> Vec<Fact> {
    let word = |word: &AtomicU64| word.load(Ordering::Relaxed);
    let mut facts = vec![
        int("lost_events", word(&header.lost_events)),
        int("lost_frees", word(&header.lost_frees)),
        int("reentered", word(&header.reentered)),
        int("contended", word(&header.contended)),
        int("agent_events", word(&header.n_events)),
        int("cancelled_pairs", word(&header.n_cancelled)),
        int("hook_ns", hook_ns(word(&header.timed_ns), word(&header.n_timed), word(&header.n_slow))),
        int("waited_ns", word(&header.waited_ns)),
        int("agent_bytes", word(&header.agent_bytes)),
        int("ring_bytes", word(&header.head).saturating_mul(16)),
        int("agent_fault", header.fault.load(Ordering::Relaxed).into()),
        int("patched_objects", header.n_objects.load(Ordering::Relaxed).into()),
    ];
    facts.extend(python(header).map(|version| text("python", &version)));
    facts
}

/// The version of the process's Python, where the agent has found one: `3.13.0`.
pub(crate) fn python(header: &SlotHeader) -> Option<String> {
    let hex = header.python_hex.load(Ordering::Relaxed);
    (hex != 0).then(|| format!("{}.{}.{}", hex >> 24, hex >> 16 & 0xff, hex >> 8 & 0xff))
}

/// Every so-many-th slow path is timed; all of them took about as long.
fn hook_ns(timed_ns: u64, n_timed: u64, n_slow: u64) -> u64 {
    if n_timed == 0 { 0 } else { (timed_ns as f64 / n_timed as f64 * n_slow as f64) as u64 }
}

/// A fact with an integer.
pub(crate) fn int(name: &str, value: u64) -> Fact {
    Fact { name: name.to_owned(), value: FactValue::Int(i64::try_from(value).unwrap_or(i64::MAX)) }
}

/// A fact with a text.
pub(crate) fn text(name: &str, value: &str) -> Fact {
    Fact { name: name.to_owned(), value: FactValue::Text(value.to_owned()) }
}

/// When a slot was taken, by the monotonic clock.
pub(crate) fn started_ns(header: &SlotHeader) -> u64 {
    header.started_ns.load(Ordering::Relaxed)
}
