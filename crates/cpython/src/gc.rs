//! The collector: its settings, and the lists of objects that it tracks.
//!
//! A list is circular, with its head in the collector's state; each object has its `PyGC_Head` (next, previous) in
//! the 16 bytes before it. Low bits of both words are flags. Every link is checked both ways, so that no torn list is
//! walked twice or past its end.

use crate::code::at;
use crate::layouts::{GcLists, RuntimeLayout};
use crate::{Memory, Runtime};

/// What the collector is doing and set to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GcState {
    /// `gc.isenabled()`.
    pub enabled: bool,
    /// A collection is in progress: objects sit on private lists, [`tracked`] will answer [`Torn`].
    pub collecting: bool,
    /// `gc.get_debug()`.
    pub debug: u32,
    /// The three generations, youngest first, as `gc.get_threshold()` and `gc.get_count()` show them. The incremental
    /// collector has two spaces of old objects instead of the last two, in no fixed order.
    pub generations: [GenerationState; 3],
}

/// Threshold and counter of one generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerationState {
    /// `gc.get_threshold()[i]`.
    pub threshold: i32,
    /// `gc.get_count()[i]`.
    pub count: i32,
}

/// The collector's generation of an object, as `gc.get_objects(generation=…)` counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Generation {
    /// 0.
    Young,
    /// 1; the incremental collector has none.
    Middle,
    /// 2.
    Old,
    /// Frozen by `gc.freeze()`.
    Permanent,
}

/// The collector's lists are being changed, or are no lists: take the copy again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collector's lists are torn: {reason} after {objects} objects")]
pub struct Torn {
    /// Objects reported before the tear.
    pub objects: u64,
    /// What was seen.
    pub reason: &'static str,
}

/// Bytes from a `PyGC_Head` to its object.
pub const HEAD_SIZE: u64 = 16;

/// Flag bits of a link: `_PyGC_PREV_MASK_*` and, in 3.14.0 to 3.14.4, `_PyGC_NEXT_MASK_OLD_SPACE_1`.
const FLAGS: u64 = 3;

/// The collector's settings in interpreter `interp`; `None` where unreadable.
pub fn state<M: Memory>(mem: &M, rt: &Runtime, interp: u64) -> Option<GcState> {
    let layout = &rt.layout.runtime;
    let gc = at(interp, layout.interp_gc)?;
    let generation = |idx: u32| {
        let base = at(gc, layout.gc_generations + idx * layout.gc_generation_size)?;
        Some(GenerationState {
            threshold: mem.u32(at(base, layout.gc_generation_threshold)?)?.cast_signed(),
            count: mem.u32(at(base, layout.gc_generation_count)?)?.cast_signed(),
        })
    };
    Some(GcState {
        enabled: mem.u32(at(gc, layout.gc_enabled)?)? != 0,
        collecting: mem.u32(at(gc, layout.gc_collecting)?)? != 0,
        debug: mem.u32(at(gc, layout.gc_debug)?)?,
        generations: [generation(0)?, generation(1)?, generation(2)?],
    })
}

/// Calls `f` with each tracked object of `interp` and its generation; answers how many.
///
/// Errors: [`Torn`] where links are broken or cyclic, or while a collection is in progress; `f` may then have
/// been called for some objects. Cost: two words read an object.
pub fn tracked<M: Memory>(
    mem: &M,
    rt: &Runtime,
    interp: u64,
    mut f: impl FnMut(u64, Generation),
) -> Result<u64, Torn> {
    check(mem, rt, interp)?;
    let mut objects = 0;
    for (head, generation) in heads(&rt.layout.runtime, interp) {
        let mut cursor = Cursor::at(mem, head).map_err(|reason| Torn { objects, reason })?;
        cursor
            .walk(mem, u64::MAX, |object| {
                objects += 1;
                f(object, generation);
            })
            .map_err(|reason| Torn { objects, reason })?;
    }
    Ok(objects)
}

/// As [`tracked`], and gives loaded memory back on the way, so that a large heap does not stay loaded whole.
pub fn tracked_in_steps<M: Memory>(
    mem: &mut M,
    rt: &Runtime,
    interp: u64,
    mut f: impl FnMut(u64, Generation),
) -> Result<u64, Torn> {
    check(mem, rt, interp)?;
    let mut objects = 0;
    for (head, generation) in heads(&rt.layout.runtime, interp) {
        let mut cursor = Cursor::at(mem, head).map_err(|reason| Torn { objects, reason })?;
        let mut done = false;
        while !done {
            let step = cursor.walk(mem, STEP, |object| {
                objects += 1;
                f(object, generation);
            });
            done = step.map_err(|reason| Torn { objects, reason })?;
            mem.trim();
        }
    }
    Ok(objects)
}

