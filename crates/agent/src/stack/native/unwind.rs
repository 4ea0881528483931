//! Unwinding: from a frame of this thread's C stack to its caller's.
//!
//! Rules are kept by instruction, so that the tables are read once for each. Memory is read inside the thread's stack only,
//! and every step leads further out, so that a damaged stack or a wrong rule ends the walk and nothing else.
//!
//! Unsafe: tests ask the C library for the same frames.

use crate::arch::SIGNAL_CONTEXT;
use crate::stack::array::Array;
use crate::stack::native::cfi::{self, Cfa, Place, Rule};
use crate::stack::native::modules::{Module, Modules};
use crate::stack::peek::Peek;

const RULES_BITS: u32 = 12;

/// Rules kept: 160 KiB.
const RULES: usize = 1 << RULES_BITS;

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// Instruction pointer: where the frame goes on.
    pub(crate) pc: u64,
    /// Stack pointer.
    pub(crate) sp: u64,
    /// Frame pointer.
    pub(crate) fp: u64,
}

impl From<[u64; 3]> for Registers {
    fn from([pc, sp, fp]: [u64; 3]) -> Registers {
        Registers { pc, sp, fp }
    }
}

/// A frame of the C stack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NativeFrame {
    /// Address of an instruction in it: of the call that it waits for, or the one where it was interrupted.
    pub(crate) ip: u64,
    /// Its part of the stack: first address and one past the last.
    pub(crate) extent: (u64, u64),
}

/// A rule with the instruction that it is for.
#[derive(Clone, Copy)]
struct Kept {
    ip: u64,
    rule: Option<Rule>,
}

/// Rules by instruction, for all threads.
pub(crate) struct Rules {
    kept: Array<Kept>,
}

impl Rules {
    /// None.
    pub(crate) const fn new() -> Rules {
        Rules { kept: Array::new() }
    }

    /// Forgets all, for when objects came or went.
    pub(crate) fn clear(&mut self) {
        self.kept.as_mut_slice().iter_mut().for_each(|kept| kept.ip = 0);
    }

    #[inline]
    fn get(&mut self, peek: Peek, objects: &Objects, ip: u64) -> Option<Rule> {
        // The upper bits of a product depend on all bits below.
        let idx = (ip.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - RULES_BITS)) as usize;
        match self.kept.as_slice().get(idx) {
            Some(kept) if kept.ip == ip => kept.rule,
            _ => self.look_up(peek, objects, (ip, idx)),
        }
    }

    #[cold]
    fn look_up(&mut self, peek: Peek, objects: &Objects, (ip, idx): (u64, usize)) -> Option<Rule> {
        let rule = objects.find(ip).filter(|module| module.header != 0);
        let rule = rule.and_then(|module| cfi::rule(peek, (module.header, module.end), ip));
        while self.kept.len() < RULES && self.kept.push(Kept { ip: 0, rule: None }) {}
        if let Some(kept) = self.kept.as_mut_slice().get_mut(idx) {
            *kept = Kept { ip, rule };
        }
        rule
    }
}

/// The objects of the process, and the agent's own image.
pub(crate) struct Objects {
    /// All that the loader knows.
    pub(crate) modules: Modules,
    /// Where the agent lies.
    pub(crate) own: Module,
}

impl Objects {
    fn find(&self, ip: u64) -> Option<Module> {
        match (self.own.start..self.own.end).contains(&ip) {
            true => Some(self.own),
            false => self.modules.find(ip),
        }
    }

    /// Whether `ip` is in the agent itself.
    pub(crate) fn is_own(&self, ip: u64) -> bool {
        (self.own.start..self.own.end).contains(&ip)
    }
}

/// A walk along a thread's C stack.
pub(crate) struct Walk {
    registers: Registers,
    /// Whether `pc` is where the frame goes on after a call, not where it was interrupted.
    is_after_call: bool,
    /// One past the last address of the stack.
    stack_end: u64,
    /// Whether the outermost frame has been met.
    pub(crate) is_complete: bool,
}

impl Walk {
    /// Begins at `registers`, which are those of a running function of ours.
    pub(crate) fn new(registers: Registers, stack_end: u64) -> Walk {
        Walk { registers, is_after_call: false, stack_end, is_complete: false }
    }

    /// The next frame outwards; `None` at the end, or where the way is lost.
    #[inline]
    pub(crate) fn next(&mut self, peek: Peek, rules: &mut Rules, objects: &Objects) -> Option<NativeFrame> {
        let Registers { pc, sp, .. } = self.registers;
        if pc == 0 {
            self.is_complete = true;
            return None;
        }
        let ip = pc - u64::from(self.is_after_call);
        let rule = rules.get(peek, objects, ip)?;
        if rule.return_address == Place::Undefined {
            self.is_complete = true;
            self.registers.pc = 0;
            return Some(NativeFrame { ip, extent: (sp, self.stack_end) });
        }
        let next = match rule.cfa {
            Cfa::Signal => self.interrupted(peek)?,
            _ => self.caller(peek, &rule)?,
        };
        if next.sp <= sp || next.sp > self.stack_end {
            return None;
        }
        self.is_after_call = rule.cfa != Cfa::Signal;
        self.registers = next;
        Some(NativeFrame { ip, extent: (sp, next.sp) })
    }

