//! Native frames, merged with the Python frames that run in them.
//!
//! Each activation of the interpreter's C function keeps a struct on the C stack that the chain of Python frames leads to.
//! The native frame that this struct lies in stands for the Python frames of that activation; no symbol is needed for it.
//!
//! Unsafe: a symbol of the linker's.
#![allow(unsafe_code)]

mod bounds;
mod bytes;
mod cfi;
mod modules;
mod unwind;

use core::ops::Range;

use heapray_cpython::layouts::RuntimeLayout;
use heapray_wire::ring::cells::CutReason;

use crate::stack::array::Array;
use crate::stack::native::modules::{Module, Modules};
use crate::stack::native::unwind::{NativeFrame, Objects, Registers, Rules, Walk};
use crate::stack::peek::Peek;
use crate::stack::python::Python;
use crate::stack::threads::{Activation, Level, NATIVE, NATIVE_CUT, STALE, Thread};
use crate::stack::walk::{self, ChangedFrom, DEPTH_MAX};

unsafe extern "C" {
    /// The linker's name for the start of the image that this code is in: its ELF header.
    #[link_name = "__ehdr_start"]
    safe static IMAGE_HEADER: u8;
}

/// Most native frames that are unwound: some for each Python frame of 3.10.
const NATIVE_MAX: usize = 4096;

/// Stands where native frames are not known.
const NATIVE_MISSING: Level =
    Level { frame: 0, code: CutReason::Torn as u64, instruction: NATIVE_CUT, node: STALE, recursion: 0 };

/// New Python frames of one activation of the interpreter's C function.
#[derive(Clone, Copy)]
struct Stretch {
    /// An address in the C frame, 0 where it is not known.
    anchor: u64,
    /// Its Python frames end before this one.
    end: usize,
}

/// Where merging ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// At the thread's outermost frame.
    Outermost,
    /// At the C frame of an activation, which this address lies in.
    Anchor(u64),
}

/// The Python that frames are of, and the thread's state in it (0 none).
pub(crate) type OfPython<'a> = (Option<&'a Python>, u64);

/// What unwinding knows of the process, and room for one stack.
pub(crate) struct Native {
    objects: Objects,
    rules: Rules,
    stretches: Array<Stretch>,
    /// Native and Python frames, innermost first.
    merged: Array<Level>,
    /// The activations among them, innermost first; `first` counts from the innermost frame.
    activations: Array<Activation>,
}

impl Native {
    /// Nothing yet.
    pub(crate) const fn new() -> Native {
        let own = Module { start: 0, end: 0, header: 0 };
        let objects = Objects { modules: Modules::new(), own };
        Native {
            objects,
            rules: Rules::new(),
            stretches: Array::new(),
            merged: Array::new(),
            activations: Array::new(),
        }
    }

    /// Begins to go through all loaded objects.
    pub(crate) fn begin_objects(&mut self, peek: Peek) {
        self.objects.modules.begin_round();
        self.objects.own = Module::at(peek, &raw const IMAGE_HEADER as u64);
    }

    /// Sees a loaded object with its program headers.
    pub(crate) fn see_object(&mut self, peek: Peek, base: u64, phdr: u64, n_phdr: u64) {
        if self.objects.modules.see(Module::read(peek, base, phdr, n_phdr)) {
            self.rules.clear();
        }
    }

    /// Forgets objects that were not seen since the beginning.
    pub(crate) fn end_objects(&mut self) {
        if self.objects.modules.end_round() {
            self.rules.clear();
        }
    }

    /// Makes the native frames of the thread and `frames` (innermost first, cut for `cut`) its levels.
    pub(crate) fn settle(
        &mut self,
        peek: Peek,
        python: OfPython<'_>,
        (thread, registers): (&mut Thread, Registers),
        (frames, cut): (&[Level], Option<CutReason>),
    ) -> ChangedFrom {
        let is_whole = self.merge(peek, python, (thread, registers), (frames, Until::Outermost));
        let merged = self.merged.as_slice();
        let shown = &merged[..merged.len().min(DEPTH_MAX)];
        let cut = if shown.len() < merged.len() { Some(CutReason::TooDeep) } else { cut };
        let changed = walk::settle(thread, shown, cut);
        thread.activations.truncate(0);
        if is_whole && thread.cut.is_none() {
            self.keep_activations(thread, 0);
        }
        changed
    }