/// Objects between two chances to give memory back.
const STEP: u64 = 1 << 16;

/// Whether the lists of `interp` can be walked now.
fn check<M: Memory>(mem: &M, rt: &Runtime, interp: u64) -> Result<(), Torn> {
    let state = state(mem, rt, interp).ok_or(Torn { objects: 0, reason: "its state is unreadable" })?;
    if state.collecting {
        return Err(Torn { objects: 0, reason: "a collection is in progress" });
    }
    Ok(())
}

/// The heads of all lists of `interp`.
fn heads(layout: &RuntimeLayout, interp: u64) -> [(u64, Generation); 4] {
    let gc = interp.wrapping_add(layout.interp_gc.into());
    let head = |offset: u32| gc.wrapping_add(offset.into());
    let list = |idx: u32| head(layout.gc_generations + idx * layout.gc_generation_size);
    let middle = match layout.gc_lists {
        GcLists::Generational => Generation::Middle,
        GcLists::Incremental => Generation::Old,
    };
    [
        (list(0), Generation::Young),
        (list(1), middle),
        (list(2), Generation::Old),
        (head(layout.gc_permanent), Generation::Permanent),
    ]
}

/// A place in one list.
struct Cursor {
    head: u64,
    last: u64,
    node: u64,
}

impl Cursor {
    fn at<M: Memory>(mem: &M, head: u64) -> Result<Cursor, &'static str> {
        let node = links(mem, head).ok_or("a list head is unreadable")?.0;
        Ok(Cursor { head, last: head, node })
    }

    /// Goes on over at most `limit` objects; `true` when it is around.
    fn walk<M: Memory>(&mut self, mem: &M, limit: u64, mut f: impl FnMut(u64)) -> Result<bool, &'static str> {
        let mut left = limit;
        // Every node has named its predecessor, so a cycle cannot close anywhere but at the head.
        while self.node != self.head {
            if left == 0 {
                return Ok(false);
            }
            left -= 1;
            let (next, previous) = links(mem, self.node).ok_or("a link is unreadable")?;
            if previous != self.last {
                return Err("a link does not lead back");
            }
            f(self.node.wrapping_add(HEAD_SIZE));
            (self.last, self.node) = (self.node, next);
        }
        match links(mem, self.head) {
            Some((_, previous)) if previous == self.last => Ok(true),
            _ => Err("a list's end is not its head's"),
        }
    }
}

/// Next and previous of the `PyGC_Head` at `node`, flags taken off.
#[inline]
fn links<M: Memory>(mem: &M, node: u64) -> Option<(u64, u64)> {
    let bytes = match mem.tail(node).first_chunk::<16>() {
        Some(bytes) => *bytes,
        None => mem.array::<16>(node)?,
    };
    let both = u128::from_le_bytes(bytes);
    Some((both as u64 & !FLAGS, (both >> 64) as u64 & !FLAGS))
}

