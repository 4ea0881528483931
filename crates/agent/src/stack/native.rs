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

use heapray_wire::ring::cells::CutReason;

use crate::stack::array::Array;
use crate::stack::native::modules::{Module, Modules};
use crate::stack::native::unwind::{NativeFrame, Objects, Registers, Rules, Walk};
use crate::stack::peek::Peek;
use crate::stack::python::Python;
use crate::stack::threads::{Level, STALE, Thread};
use crate::stack::walk::DEPTH_MAX;

unsafe extern "C" {
    /// The linker's name for the start of the image that this code is in: its ELF header.
    #[link_name = "__ehdr_start"]
    safe static IMAGE_HEADER: u8;
}

/// `Level::instruction` of a native frame, whose `code` is its instruction pointer.
pub(crate) const NATIVE: u64 = u64::MAX;

/// `Level::instruction` where native frames are missing; `code` is the reason.
pub(crate) const NATIVE_CUT: u64 = u64::MAX - 1;

/// Most native frames that are unwound: some for each Python frame of 3.10.
const NATIVE_MAX: usize = 4096;

/// Python frames of one activation of the interpreter's C function.
#[derive(Clone, Copy)]
struct Activation {
    /// An address in the C frame, 0 where it is not known.
    anchor: u64,
    /// Its Python frames end before this one.
    end: usize,
}

/// What unwinding knows of the process.
pub(crate) struct Native {
    objects: Objects,
    rules: Rules,
    activations: Array<Activation>,
}

impl Native {
    /// Nothing yet.
    pub(crate) const fn new() -> Native {
        let own = Module { start: 0, end: 0, header: 0 };
        let objects = Objects { modules: Modules::new(), own };
        Native { objects, rules: Rules::new(), activations: Array::new() }
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

    /// Puts the frames of the thread into `merged`, innermost first: native ones, and `frames` (innermost first) where they
    /// run. `state` is the thread's Python state, 0 none. Whether frames are missing further out.
    pub(crate) fn merge(
        &mut self,
        peek: Peek,
        (python, state): (Option<&Python>, u64),
        (thread, registers): (&mut Thread, Registers),
        (frames, merged): (&[Level], &mut Array<Level>),
    ) -> bool {
        self.activations.truncate(0);
        if let Some(python) = python.filter(|_| state != 0) {
            activations(peek, python, state, frames, &mut self.activations);
        }
        merged.truncate(0);
        let mut walk = Walk::new(registers, stack_end(thread, registers.sp));
        let mut out = Merged { frames, activations: self.activations.as_slice(), done: 0, merged };
        for _ in 0..NATIVE_MAX {
            let Some(frame) = walk.next(peek, &mut self.rules, &self.objects) else { break };
            if !self.objects.is_own(frame.ip) {
                out.native(&frame);
            }
        }
        if !walk.is_complete {
            out.push(Level {
                frame: 0,
                code: CutReason::Torn as u64,
                instruction: NATIVE_CUT,
                node: STALE,
                recursion: 0,
            });
        }
        while out.python() {}
        merged.len() > DEPTH_MAX
    }
}

/// A stack while it is merged.
struct Merged<'a> {
    frames: &'a [Level],
    activations: &'a [Activation],
    /// Python frames that are in already.
    done: usize,
    merged: &'a mut Array<Level>,
}

impl Merged<'_> {
    fn push(&mut self, level: Level) {
        if self.merged.len() <= DEPTH_MAX {
            self.merged.push(level);
        }
    }

    /// A native frame, or the Python frames that it stands for.
    fn native(&mut self, frame: &NativeFrame) {
        while let Some(next) = self.activations.first().filter(|next| next.anchor != 0) {
            if next.anchor >= frame.extent.1 {
                break;
            }
            let is_it = next.anchor >= frame.extent.0;
            self.python();
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

    /// The Python frames of the next activation; whether there is one.
    fn python(&mut self) -> bool {
        let Some((next, rest)) = self.activations.split_first() else { return false };
        self.activations = rest;
        for level in self.frames.get(self.done..next.end).unwrap_or_default() {
            self.push(*level);
        }
        self.done = next.end;
        true
    }
}

/// Divides `frames` (innermost first) into activations.
fn activations(peek: Peek, python: &Python, state: u64, frames: &[Level], out: &mut Array<Activation>) {
    let layout = python.codes.layout;
    // Until 3.12 the thread leads to a chain of `_PyCFrame`, one for each activation.
    let mut activation = layout.thread_cframe.map_or(0, |offset| peek.word(state + u64::from(offset)));
    for (idx, level) in frames.iter().enumerate() {
        let byte = |offset: u32| peek.byte(level.frame + u64::from(offset));
        let anchor = match (layout.frame_owner, layout.frame_is_entry, layout.cframe_previous) {
            // 3.12 and later: the activation's own frame, which runs no code, is at its outer end.
            (Some(owner), None, _) if byte(owner) >= super::OWNED_BY_INTERPRETER => Some(level.frame),
            (Some(_), None, _) => None,
            // 3.11: the outermost frame of an activation says so.
            (_, Some(is_entry), _) if byte(is_entry) == 0 => None,
            // 3.10: each frame is an activation.
            (.., Some(previous)) if activation != 0 => {
                let anchor = activation;
                activation = peek.word(activation + u64::from(previous));
                Some(anchor)
            }
            _ => Some(0),
        };
        if let Some(anchor) = anchor {
            out.push(Activation { anchor, end: idx + 1 });
        }
    }
    if out.as_slice().last().is_none_or(|last| last.end < frames.len()) {
        out.push(Activation { anchor: 0, end: frames.len() });
    }
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
        let activations: Vec<Activation> =
            activations.iter().map(|(anchor, end)| Activation { anchor: *anchor, end: *end }).collect();
        let mut merged = Array::new();
        let mut out = Merged { frames: &frames, activations: &activations, done: 0, merged: &mut merged };
        for (ip, start, end) in natives {
            out.native(&NativeFrame { ip: *ip, extent: (*start, *end) });
        }
        while out.python() {}
        merged.as_slice().iter().map(|level| (level.instruction == NATIVE, level.code)).collect()
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