    /// As [`Native::settle`] with frames that were called from the one of level `met`, and all further out as it was; `None` where
    /// the way from here to there is not known.
    pub(crate) fn settle_inside(
        &mut self,
        peek: Peek,
        (python, state): (&Python, u64),
        (thread, registers): (&mut Thread, Registers),
        (frames, met): (&[Level], usize),
    ) -> Option<ChangedFrom> {
        let activations = thread.activations.as_slice();
        let around = activations.iter().rposition(|activation| activation.first <= met)?;
        let until = Until::Anchor(activations[around].anchor);
        let is_whole = self.merge(peek, (Some(python), state), (thread, registers), (frames, until));
        let merged = self.merged.as_slice();
        if !is_whole || met + 1 + merged.len() > DEPTH_MAX {
            return None;
        }
        let changed = walk::settle_inside(peek, &python.frames, met, (thread, merged));
        thread.activations.truncate(around + 1);
        self.keep_activations(thread, met + 1);
        Some(changed)
    }

    /// Remembers the activations that were merged, whose outermost frame became level `first`.
    fn keep_activations(&self, thread: &mut Thread, first: usize) {
        for new in self.activations.as_slice().iter().rev() {
            let first = first + (self.merged.len() - 1 - new.first);
            if !thread.activations.push(Activation { first, ..*new }) {
                thread.activations.truncate(0);
                return;
            }
        }
    }

    /// Merges native frames and `frames` (innermost first) where they run. Whether it got to the end, and to the C frame of each
    /// activation on the way.
    fn merge(
        &mut self,
        peek: Peek,
        (python, state): OfPython<'_>,
        (thread, registers): (&mut Thread, Registers),
        (frames, until): (&[Level], Until),
    ) -> bool {
        let stack_end = stack_end(thread, registers.sp);
        self.stretches.truncate(0);
        self.merged.truncate(0);
        self.activations.truncate(0);
        if let Some(python) = python.filter(|_| state != 0) {
            let (owner, stack) = (python.codes.layout.frame_owner, registers.sp..stack_end);
            let frames = without_base(peek, owner, frames, stack.clone());
            let first = (state, stack);
            if !divide(peek, python.codes.layout, first, (frames, until), &mut self.stretches) {
                self.merged.push(NATIVE_MISSING);
                frames.iter().take(DEPTH_MAX).for_each(|level| _ = self.merged.push(*level));
                return false;
            }
        }
        let mut walk = Walk::new(registers, stack_end);
        let (merged, activations) = (&mut self.merged, &mut self.activations);
        let mut out =
            Merged { frames, stretches: self.stretches.as_slice(), done: 0, merged, activations, n_unmet: 0 };
        for _ in 0..NATIVE_MAX {
            let Some(frame) = walk.next(peek, &mut self.rules, &self.objects) else { break };
            if !self.objects.is_own(frame.ip) {
                out.native(&frame);
            }
            if until != Until::Outermost && out.stretches.is_empty() {
                // The last stretch is that activation's.
                out.activations.truncate(out.activations.len().saturating_sub(1));
                return out.n_unmet == 0;
            }
        }
        if !walk.is_complete {
            out.push(NATIVE_MISSING);
        }
        while out.python(0) {}
        walk.is_complete && out.n_unmet == 0
    }
}

/// A stack while it is merged.
struct Merged<'a> {
    frames: &'a [Level],
    stretches: &'a [Stretch],
    /// Python frames that are in already.
    done: usize,
    merged: &'a mut Array<Level>,
    activations: &'a mut Array<Activation>,
    /// Activations whose C frame was not met.
    n_unmet: usize,
}

impl Merged<'_> {
    fn push(&mut self, level: Level) {
        if self.merged.len() <= DEPTH_MAX {
            self.merged.push(level);
        }
    }

    /// A native frame, or the Python frames that it stands for.
    fn native(&mut self, frame: &NativeFrame) {
        while let Some(next) = self.stretches.first().filter(|next| next.anchor != 0) {
            if next.anchor >= frame.extent.1 {
                break;
            }
            let is_it = next.anchor >= frame.extent.0;
            self.python(if is_it { next.anchor } else { 0 });
            if is_it {
                return;
            }
        }
        // The collector expects where a call returns to, and looks a byte before it.
        self.push(Level {
            frame: frame.extent.1,
            code: frame.ip + 1,
            instruction: NATIVE,
            node: STALE,
            recursion: 0,
        });
    }

    /// The Python frames of the next activation, whose C frame was met at `anchor` (0: it was not); whether there is one.
    fn python(&mut self, anchor: u64) -> bool {
        let Some((next, rest)) = self.stretches.split_first() else { return false };
        self.stretches = rest;
        for level in self.frames.get(self.done..next.end).unwrap_or_default() {
            self.push(*level);
        }
        self.done = next.end;
        let first = self.merged.len().saturating_sub(1);
        let is_kept = self.activations.push(Activation { anchor, first });
        self.n_unmet += usize::from(anchor == 0 || !is_kept);
        true
    }
}

