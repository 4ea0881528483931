//! The Python of the process: its functions and layout, and the calling thread's state and innermost frame.
//!
//! Only two functions of the interpreter are called. Both answer an address and do nothing else, at any moment, whoever
//! holds the interpreter.
//!
//! Unsafe: calls functions by their addresses.
#![allow(unsafe_code)]

use heapray_cpython::layouts::{self, CurrentThread, RuntimeLayout};
use heapray_wire::ring::PythonSymbols;
use heapray_wire::ring::cells::CutReason;

use crate::stack::codes;
use crate::stack::peek::{Peek, is_plausible, is_readable};
use crate::stack::threads::Thread;
use crate::stack::walk::FrameShape;

/// Whether the calling thread holds the interpreter's lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    /// It does: it allocates an object.
    Interpreter,
    /// Not known: it calls the system's allocator.
    Unknown,
}

type Answer = unsafe extern "C" fn() -> u64;

/// See the module.
pub(crate) struct Python {
    /// How its code objects are read.
    pub(crate) codes: codes::Shape,
    /// How its frames are read.
    pub(crate) frames: FrameShape,
    /// `sys.hexversion`, as far as it says which layout.
    pub(crate) version_hex: u32,
    current: Answer,
    own: Answer,
    /// Address of the runtime's newest interpreter, which the main one's follows; 0 unknown.
    interpreters: u64,
    /// Address of the word in which the runtime notes the thread that ends it; 0 unknown.
    pub(crate) finalizing: u64,
}

impl Python {
    /// The Python whose symbols these are; `None` where it is none that can be read (another version, free-threaded) or a
    /// symbol is missing.
    ///
    /// # Safety
    ///
    /// Each address is 0 or that of the function or datum of its name in this process.
    pub(crate) unsafe fn find(symbols: &PythonSymbols) -> Option<Python> {
        if symbols.current_tstate == 0 || symbols.own_tstate == 0 {
            return None;
        }
        // SAFETY: data of a loaded library.
        let peek = unsafe { Peek::new() };
        let version_hex = match symbols.version {
            // SAFETY: the caller's word for the address.
            0 => unsafe { said_version(peek, symbols.get_version) }?,
            version => peek.int(version),
        };
        if is_free_threaded(peek, symbols.runtime) {
            return None;
        }
        let layout = &layouts::for_version(version_hex).next()?.runtime;
        // SAFETY: both functions take nothing and answer a pointer, in every version: Include/cpython/pystate.h.
        let current = unsafe { core::mem::transmute::<usize, Answer>(symbols.current_tstate as usize) };
        // SAFETY: as above.
        let own = unsafe { core::mem::transmute::<usize, Answer>(symbols.own_tstate as usize) };
        let of_runtime = |offset: u32| match symbols.runtime {
            0 => 0,
            runtime => runtime + u64::from(offset),
        };
        Some(Python {
            codes: codes::Shape { layout, code_type: symbols.code_type },
            frames: FrameShape::of(layout),
            version_hex,
            current,
            own,
            interpreters: of_runtime(layout.runtime_interpreters_head),
            finalizing: of_runtime(layout.runtime_finalizing),
        })
    }

    fn layout(&self) -> &'static RuntimeLayout {
        self.codes.layout
    }

    /// The calling thread's state.
    ///
    /// Errors: why it is not known.
    #[inline]
    pub(crate) fn state(&self, peek: Peek, holds: Holds, thread: &mut Thread) -> Result<u64, CutReason> {
        // SAFETY: as `find` was promised; it reads one word.
        let current = unsafe { (self.current)() };
        let state = match (holds, self.layout().current_thread) {
            (Holds::Interpreter, _) => {
                thread.state = current;
                current
            }
            (Holds::Unknown, CurrentThread::ThreadLocal) if current != 0 => current,
            // Detached: the state that this thread was attached to last.
            // SAFETY: as above; it reads a variable of the thread.
            (Holds::Unknown, CurrentThread::ThreadLocal) => unsafe { (self.own)() },
            (Holds::Unknown, CurrentThread::Runtime) => self.one_of_runtime(peek, current, thread)?,
        };
        match is_plausible(state) {
            true => Ok(state),
            false => Err(CutReason::NoPythonState),
        }
    }

    /// The innermost frame of the calling thread, whose state this is; 0 where it runs none.
    #[inline]
    pub(crate) fn innermost(&self, peek: Peek, state: u64) -> u64 {
        let layout = self.layout();
        let frame = peek.word(state + u64::from(layout.thread_frame));
        match layout.cframe_frame {
            Some(_) if frame == 0 => 0,
            Some(offset) => peek.word(frame + u64::from(offset)),
            None => frame,
        }
    }

    /// The calling thread's state where `current` may be another thread's.
    fn one_of_runtime(&self, peek: Peek, current: u64, thread: &Thread) -> Result<u64, CutReason> {
        // SAFETY: as `find` was promised; it reads a variable of the thread.
        let own = unsafe { (self.own)() };
        let is_alone =
            self.interpreters == 0 || peek.word(self.interpreters) == peek.word(self.interpreters + 8);
        if is_alone || current == own || own == 0 {
            return Ok(own);
        }
        // `own` is the main interpreter's. In another one the thread has a state that only the holder's word names,
        // and that may be gone at any moment if it is another thread's.
        let id_of = u64::from(self.layout().thread_python_id);
        if current != 0
            && is_readable(current + id_of, 8)
            && peek.word(current + id_of) == peek.word(own + id_of)
        {
            return Ok(current);
        }
        match thread.state {
            0 => Ok(own),
            state if state == own => Ok(own),
            _ => Err(CutReason::Torn),
        }
    }
}

/// The version that `Py_GetVersion()` begins with: `3.10.13 (main, …`.
///
/// # Safety
///
/// `function` is 0 or that function's address.
unsafe fn said_version(peek: Peek, function: u64) -> Option<u32> {
    if function == 0 {
        return None;
    }
    // SAFETY: the caller's word; the function takes nothing and answers a text that it keeps.
    let function = unsafe { core::mem::transmute::<usize, Answer>(function as usize) };
    // SAFETY: as above.
    let text = unsafe { function() };
    let mut text = (text..).map(|at| peek.byte(at)).take_while(|byte| *byte != 0).take(64);
    version_of(&mut text)
}

fn version_of(text: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let mut numbers = [0_u32; 3];
    let mut idx = 0;
    for byte in text {
        match byte {
            b'0'..=b'9' => numbers[idx] = (numbers[idx] * 10 + u32::from(byte - b'0')) & 0xff,
            b'.' if idx < 2 => idx += 1,
            // Releases only: what follows a pre-release's number is a letter.
            b' ' | b'+' if idx == 2 => {
                return Some(numbers[0] << 24 | numbers[1] << 16 | numbers[2] << 8 | 0xf0);
            }
            _ => return None,
        }
    }
    None
}

/// `_Py_DebugOffsets` (since 3.13): cookie, version, free_threaded; `Include/internal/pycore_runtime.h`.
fn is_free_threaded(peek: Peek, runtime: u64) -> bool {
    runtime != 0 && peek.matches(runtime, b"xdebugpy") && peek.word(runtime + 16) == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_text() {
        let of = |text: &str| version_of(&mut text.bytes());
        assert_eq!(of("3.10.13 (main, Aug 25 2023) [GCC]"), Some(0x030a_0df0));
        assert_eq!(of("3.10.0+ (heads)"), Some(0x030a_00f0));
        assert_eq!(of("3.10.0rc1 (x)"), None);
        assert_eq!(of("3.10"), None);
        assert_eq!(of(""), None);
    }
}