    #[inline]
    fn caller(&self, peek: Peek, rule: &Rule) -> Option<Registers> {
        let Registers { pc, sp, fp } = self.registers;
        let cfa = match rule.cfa {
            Cfa::Stack(offset) => behind(sp, offset),
            Cfa::Frame(offset) => behind(fp, offset),
            Cfa::InFrame(offset) => self.word(peek, behind(fp, offset))?,
            Cfa::Linkage(from) => sp + if pc & 15 >= u64::from(from) { 16 } else { 8 },
            Cfa::Signal => return None,
        };
        let value = |place: Place| match place {
            Place::Same => Some(fp),
            Place::Saved(offset) => self.word(peek, behind(cfa, offset)),
            Place::InFrame(offset) => self.word(peek, behind(fp, offset)),
            Place::Undefined => Some(0),
        };
        // A return address that is in a register belongs to a function that calls nothing.
        if rule.return_address == Place::Same {
            return None;
        }
        Some(Registers { pc: value(rule.return_address)?, sp: cfa, fp: value(rule.frame_pointer)? })
    }

    /// What a signal interrupted, by the kernel's record of it.
    fn interrupted(&self, peek: Peek) -> Option<Registers> {
        let [fp, sp, pc] = SIGNAL_CONTEXT?.map(|offset| self.word(peek, self.registers.sp + offset));
        Some(Registers { pc: pc?, sp: sp?, fp: fp? })
    }

    /// The word at `at`, where that is in the part of the stack that is in use.
    #[inline]
    fn word(&self, peek: Peek, at: u64) -> Option<u64> {
        let is_inside = at >= self.registers.sp && at <= self.stack_end.saturating_sub(8) && at & 7 == 0;
        is_inside.then(|| peek.word(at))
    }
}

#[inline]
fn behind(base: u64, offset: i32) -> u64 {
    base.wrapping_add(i64::from(offset).cast_unsigned())
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::arch;
    use crate::stack::native::bounds;

    extern "C" fn add(info: *mut libc::dl_phdr_info, _: usize, modules: *mut libc::c_void) -> libc::c_int {
        // SAFETY: the loader's record, for the time of the call.
        let info = unsafe { &*info };
        // SAFETY: what `here` passed.
        let modules = unsafe { &mut *modules.cast::<Modules>() };
        let peek = Peek::of_test();
        modules.see(Module::read(peek, info.dlpi_addr, info.dlpi_phdr as u64, info.dlpi_phnum.into()));
        0
    }

    /// Our instructions and those that the C library's unwinder finds, from here outwards.
    #[inline(never)]
    fn here() -> [Vec<u64>; 2] {
        let registers: Registers = arch::registers().into();
        let mut modules = Modules::new();
        // SAFETY: the callback gets what it expects.
        unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut modules).cast()) };
        let objects = Objects { modules, own: Module::default() };
        let (mut rules, mut walk) = (Rules::new(), Walk::new(registers, bounds::stack_of(registers.sp).1));
        let peek = Peek::of_test();
        let frames = core::iter::from_fn(|| walk.next(peek, &mut rules, &objects).map(|frame| frame.ip));
        let ours: Vec<u64> = frames.collect();
        assert!(walk.is_complete, "lost after {} frames", ours.len());
        let mut theirs = [core::ptr::null_mut(); 512];
        // SAFETY: as many places as are said.
        let n = unsafe { libc::backtrace(theirs.as_mut_ptr(), theirs.len() as libc::c_int) };
        [ours, theirs[..n as usize].iter().map(|ip| *ip as u64).collect()]
    }

    fn check([ours, theirs]: [Vec<u64>; 2]) {
        assert!(ours.len() > 3);
        // The C library says where a frame goes on, we say what it called; it leaves the very first frame out at times.
        for (idx, (our, their)) in ours.iter().zip(&theirs).enumerate().skip(1) {
            assert!(their - our <= 1, "frame {idx}: {our:#x} is not {their:#x}");
        }
        assert!(ours.len().abs_diff(theirs.len()) <= 1, "{} and {} frames", ours.len(), theirs.len());
    }

    #[inline(never)]
    fn deeper(n: u32, at: &dyn Fn() -> [Vec<u64>; 2]) -> [Vec<u64>; 2] {
        match n {
            0 => at(),
            _ => core::hint::black_box(deeper(n - 1, at)),
        }
    }

    #[test]
    fn frames_are_those_of_the_c_librarys_unwinder() {
        check(here());
        check(deeper(100, &here));
        let thread = std::thread::spawn(|| check(deeper(7, &here)));
        thread.join().expect("the same on another thread");
    }

    static CAUGHT: Mutex<Vec<[Vec<u64>; 2]>> = Mutex::new(Vec::new());

    extern "C" fn caught(_: libc::c_int) {
        CAUGHT.lock().expect("nobody else").push(here());
    }

    #[test]
    fn a_signal_handlers_frames_lead_to_what_it_interrupted() {
        // SAFETY: a handler of the right type; what it does is safe where a signal is raised by hand.
        unsafe { libc::signal(libc::SIGURG, caught as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        // SAFETY: raises a signal that is caught.
        unsafe { libc::raise(libc::SIGURG) };
        CAUGHT.lock().expect("nobody else").drain(..).for_each(check);
    }

    #[test]
    fn a_damaged_stack_ends_the_walk() {
        let stack: Vec<u64> = (1..=64).map(|word| word * 0x0101_0101_0101_0101).collect();
        let start = stack.as_ptr() as u64;
        let registers = Registers { pc: check as fn(_) as usize as u64, sp: start, fp: start + 8 };
        let mut modules = Modules::new();
        // SAFETY: as in `here`.
        unsafe { libc::dl_iterate_phdr(Some(add), (&raw mut modules).cast()) };
        let objects = Objects { modules, own: Module::default() };
        let (mut rules, mut walk) = (Rules::new(), Walk::new(registers, start + 512));
        let peek = Peek::of_test();
        let n = core::iter::from_fn(|| walk.next(peek, &mut rules, &objects)).count();
        assert!(n <= 1 && !walk.is_complete);
    }
}