/// Since 3.15 the outermost frame of a thread is one of the interpreter's own in the thread's state: no activation's, and no code runs
/// in it.
fn without_base(peek: Peek, owner: Option<u32>, frames: &[Level], stack: Range<u64>) -> &[Level] {
    let (Some(owner), Some((base, rest))) = (owner, frames.split_last()) else { return frames };
    let is_the_interpreters = peek.byte(base.frame + u64::from(owner)) >= super::OWNED_BY_INTERPRETER;
    if is_the_interpreters && !stack.contains(&base.frame) { rest } else { frames }
}

/// Divides `frames` (innermost first) of the thread with this state and stack by activations; whether that can be done. The last ones may
/// be of an activation with more frames further out, which `until` may know.
fn divide(
    peek: Peek,
    layout: &RuntimeLayout,
    (state, stack): (u64, Range<u64>),
    (frames, until): (&[Level], Until),
    out: &mut Array<Stretch>,
) -> bool {
    let activations = Activations { peek, layout, stack };
    match (layout.frame_owner, layout.frame_is_entry) {
        (None, None) => {
            return divide_one_by_one(&activations, activations.first(state), (frames, until), out);
        }
        (_, Some(_)) => {
            return divide_by_frames(&activations, activations.first(state), (frames, until), out);
        }
        _ => {}
    }
    // 3.12 and later: the activation's own frame, which runs no code, is at its outer end.
    for (idx, level) in frames.iter().enumerate() {
        let owner = layout.frame_owner.map(|offset| peek.byte(level.frame + u64::from(offset)));
        if owner >= Some(super::OWNED_BY_INTERPRETER) {
            out.push(Stretch { anchor: level.frame, end: idx + 1 });
        }
    }
    let is_open = out.as_slice().last().is_none_or(|last| last.end < frames.len());
    match until {
        Until::Anchor(anchor) => _ = out.push(Stretch { anchor, end: frames.len() }),
        Until::Outermost if is_open => _ = out.push(Stretch { anchor: 0, end: frames.len() }),
        Until::Outermost => {}
    }
    true
}

/// Until 3.12 a thread leads to a chain of `_PyCFrame`, one on its stack for each activation. The outermost one is in its state, and leads
/// anywhere.
struct Activations<'a> {
    peek: Peek,
    layout: &'a RuntimeLayout,
    stack: Range<u64>,
}

impl Activations<'_> {
    fn at(&self, addr: u64) -> Option<u64> {
        (self.stack.contains(&addr) && addr.is_multiple_of(8)).then_some(addr)
    }

    /// The innermost one.
    fn first(&self, state: u64) -> Option<u64> {
        self.at(self.peek.word(state + u64::from(self.layout.thread_cframe?)))
    }

    fn next(&self, activation: u64) -> Option<u64> {
        self.at(self.peek.word(activation + u64::from(self.layout.cframe_previous?)))
    }

    /// Whether a frame was the outermost of an activation when it last began or went on.
    fn is_entry(&self, frame: u64) -> bool {
        self.layout.frame_is_entry.is_some_and(|offset| self.peek.byte(frame + u64::from(offset)) != 0)
    }

    /// The innermost frame of one.
    fn frame(&self, activation: u64) -> Option<u64> {
        Some(self.peek.word(activation + u64::from(self.layout.cframe_frame?)))
    }
}

/// 3.10: each frame is an activation, but for generators that an exception is thrown through: which they are cannot be told, only
/// that there are some.
fn divide_one_by_one(
    activations: &Activations<'_>,
    mut activation: Option<u64>,
    (frames, until): (&[Level], Until),
    out: &mut Array<Stretch>,
) -> bool {
    for end in 1..=frames.len() {
        let Some(anchor) = activation else { return false };
        out.push(Stretch { anchor, end });
        activation = activations.next(anchor);
    }
    if let Until::Anchor(anchor) = until {
        out.push(Stretch { anchor, end: frames.len() });
        return activation == Some(anchor);
    }
    true
}

/// 3.11: each activation knows its innermost frame, generators that an exception is thrown through among its own.
fn divide_by_frames(
    activations: &Activations<'_>,
    activation: Option<u64>,
    (frames, until): (&[Level], Until),
    out: &mut Array<Stretch>,
) -> bool {
    let Some(mut activation) = activation else { return frames.is_empty() };
    for (idx, level) in frames.iter().enumerate() {
        let Some(outer) = activations.next(activation) else { break };
        let Some(first) = activations.frame(outer) else { break };
        // A frame that has not begun is not among those that are told.
        let is_left_out = || {
            let ends = idx > 0 && activations.is_entry(frames[idx - 1].frame);
            ends && until == Until::Outermost && !frames[idx..].iter().any(|level| level.frame == first)
        };
        if level.frame == first || is_left_out() {
            out.push(Stretch { anchor: activation, end: idx });
            activation = outer;
        }
    }
    let end = frames.len();
    match until {
        Until::Outermost => _ = out.push(Stretch { anchor: activation, end }),
        Until::Anchor(anchor) => {
            if anchor != activation {
                out.push(Stretch { anchor: activation, end });
            }
            out.push(Stretch { anchor, end });
            return anchor == activation || activations.next(activation) == Some(anchor);
        }
    }
    true
}

