//! Walking a thread's Python frames, from the innermost outwards, along the stack that the thread had last time.
//!
//! Most of a stack is as it was. So the walk first finds the frame of the last stack that still runs, by its address,
//! and from there on compares in place; only what differs is looked at again. Equal means the same code object at the
//! same position in every frame out to the last one, or out to a frame that carries our mark ([`Mark`]): that one has not
//! returned since, so whoever waits for it stands where it stood.

use heapray_cpython::layouts::{Frames, RuntimeLayout, Slots};
use heapray_wire::ring::cells::CutReason;

use crate::stack::array::Array;
use crate::stack::mark::Mark;
use crate::stack::peek::{Peek, is_plausible};
use crate::stack::threads::{Level, STALE, Thread};

/// Most frames of a stack that are recorded.
pub(crate) const DEPTH_MAX: usize = 1024;

/// How many frames are tried to meet the last stack, and how deep in it each is looked for.
const MEETING: usize = 8;

/// Where a frame has its fields.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FrameShape {
    previous: u64,
    code: u64,
    code_mask: u64,
    instruction: u64,
    instruction_mask: u64,
    mark: Mark,
}

impl FrameShape {
    /// The shape that a row of the table says.
    pub(crate) fn of(layout: &RuntimeLayout) -> FrameShape {
        FrameShape {
            previous: layout.frame_previous.into(),
            code: layout.frame_code.into(),
            code_mask: match layout.slots {
                Slots::Plain => !0,
                // Objects lie at multiples of 16; the bits below are a reference's.
                Slots::Tagged => !7,
            },
            instruction: layout.frame_instruction.into(),
            instruction_mask: match layout.frames {
                // `f_lasti` is an int; the line that a trace function set follows.
                Frames::Objects => 0xffff_ffff,
                Frames::Structs => !0,
            },
            mark: Mark::of(layout),
        }
    }

    #[inline(always)]
    fn code(&self, peek: Peek, frame: u64) -> u64 {
        peek.word(frame + self.code) & self.code_mask
    }

    #[inline(always)]
    fn instruction(&self, peek: Peek, frame: u64) -> u64 {
        peek.word(frame + self.instruction) & self.instruction_mask
    }

    /// The frame that `frame` returns to, 0 where there is none.
    #[inline(always)]
    pub(crate) fn previous(&self, peek: Peek, frame: u64) -> u64 {
        peek.word(frame + self.previous)
    }

    #[inline(always)]
    fn level(&self, peek: Peek, frame: u64) -> Level {
        let (code, instruction) = (self.code(peek, frame), self.instruction(peek, frame));
        Level { frame, code, instruction, node: STALE, recursion: 0 }
    }
}

/// What a walk found out: levels from here on (outermost first) are not what they were. At most the number of levels.
pub(crate) type ChangedFrom = usize;

/// Brings `thread.levels` to the stack whose innermost frame is `innermost`, 0 where none runs. `fresh` is room for new
/// frames.
#[inline]
pub(crate) fn walk(
    peek: Peek,
    shape: &FrameShape,
    innermost: u64,
    (thread, fresh): (&mut Thread, &mut Array<Level>),
) -> ChangedFrom {
    // The frame that ran last time runs still: the usual case, and the quick one.
    if thread.levels.as_slice().last().is_some_and(|level| level.frame == innermost) {
        let compared = compare(peek, shape, innermost, thread);
        return compared.unwrap_or_else(|| replace(peek, shape, innermost, (thread, fresh)));
    }
    let met = meet(peek, shape, innermost, (thread, fresh));
    let compared = met.and_then(|frame| compare(peek, shape, frame, thread));
    let n_levels = thread.levels.len() + fresh.len();
    let is_whole = thread.cut.is_none() && n_levels <= DEPTH_MAX;
    match compared {
        Some(changed) if (is_whole || n_levels == DEPTH_MAX) && thread.levels.reserve(n_levels) => {
            for level in fresh.as_slice().iter().rev() {
                thread.levels.push(*level);
            }
            changed
        }
        _ => replace(peek, shape, innermost, (thread, fresh)),
    }
}

