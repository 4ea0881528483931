//! The list of loaded objects, as the loader keeps it for debuggers, and symbols in it.
//!
//! Unsafe: follows the loader's list through its pointers.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicUsize;
use core::sync::atomic::Ordering::Relaxed;

use heapray_wire::ring::Start;

use crate::elf::{Object, object_at};
use crate::kernel::read_file;
use crate::mem::load;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const AT_BASE: u64 = 7;
const PT_PHDR: u32 = 6;
/// Objects that are visited at most; a longer list is a circle.
const MAX_OBJECTS: usize = 20_000;

/// Where the list starts, and what is known of the program.
#[derive(Clone, Copy)]
pub(crate) struct List {
    first: usize,
    program: Object,
    /// Where the loader itself lies.
    pub(crate) loader_base: usize,
}

/// What the kernel told the process about itself.
struct Auxiliary {
    phdr: usize,
    n_phdr: usize,
    loader_base: usize,
}

/// What who attaches has told of it.
static PHDR: AtomicUsize = AtomicUsize::new(0);
static N_PHDR: AtomicUsize = AtomicUsize::new(0);
static LOADER_BASE: AtomicUsize = AtomicUsize::new(0);
static R_DEBUG: AtomicUsize = AtomicUsize::new(0);

/// Keeps what is known from outside: a process in another root may have no `/proc` to read it from.
pub(crate) fn learn(start: &Start) {
    PHDR.store(start.program_headers as usize, Relaxed);
    N_PHDR.store(start.n_program_headers as usize, Relaxed);
    LOADER_BASE.store(start.loader_base as usize, Relaxed);
    R_DEBUG.store(start.r_debug as usize, Relaxed);
}

impl Auxiliary {
    fn get() -> Option<Auxiliary> {
        let told = Auxiliary {
            phdr: PHDR.load(Relaxed),
            n_phdr: N_PHDR.load(Relaxed),
            loader_base: LOADER_BASE.load(Relaxed),
        };
        if told.phdr != 0 { Some(told) } else { Auxiliary::read() }
    }

    fn read() -> Option<Auxiliary> {
        let mut buffer = [0; 1024];
        let bytes = read_file(b"/proc/self/auxv\0", &mut buffer);
        let mut found = Auxiliary { phdr: 0, n_phdr: 0, loader_base: 0 };
        for entry in bytes.chunks_exact(16) {
            let word = |at: usize| {
                let bytes = entry.get(at..at + 8).and_then(|bytes| bytes.first_chunk());
                bytes.map_or(0, |bytes| u64::from_le_bytes(*bytes))
            };
            match word(0) {
                AT_PHDR => found.phdr = word(8) as usize,
                AT_PHNUM => found.n_phdr = word(8) as usize,
                AT_BASE => found.loader_base = word(8) as usize,
                _ => (),
            }
        }
        (found.phdr != 0).then_some(found)
    }

    /// The program, whose base follows from where its headers lie and where they say they lie.
    fn program(&self) -> Object {
        let mut base = 0;
        for idx in 0..self.n_phdr {
            let at = self.phdr + idx * 56;
            // SAFETY: the kernel mapped this many program headers.
            let kind = unsafe { load::<u32>(at) };
            // SAFETY: as above.
            let vaddr = unsafe { load::<u64>(at + 16) } as usize;
            if kind == PT_PHDR {
                base = self.phdr.wrapping_sub(vaddr);
            }
        }
        Object { base, phdr: self.phdr, n_phdr: self.n_phdr, name: 0 }
    }
}

/// The list, from the loader's `r_debug`, which the program's headers lead to where nobody told it. `None` in a static
/// program and before the loader has finished.
pub(crate) fn list() -> Option<List> {
    let auxiliary = Auxiliary::get()?;
    let program = auxiliary.program();
    let told = R_DEBUG.load(Relaxed);
    let r_debug = if told == 0 { program.tables()?.r_debug } else { told };
    if r_debug == 0 {
        return None;
    }
    // SAFETY: `struct r_debug` of <link.h>: version, then the list's head.
    let first = unsafe { load::<usize>(r_debug + 8) };
    (first != 0).then_some(List { first, program, loader_base: auxiliary.loader_base })
}

/// `struct link_map` of <link.h>.
#[derive(Clone, Copy)]
#[repr(C)]
struct LinkMap {
    base: usize,
    name: usize,
    dynamic: usize,
    next: usize,
}

impl List {
    /// The objects in the loader's order: the program, then as symbols are searched.
    pub(crate) fn iter(self) -> impl Iterator<Item = Object> {
        let mut next = self.first;
        let mut is_first = true;
        let maps = core::iter::from_fn(move || {
            if next == 0 {
                return None;
            }
            // SAFETY: a link of the loader's list, which nobody changes now (all threads stopped, or one thread only).
            let map = unsafe { load::<LinkMap>(next) };
            next = map.next;
            Some(map)
        });
        maps.take(MAX_OBJECTS).filter_map(move |map| {
            if core::mem::take(&mut is_first) {
                return Some(Object { base: map.base, name: map.name, ..self.program });
            }
            object_at(map.base, map.name)
        })
    }
}

/// Where the first object that defines `name` has it; the loader comes last, since musl's is the C library too.
pub(crate) fn find(list: List, name: &[u8]) -> Option<usize> {
    let mut others = list.iter().filter(|object| object.base != list.loader_base);
    let found = others.find_map(|object| object.tables()?.find(name));
    found.or_else(|| object_at(list.loader_base, 0)?.tables()?.find(name))
}

/// The object that contains `addr`.
pub(crate) fn containing(list: List, addr: usize) -> Option<Object> {
    list.iter()
        .find(|object| object.tables().is_some_and(|tables| (tables.range.0..tables.range.1).contains(&addr)))
}