/// One past the last address of the stack that `sp` points into. A main thread's grows at its lower end.
fn stack_end(thread: &mut Thread, sp: u64) -> u64 {
    const GROWTH: u64 = 8 << 20;
    let (start, end) = thread.stack;
    let start = if thread.is_main { end.saturating_sub(GROWTH).min(start) } else { start };
    if !(start..end).contains(&sp) {
        thread.stack = bounds::stack_of(sp);
    }
    thread.stack.1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn python(code: u64) -> Level {
        Level { frame: 0, code, instruction: 1, node: STALE, recursion: 0 }
    }

    /// Merges native frames `ip: extent` (innermost first) with Python frames 1, 2, … of activations `anchor, end`.
    fn merge(natives: &[(u64, u64, u64)], activations: &[(u64, usize)]) -> Vec<(bool, u64)> {
        let n_frames = activations.last().map_or(0, |activation| activation.1);
        let frames: Vec<Level> = (1..=n_frames as u64).map(python).collect();
        let stretches: Vec<Stretch> =
            activations.iter().map(|(anchor, end)| Stretch { anchor: *anchor, end: *end }).collect();
        let (mut merged, mut met) = (Array::new(), Array::new());
        let mut out = Merged {
            frames: &frames,
            stretches: &stretches,
            done: 0,
            merged: &mut merged,
            activations: &mut met,
            n_unmet: 0,
        };
        for (ip, start, end) in natives {
            out.native(&NativeFrame { ip: *ip, extent: (*start, *end) });
        }
        while out.python(0) {}
        let found = out.n_unmet;
        let n_unmet = met.as_slice().iter().filter(|activation| activation.anchor == 0).count();
        assert_eq!((found, met.len()), (n_unmet, stretches.len()));
        for activation in met.as_slice().iter().filter(|activation| activation.anchor != 0) {
            let outermost = &merged.as_slice()[activation.first];
            let stretch = stretches.iter().find(|stretch| stretch.anchor == activation.anchor);
            assert_eq!(Some(outermost.code as usize), stretch.map(|stretch| stretch.end));
        }
        merged.as_slice().iter().map(|level| (level.instruction == NATIVE, level.code)).collect()
    }

    #[test]
    fn a_frame_of_the_interpreter_that_is_not_on_the_stack_is_no_activations() {
        let owners = [super::super::OWNED_BY_INTERPRETER, 0];
        let frame = |at: usize| Level { frame: owners.as_ptr() as u64 + at as u64, ..python(1) };
        let frames = [frame(1), frame(0)];
        let n_left = |owner, frames, stack| without_base(Peek::of_test(), owner, frames, stack).len();
        let elsewhere = 0..owners.as_ptr() as u64;
        assert_eq!(n_left(Some(0), &frames, elsewhere.clone()), 1);
        assert_eq!(n_left(Some(0), &frames, 0..u64::MAX), 2);
        assert_eq!(n_left(Some(0), &frames[..1], elsewhere.clone()), 1);
        assert_eq!(n_left(None, &frames, elsewhere), 2);
    }

    #[test]
    fn python_frames_stand_where_their_c_frame_was() {
        let natives = [(10, 100, 200), (20, 200, 300), (30, 300, 400), (40, 400, 500)];
        assert_eq!(
            merge(&natives, &[(250, 2), (450, 3)]),
            [(true, 11), (false, 1), (false, 2), (true, 31), (false, 3)]
        );
        assert_eq!(merge(&natives, &[]), [(true, 11), (true, 21), (true, 31), (true, 41)]);
    }

    #[test]
    fn python_frames_without_a_c_frame_keep_their_order() {
        // Unwinding lost its way before the second, and met the first too late.
        let natives = [(10, 100, 200), (20, 300, 400)];
        let expected = [(true, 11), (false, 1), (true, 21), (false, 2), (false, 3)];
        assert_eq!(merge(&natives, &[(250, 1), (900, 3)]), expected);
        // Where one is not known is not guessed.
        assert_eq!(merge(&natives, &[(0, 1), (350, 2)]), [(true, 11), (true, 21), (false, 1), (false, 2)]);
    }

    #[test]
    fn a_stack_is_no_longer_than_is_recorded() {
        let natives: Vec<_> = (0..3000).map(|idx| (idx, idx * 10, idx * 10 + 10)).collect();
        assert_eq!(merge(&natives, &[(5, 2)]).len(), DEPTH_MAX + 1);
    }
}