/// Compares the levels, from the innermost outwards, with the frames from `innermost` on to one that is marked, marks them, and
/// writes down what differs; `None` where the frames are others.
///
/// A frame that is marked and stands in the levels is right there with all that is further out: levels are only ever
/// replaced as a whole, or from some frame inwards.
#[inline]
fn compare(peek: Peek, shape: &FrameShape, innermost: u64, thread: &mut Thread) -> Option<ChangedFrom> {
    let is_cut = thread.cut == Some(CutReason::TooDeep);
    let levels = thread.levels.as_mut_slice();
    let mut changed = levels.len();
    let mut frame = innermost;
    for (idx, level) in levels.iter_mut().enumerate().rev() {
        if level.frame != frame {
            return None;
        }
        let (code, instruction) = (shape.code(peek, frame), shape.instruction(peek, frame));
        if level.code != code || level.instruction != instruction {
            *level = Level { frame, code, instruction, node: STALE, recursion: 0 };
            changed = idx;
        }
        if shape.mark.leave(peek, frame) {
            return Some(changed);
        }
        frame = shape.previous(peek, frame);
    }
    ((frame != 0) == is_cut).then_some(changed)
}

/// Looks for a frame of the last stack among the first frames from `innermost` outwards; those before it are put into
/// `fresh`, and levels further in than it are taken off.
fn meet(
    peek: Peek,
    shape: &FrameShape,
    innermost: u64,
    (thread, fresh): (&mut Thread, &mut Array<Level>),
) -> Option<u64> {
    fresh.truncate(0);
    let mut frame = innermost;
    for _ in 0..MEETING {
        if !is_plausible(frame) {
            return None;
        }
        let levels = thread.levels.as_slice();
        if let Some(n_off) = levels.iter().rev().take(MEETING).position(|level| level.frame == frame) {
            thread.levels.truncate(levels.len() - n_off);
            return Some(frame);
        }
        if !fresh.push(shape.level(peek, frame)) {
            return None;
        }
        frame = shape.previous(peek, frame);
    }
    None
}

/// Walks the whole stack anew. What is the same from the outermost frame on keeps its nodes.
#[cold]
fn replace(
    peek: Peek,
    shape: &FrameShape,
    innermost: u64,
    (thread, fresh): (&mut Thread, &mut Array<Level>),
) -> ChangedFrom {
    let cut = collect(peek, shape, innermost, fresh);
    settle(thread, fresh.as_slice(), cut)
}

/// Puts the frames from `innermost` outwards into `fresh`; why it ends where it does not end by itself.
pub(crate) fn collect(
    peek: Peek,
    shape: &FrameShape,
    innermost: u64,
    fresh: &mut Array<Level>,
) -> Option<CutReason> {
    fresh.truncate(0);
    let mut frame = innermost;
    while frame != 0 {
        match (is_plausible(frame), fresh.len() < DEPTH_MAX) {
            (false, _) => return Some(CutReason::Torn),
            (true, true) if fresh.push(shape.level(peek, frame)) => {}
            _ => return Some(CutReason::TooDeep),
        }
        frame = shape.previous(peek, frame);
    }
    None
}

/// Puts the frames from `innermost` outwards into `fresh` and marks them, out to one that was marked and stands in `levels`: all
/// that is further out is as it was, C frames between Python frames too. Answers which level that is; `None` where there is none.
pub(crate) fn collect_new(
    peek: Peek,
    shape: &FrameShape,
    innermost: u64,
    (levels, fresh): (&[Level], &mut Array<Level>),
) -> Option<usize> {
    fresh.truncate(0);
    let (mut frame, mut levels) = (innermost, levels);
    while is_plausible(frame) && fresh.len() < DEPTH_MAX {
        if shape.mark.leave(peek, frame) {
            // Further out there is nothing to be found where this frame is not there.
            let found = levels.iter().rposition(|level| level.frame == frame && level.is_python());
            if found.is_some() {
                return found;
            }
            levels = &[];
        }
        if !fresh.push(shape.level(peek, frame)) {
            return None;
        }
        frame = shape.previous(peek, frame);
    }
    None
}

/// Makes `fresh` (innermost first) the thread's levels. What is the same from the outermost frame on keeps its nodes.
pub(crate) fn settle(thread: &mut Thread, fresh: &[Level], cut: Option<CutReason>) -> ChangedFrom {
    let is_same_start = thread.cut == cut;
    thread.cut = cut;
    settle_from(thread, 0, (fresh, is_same_start))
}

