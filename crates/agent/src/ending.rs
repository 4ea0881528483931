//! When the interpreter begins to end. From then on it frees what the program still held, which says nothing of what that keeps.
//!
//! Unsafe: sees a word of the interpreter's.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use crate::mem::shared;

/// Stands in where there is no interpreter.
static NEVER: AtomicUsize = AtomicUsize::new(0);

/// See the module.
pub(crate) struct Ending {
    /// Where the interpreter notes the thread that ends it, 0 while none does.
    thread: &'static AtomicUsize,
    is_told: bool,
}

impl Ending {
    /// That of no interpreter.
    pub(crate) const fn never() -> Ending {
        Ending { thread: &NEVER, is_told: false }
    }

    /// That of the interpreter which notes it at `addr`; 0 where there is none.
    ///
    /// # Safety
    ///
    /// A word stays mapped there, if it is not 0.
    pub(crate) unsafe fn noted_at(addr: u64) -> Ending {
        match addr {
            0 => Ending::never(),
            // SAFETY: the caller's word.
            addr => Ending { thread: unsafe { shared(addr as usize) }, is_told: false },
        }
    }

    /// Whether there is an interpreter.
    pub(crate) fn is_watched(&self) -> bool {
        !core::ptr::eq(self.thread, &raw const NEVER)
    }

    #[inline]
    fn is_now(&self) -> bool {
        self.thread.load(Relaxed) != 0
    }

    /// Whether the interpreter has begun to end, or an ended one was begun anew, and that is not told yet.
    #[inline]
    pub(crate) fn is_news(&self) -> bool {
        self.is_now() != self.is_told
    }

    /// Has `tell` pass it on and answer whether it arrives: else it stays news.
    pub(crate) fn tell(&mut self, tell: impl FnOnce(bool) -> bool) {
        let is_now = self.is_now();
        if tell(is_now) {
            self.is_told = is_now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_until_it_arrives() {
        static THREAD: AtomicUsize = AtomicUsize::new(0);
        // SAFETY: the word above.
        let mut ending = unsafe { Ending::noted_at(&raw const THREAD as u64) };
        assert!(ending.is_watched() && !ending.is_news());
        THREAD.store(7, Relaxed);
        ending.tell(|_| false);
        assert!(ending.is_news());
        ending.tell(|is_ending| is_ending);
        assert!(!ending.is_news());
        // An embedding program may begin anew.
        THREAD.store(0, Relaxed);
        assert!(ending.is_news());
        assert!(!Ending::never().is_watched() && !Ending::never().is_news());
    }
}