/// Whether the collector of `interp` lies where `layout` says: its lists lead forth or back at their heads, or,
/// while a collection uses the back links for itself, at least forth.
///
/// A thread can be stopped between the stores that link an object in or out (`_PyObject_GC_TRACK`,
/// `Include/internal/pycore_object.h`). Taking one out leaves one direction whole; new ones go to the end of the youngest
/// list, and where that was empty both are broken. Such a list still fits: it is torn, and [`tracked`] says so.
pub(crate) fn fits<M: Memory>(mem: &M, layout: &RuntimeLayout, interp: u64) -> bool {
    let flag = |offset: u32| mem.u32(interp.wrapping_add(u64::from(layout.interp_gc + offset)));
    let Some(collecting @ 0..=1) = flag(layout.gc_collecting) else { return false };
    let is_sound = |head: u64, generation: Generation| {
        let (next, last) = links(mem, head)?;
        let (first, end) = (links(mem, next)?, links(mem, last)?);
        let may_be_torn = collecting == 1 || generation == Generation::Young;
        Some(may_be_torn || first.1 == head || end.0 == head)
    };
    matches!(flag(layout.gc_enabled), Some(0 | 1))
        && heads(layout, interp).iter().all(|(head, of)| is_sound(*head, *of) == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::LAYOUTS;
    use alloc::vec;
    use alloc::vec::Vec;

    const BASE: u64 = 0x10000;

    struct Bytes(Vec<u8>);

    impl Memory for Bytes {
        fn tail(&self, addr: u64) -> &[u8] {
            addr.checked_sub(BASE).and_then(|offset| self.0.get(offset as usize..)).unwrap_or(&[])
        }
    }

    impl Bytes {
        fn put(&mut self, addr: u64, word: u64) {
            let offset = (addr - BASE) as usize;
            self.0[offset..offset + 8].copy_from_slice(&word.to_le_bytes());
        }

        /// Links `nodes` after `head`, with the flags that the collector may leave in the words.
        fn link(&mut self, head: u64, nodes: &[u64], next_flag: u64) {
            let ring: Vec<u64> = core::iter::once(head).chain(nodes.iter().copied()).collect();
            for (idx, node) in ring.iter().enumerate() {
                let next = ring[(idx + 1) % ring.len()];
                let previous = ring[(idx + ring.len() - 1) % ring.len()];
                self.put(*node, next | next_flag);
                self.put(*node + 8, previous | u64::from(idx == 1));
            }
        }
    }

    /// 3.14.0 to 3.14.4 could not be run here: this is their `Include/internal/pycore_gc.h` by hand.
    #[test]
    fn incremental_lists_are_walked_through_their_space_flags() {
        let layout =
            LAYOUTS.iter().find(|row| row.runtime.gc_lists == GcLists::Incremental).expect("has a row");
        let rt = Runtime { layout, version_hex: layout.first, address: 0, interpreters: vec![BASE] };
        let mut mem = Bytes(vec![0; 0x4000]);
        let gc = BASE + u64::from(layout.runtime.interp_gc);
        let node = |idx: u64| BASE + 0x3000 + idx * 0x40;
        mem.link(gc + 24, &[node(0), node(1)], 0);
        mem.link(gc + 48, &[node(2)], 0);
        mem.link(gc + 72, &[node(3), node(4)], 1);
        mem.link(gc + 96, &[node(5)], 0);
        let mut found = Vec::new();
        let n = tracked(&mem, &rt, BASE, |object, generation| found.push((object - HEAD_SIZE, generation)));
        let old = [2, 3, 4].map(|idx| (node(idx), Generation::Old));
        let mut expected = vec![(node(0), Generation::Young), (node(1), Generation::Young)];
        expected.extend(old);
        expected.push((node(5), Generation::Permanent));
        assert_eq!((n, found), (Ok(6), expected));
        assert!(fits(&mem, &layout.runtime, BASE));
    }

    /// The stores of linking one object in at the end of the youngest list, or out at the beginning of the oldest, one after
    /// the other: whichever was the last before the stop, the collector is known again, and what is torn is not walked.
    #[test]
    fn a_list_that_is_being_changed_fits_and_is_torn() {
        let layout =
            LAYOUTS.iter().find(|row| row.runtime.gc_lists == GcLists::Generational).expect("has a row");
        let rt = Runtime { layout, version_hex: layout.first, address: 0, interpreters: vec![BASE] };
        let [young, _, old, _] = heads(&layout.runtime, BASE).map(|(head, _)| head);
        let node = |idx: u64| BASE + 0x3_0000 + idx * 0x40;
        for young_nodes in [&[][..], &[node(0), node(1)]] {
            let mut mem = Bytes(vec![0; 0x4_0000]);
            for (head, _) in heads(&layout.runtime, BASE) {
                mem.link(head, &[], 0);
            }
            mem.link(young, young_nodes, 0);
            mem.link(old, &[node(2), node(3)], 0);
            let (last, new) = (young_nodes.last().copied().unwrap_or(young), node(5));
            let link_in = [(last, new), (new + 8, last), (new, young), (young + 8, new)];
            let link_out = [(old, node(3)), (node(3) + 8, old)];
            for (n_stores, (at, word)) in link_in.into_iter().chain(link_out).enumerate() {
                mem.put(at, word);
                assert!(fits(&mem, &layout.runtime, BASE), "after {n_stores} stores");
                let is_whole = [3, 5].contains(&n_stores);
                assert_eq!(tracked(&mem, &rt, BASE, |_, _| ()).is_ok(), is_whole, "after {n_stores} stores");
            }
        }
    }
}