/// Makes the frame of level `met` and `fresh` (innermost first) the thread's levels from that one on. What is the same from there on
/// keeps its nodes.
pub(crate) fn settle_inside(
    peek: Peek,
    shape: &FrameShape,
    met: usize,
    (thread, fresh): (&mut Thread, &[Level]),
) -> ChangedFrom {
    let Some(old) = thread.levels.as_mut_slice().get_mut(met) else { return met };
    let new = shape.level(peek, old.frame);
    let is_same = is_kept(old, &new);
    if !is_same {
        *old = new;
    }
    let changed = settle_from(thread, met + 1, (fresh, is_same));
    if is_same { changed } else { met }
}

/// Whether a level keeps its node.
#[inline]
fn is_kept(old: &Level, new: &Level) -> bool {
    (old.code, old.instruction) == (new.code, new.instruction) && old.node != STALE
}

/// Makes `fresh` (innermost first) the thread's levels from `first` on; keeps nodes only where `keeps`.
fn settle_from(thread: &mut Thread, first: usize, (fresh, keeps): (&[Level], bool)) -> ChangedFrom {
    let levels = &mut thread.levels;
    if !levels.reserve(first + fresh.len()) {
        levels.truncate(0);
        thread.cut = Some(CutReason::TooDeep);
        return 0;
    }
    let old = levels.as_slice().get(first..).unwrap_or_default();
    let n_kept = match keeps {
        true => old.iter().zip(fresh.iter().rev()).take_while(|(old, new)| is_kept(old, new)).count(),
        false => 0,
    };
    levels.truncate(first + fresh.len());
    for (idx, new) in fresh.iter().rev().enumerate() {
        match levels.as_mut_slice().get_mut(first + idx) {
            Some(old) if idx < n_kept => old.frame = new.frame,
            Some(old) => *old = *new,
            None => _ = levels.push(*new),
        }
    }
    first + n_kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stack::mark::RUNNING;

    /// Frames in our own memory: previous at 8, code at 0, instruction at 16.
    const SHAPE: FrameShape = FrameShape {
        previous: 8,
        code: 0,
        code_mask: !7,
        instruction: 16,
        instruction_mask: !0,
        mark: Mark::Nowhere,
    };

    /// Code, previous frame, instruction.
    struct FrameWords([u64; 3]);

    impl FrameWords {
        fn address(&self) -> u64 {
            self.0.as_ptr() as u64
        }
    }

    /// A stack to play with: the last frame is the innermost.
    struct Stack {
        #[expect(clippy::vec_box, reason = "frames are known by their addresses")]
        frames: Vec<Box<FrameWords>>,
        thread: Thread,
        fresh: Array<Level>,
    }

    impl Stack {
        fn new() -> Stack {
            Stack { frames: Vec::new(), thread: Thread::new(0), fresh: Array::new() }
        }

        fn call(&mut self, code: u64) {
            let previous = self.frames.last().map_or(0, |frame| frame.address());
            self.frames.push(Box::new(FrameWords([code, previous, 1])));
        }

        /// Walks, checks the levels against the frames, gives every level a node, and answers what was found changed.
        fn walk(&mut self) -> usize {
            let innermost = self.frames.last().map_or(0, |frame| frame.address());
            let peek = Peek::of_test();
            let changed = walk(peek, &SHAPE, innermost, (&mut self.thread, &mut self.fresh));
            let levels = self.thread.levels.as_mut_slice();
            assert_eq!(levels.len(), self.frames.len().min(DEPTH_MAX));
            assert_eq!(self.thread.cut.is_some(), self.frames.len() > DEPTH_MAX);
            let shown = &self.frames[self.frames.len() - levels.len()..];
            for (idx, (level, frame)) in levels.iter_mut().zip(shown).enumerate() {
                assert_eq!(level.frame, frame.address());
                assert_eq!([level.code, level.instruction], [frame.0[0] & !7, frame.0[2]]);
                assert!(idx >= changed || level.node == idx as u32, "level {idx} has no node");
                level.node = idx as u32;
            }
            changed
        }
    }

    #[test]
    fn a_stack_as_it_was_is_unchanged() {
        let mut stack = Stack::new();
        assert_eq!(stack.walk(), 0);
        (1..=5).for_each(|code| stack.call(code * 16));
        assert_eq!(stack.walk(), 0);
        assert_eq!(stack.walk(), 5);
        stack.frames[4].0[2] = 9;
        assert_eq!(stack.walk(), 4);
        stack.frames[1].0[2] = 9;
        assert_eq!(stack.walk(), 1);
        // A tag of a reference is no change.
        stack.frames[2].0[0] |= 1;
        assert_eq!(stack.walk(), 5);
    }

    #[test]
    fn calls_and_returns_keep_what_is_further_out() {
        let mut stack = Stack::new();
        (1..=40).for_each(|code| stack.call(code * 16));
        stack.walk();
        for n in 1..=20 {
            stack.frames.truncate(40 - n);
            assert_eq!(stack.walk(), 40 - n);
            (0..n).for_each(|code| stack.call(code as u64 * 32));
            assert_eq!(stack.walk(), 40 - n, "{n} calls");
        }
        stack.frames.clear();
        assert_eq!(stack.walk(), 0);
    }

    #[test]
    fn random_programs_are_followed() {
        let mut stack = Stack::new();
        let mut state = 7_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let n = (state >> 40) as usize % 24;
            match state >> 60 {
                0..4 => (0..n).for_each(|code| stack.call(code as u64 % 3 * 16)),
                4..8 => stack.frames.truncate(stack.frames.len().saturating_sub(n)),
                _ => {
                    let len = stack.frames.len();
                    if let Some(frame) = stack.frames.get_mut(len.saturating_sub(n)) {
                        frame.0[2] = state >> 33;
                    }
                }
            }
            stack.walk();
        }
    }

    /// A program as the interpreter runs it: a frame's place is used again by the next one there, its depth is written by calls
    /// that it makes itself and by returns from them, and only the innermost frame moves on.
    struct Program {
        #[expect(clippy::vec_box, reason = "the objects are known by their addresses")]
        places: Vec<Box<[u64; 4]>>,
        /// Of each frame that runs: whether the interpreter itself, or a C function, called it.
        called_inline: Vec<bool>,
        /// Of each frame that runs: number of the call.
        calls: Vec<u32>,
        n_calls: u32,
        mark: Mark,
        thread: Thread,
        fresh: Array<Level>,
    }

    impl Program {
        fn new(mark: Mark) -> Program {
            let places = (0..200).map(|_| Box::new([0; 4])).collect();
            let (thread, fresh) = (Thread::new(0), Array::new());
            Program { places, called_inline: Vec::new(), calls: Vec::new(), n_calls: 0, mark, thread, fresh }
        }

        fn address(&self, idx: usize) -> u64 {
            self.places[idx].as_ptr() as u64
        }

        fn set_depth(&mut self, idx: usize, depth: u32) {
            if let Mark::Depth(_) = self.mark {
                self.places[idx][3] = depth.into();
            }
        }

        fn call(&mut self, code: u64, is_inline: bool) {
            let idx = self.called_inline.len();
            let previous = idx.checked_sub(1).map_or(0, |outer| self.address(outer));
            if let (Some(outer), true) = (idx.checked_sub(1), is_inline) {
                self.set_depth(outer, 3);
            }
            *self.places[idx] = [code, previous, 1, 0];
            self.set_depth(idx, RUNNING);
            self.called_inline.push(is_inline);
            self.n_calls += 1;
            self.calls.push(self.n_calls);
        }

        fn go_back(&mut self) {
            let is_inline = self.called_inline.pop();
            self.calls.pop();
            if let (Some(outer), Some(true)) = (self.called_inline.len().checked_sub(1), is_inline) {
                self.set_depth(outer, RUNNING);
            }
        }

        fn shape(&self) -> FrameShape {
            FrameShape { mark: self.mark, ..SHAPE }
        }

        fn innermost(&self) -> u64 {
            self.called_inline.len().checked_sub(1).map_or(0, |idx| self.address(idx))
        }

        fn check(&mut self) {
            let (shape, innermost) = (self.shape(), self.innermost());
            walk(Peek::of_test(), &shape, innermost, (&mut self.thread, &mut self.fresh));
            self.check_levels();
        }

        /// Collects what is new, and checks that the rest are the very calls that they were.
        fn check_new(&mut self) {
            let (shape, innermost) = (self.shape(), self.innermost());
            let (peek, room) = (Peek::of_test(), (self.thread.levels.as_slice(), &mut self.fresh));
            match collect_new(peek, &shape, innermost, room) {
                Some(met) => {
                    let kept = self.thread.levels.as_slice()[..=met].iter().map(|level| level.recursion);
                    assert!(kept.eq(self.calls[..=met].iter().copied()));
                    settle_inside(peek, &shape, met, (&mut self.thread, self.fresh.as_slice()));
                }
                None => {
                    collect(peek, &shape, innermost, &mut self.fresh);
                    settle(&mut self.thread, self.fresh.as_slice(), None);
                }
            }
            let levels = self.thread.levels.as_mut_slice().iter_mut();
            levels.zip(&self.calls).for_each(|(level, call)| level.recursion = *call);
            self.check_levels();
        }

        fn check_levels(&self) {
            let n = self.called_inline.len();
            let levels = self.thread.levels.as_slice();
            let found: Vec<_> =
                levels.iter().map(|level| [level.frame, level.code, level.instruction]).collect();
            let truth: Vec<_> =
                (0..n).map(|idx| [self.address(idx), self.places[idx][0], self.places[idx][2]]).collect();
            assert_eq!(found, truth);
        }
    }

    #[test]
    fn marks_never_hide_a_change() {
        // The byte is the top one of the last word, the owner (0) the one below.
        let marks = [Mark::Depth(24), Mark::Visited { byte: 31, owner: 30 }, Mark::Nowhere];
        for (mark, are_new) in marks.into_iter().flat_map(|mark| [(mark, false), (mark, true)]) {
            let mut program = Program::new(mark);
            let mut state = 11_u64;
            for _ in 0..100_000 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let n = program.called_inline.len();
                match state >> 61 {
                    0..2 if n < 200 => program.call((state >> 40) % 2 * 16 + 16, state >> 50 & 1 == 0),
                    2..4 => program.go_back(),
                    4 if n > 0 => program.places[n - 1][2] = (state >> 45) % 3,
                    5 => (0..state >> 40 & 31).for_each(|_| program.go_back()),
                    _ if are_new => program.check_new(),
                    _ => program.check(),
                }
            }
        }
    }

    #[test]
    fn a_mark_ends_the_walk() {
        let mut program = Program::new(Mark::Visited { byte: 31, owner: 30 });
        (0..100).for_each(|_| program.call(16, false));
        program.check();
        program.check();
        // Not even a frame that cannot have moved is looked at again.
        program.places[50][2] = 7;
        let shape = FrameShape { mark: program.mark, ..SHAPE };
        let innermost = program.address(99);
        let room = (&mut program.thread, &mut program.fresh);
        assert_eq!(walk(Peek::of_test(), &shape, innermost, room), 100);
        assert_eq!(program.thread.levels.as_slice()[50].instruction, 1);
    }

    #[test]
    fn a_deep_stack_is_cut_at_its_outer_end() {
        let mut stack = Stack::new();
        (0..DEPTH_MAX as u64 + 3).for_each(|code| stack.call(code * 16));
        assert_eq!(stack.walk(), 0);
        assert_eq!(stack.thread.cut, Some(CutReason::TooDeep));
        assert_eq!(stack.walk(), DEPTH_MAX);
        stack.frames.truncate(DEPTH_MAX + 1);
        stack.walk();
        stack.frames.truncate(DEPTH_MAX);
        assert_eq!(stack.walk(), 0);
        stack.call(16);
        stack.walk();
    }

    #[test]
    fn a_wild_pointer_is_a_cut() {
        let mut stack = Stack::new();
        (1..=3).for_each(|code| stack.call(code * 16));
        stack.frames[0].0[1] = 0x1234_5677;
        let innermost = stack.frames[2].address();
        let peek = Peek::of_test();
        walk(peek, &SHAPE, innermost, (&mut stack.thread, &mut stack.fresh));
        assert_eq!((stack.thread.cut, stack.thread.levels.len()), (Some(CutReason::Torn), 3));
    }
}
