//! Puts hooks into the address tables (GOT) of loaded objects, and takes them out.
//!
//! A slot is changed only where it holds the very function that the hook passes on to, or waits for lazy binding: an
//! object that was bound to another allocator keeps it. Every object is patched once; a table by load address remembers
//! which, and one changed slot of each, so that an object that was unloaded and loaded again is seen to be new. The object that
//! serves `malloc` (a preloaded jemalloc) maps for itself: its blocks are seen.
//!
//! Unsafe: writes into address tables, changes their pages' protection.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};

use heapray_wire::ring::cells::TAG_OBJECT;
use heapray_wire::ring::{FLAG_FOLLOW_EXEC, FLAG_NATIVE, MODE_EXACT};

use crate::arch::{R_ABSOLUTE, R_GLOB_DAT, R_JUMP_SLOT};
use crate::elf::{Object, Relocation, Tables, is_text};
use crate::emit::Emit;
use crate::hooks::{HOOKS, Hook};
use crate::mem::{call2, load, store};
use crate::objects::List;
use crate::pages::map;
use crate::real::{DL_ITERATE_PHDR, MALLOC};
use crate::ring::{control, header};
use crate::stack::Stacks;
use crate::{kernel, lock};

const PROT_READ: usize = 1;
const PROT_READ_WRITE: usize = 3;
/// Objects that are remembered.
const MAX_OBJECTS: usize = 4096;

/// Set when objects may have come or gone since the last [`refresh`]. The entries in `arch` set it.
pub(crate) static IS_STALE: AtomicU32 = AtomicU32::new(0);
static IS_REFRESHING: AtomicBool = AtomicBool::new(false);

/// What is remembered of an object.
#[derive(Clone, Copy)]
#[repr(C)]
struct Patched {
    base: usize,
    /// A slot that was changed, 0 none.
    slot: usize,
    /// What it was changed to; without a slot, how many objects had gone when it was seen.
    value: usize,
}

/// How many objects had gone at the last look.
static N_GONE: AtomicUsize = AtomicUsize::new(0);

static TABLE: AtomicUsize = AtomicUsize::new(0);
static LOADER_BASE: AtomicUsize = AtomicUsize::new(0);

/// What [`patch`] did.
#[derive(Default)]
struct Done {
    n_slots: u32,
    slot: usize,
    value: usize,
}

/// Patches every object of the list. The caller is the only thread that runs.
pub(crate) fn patch_all(list: List) {
    LOADER_BASE.store(list.loader_base, Relaxed);
    if TABLE.load(Relaxed) == 0 {
        TABLE.store(map(MAX_OBJECTS * size_of::<Patched>()).map_or(0, |start| start as usize), Relaxed);
    }
    objects_of_stacks(Stacks::begin_objects);
    list.iter().for_each(|object| see(&object));
}

/// Takes every hook out of every object of the list. The caller is the only thread that runs.
pub(crate) fn unpatch_all(list: List) {
    for object in list.iter().filter(|object| object.base != list.loader_base) {
        let Some(tables) = object.tables() else { continue };
        let mut pages = Pages::new(&tables);
        for relocation in tables.relocations() {
            let Some(hook) = hook_of(&relocation) else { continue };
            // SAFETY: a slot that the loader has written.
            let value = unsafe { load::<usize>(relocation.slot) };
            if hook.is_ours(value) {
                pages.write(relocation.slot, hook.real.addr());
            }
        }
    }
}

/// Patches what was loaded since the last time. In an ordinary thread, outside the agent's lock.
pub(crate) extern "C" fn refresh() {
    if !lock::is_armed() || IS_REFRESHING.swap(true, Acquire) {
        return;
    }
    IS_STALE.store(0, Relaxed);
    if DL_ITERATE_PHDR.addr() != 0 {
        objects_of_stacks(Stacks::begin_objects);
        // SAFETY: dl_iterate_phdr(3); the callback has its signature.
        unsafe { call2(DL_ITERATE_PHDR.addr(), see_info as *const () as usize, 0) };
        objects_of_stacks(Stacks::end_objects);
    }
    IS_REFRESHING.store(false, Release);
}

/// `struct dl_phdr_info` of <link.h>, as far as it is used.
#[derive(Clone, Copy)]
#[repr(C)]
struct PhdrInfo {
    base: usize,
    name: usize,
    phdr: usize,
    n_phdr: u16,
    n_added: usize,
    n_gone: usize,
}

extern "C" fn see_info(info: usize, _n_bytes: usize, _data: usize) -> usize {
    // SAFETY: the loader passes a valid struct.
    let info = unsafe { load::<PhdrInfo>(info) };
    N_GONE.store(info.n_gone, Relaxed);
    see(&Object { base: info.base, phdr: info.phdr, n_phdr: info.n_phdr.into(), name: info.name });
    0
}

/// Patches an object that is not known yet.
fn see(object: &Object) {
    objects_of_stacks(|stacks| stacks.see_object(object.base, object.phdr, object.n_phdr));
    let entry = entry_of(object.base);
    if object.base == LOADER_BASE.load(Relaxed) || entry.is_some_and(|entry| is_known(entry, object.base)) {
        return;
    }
    let Some(tables) = object.tables() else { return };
    let done = patch(&tables);
    if let Some(entry) = entry {
        let value = if done.slot == 0 { N_GONE.load(Relaxed) } else { done.value };
        let patched = Patched { base: object.base + 1, slot: done.slot, value };
        // SAFETY: an entry of our table; one thread refreshes at a time.
        unsafe { store(entry, patched) };
    }
    header().n_objects.fetch_add(1, Relaxed);
    header().n_patched.fetch_add(done.n_slots, Relaxed);
    if control().flags.load(Relaxed) & FLAG_NATIVE != 0 {
        tell(object, &tables);
    }
}

/// Where the object at `base` is remembered, or would be. Bases are stored plus one, because 0 is a base.
fn entry_of(base: usize) -> Option<usize> {
    let table = TABLE.load(Relaxed);
    let hash = ((base >> 12) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 52;
    (0..MAX_OBJECTS).filter(|_| table != 0).find_map(|step| {
        let entry = table + (hash as usize + step) % MAX_OBJECTS * size_of::<Patched>();
        // SAFETY: inside our table.
        let found = unsafe { load::<Patched>(entry) };
        (found.base == 0 || found.base == base + 1).then_some(entry)
    })
}

fn is_known(entry: usize, base: usize) -> bool {
    // SAFETY: an entry of our table.
    let known = unsafe { load::<Patched>(entry) };
    if known.base != base + 1 {
        return false;
    }
    if known.slot == 0 {
        return known.value == N_GONE.load(Relaxed);
    }
    // SAFETY: an object is loaded at this base; its pages around the slot were there when it was first seen. If another
    // object lies here now, the page may be missing.
    kernel::is_mapped(known.slot) && unsafe { load::<usize>(known.slot) } == known.value
}

/// Native frames are unwound by the objects' own tables.
fn objects_of_stacks(take: impl FnOnce(&mut Stacks)) {
    if control().flags.load(Relaxed) & FLAG_NATIVE != 0
        && let Some(mut agent) = lock::enter()
    {
        take(&mut agent.stacks);
    }
}

/// Tells the collector where an object lies.
fn tell(object: &Object, tables: &Tables) {
    if let Some(mut agent) = lock::enter() {
        let (start, end, path) = (tables.code.0 as u64, tables.code.1 as u64, object.path());
        let parts = [&start.to_le_bytes()[..], &end.to_le_bytes(), &(path.len() as u32).to_le_bytes(), path];
        agent.ring.payload(TAG_OBJECT, object.base as u64, &parts);
    }
}

fn hook_of(relocation: &Relocation) -> Option<&'static Hook> {
    if ![R_JUMP_SLOT, R_GLOB_DAT, R_ABSOLUTE].contains(&relocation.kind) {
        return None;
    }
    // SAFETY: a C text has a first byte.
    let first = unsafe { load::<u8>(relocation.name) };
    HOOKS.iter().find(|hook| {
        hook.real.name.first() == Some(&first)
            && hook.real.addr() != 0
            && is_text(relocation.name, hook.real.name)
    })
}

/// Changes the slots of an object.
fn patch(tables: &Tables) -> Done {
    let is_exact = control().mode.load(Relaxed) == MODE_EXACT;
    // An address in data may be copied anywhere, from where it could not be taken out: not in an attached process.
    let stays = control().flags.load(Relaxed) & FLAG_FOLLOW_EXEC != 0;
    let is_python = tables.find(b"_PyRuntime").is_some();
    let gives_blocks = !is_python && (tables.range.0..tables.range.1).contains(&MALLOC.addr());
    let mut done = Done::default();
    let mut pages = Pages::new(tables);
    for relocation in tables.relocations() {
        let Some(hook) = hook_of(&relocation) else { continue };
        if relocation.kind == R_ABSOLUTE && !stays || gives_blocks && hook.maps() {
            continue;
        }
        // SAFETY: a slot that the loader has written.
        let value = unsafe { load::<usize>(relocation.slot) };
        let waits = relocation.kind == R_JUMP_SLOT
            && relocation.is_undefined
            && (tables.range.0..tables.range.1).contains(&value);
        let is_real = value == hook.real.addr() && relocation.addend == 0;
        if !is_real && !waits {
            continue;
        }
        let entry = hook.entry(is_exact, is_python);
        pages.write(relocation.slot, entry);
        done = Done { n_slots: done.n_slots + 1, slot: relocation.slot, value: entry };
    }
    done
}

/// Writes slots; pages that the loader made read-only are opened once, and closed on drop.
struct Pages {
    relro: (usize, usize),
    is_open: bool,
}

impl Pages {
    fn new(tables: &Tables) -> Pages {
        Pages { relro: tables.relro, is_open: false }
    }

    fn protect(&self, protection: usize) -> bool {
        // SAFETY: the loader's read-only pages of one object; readable throughout.
        unsafe { kernel::protect(self.relro.0, self.relro.1 - self.relro.0, protection) }
    }

    fn write(&mut self, slot: usize, value: usize) {
        let is_closed = (self.relro.0..self.relro.1).contains(&slot);
        if is_closed && !self.is_open {
            self.is_open = self.protect(PROT_READ_WRITE);
        }
        if !is_closed || self.is_open {
            // SAFETY: a slot of an address table, writable now; it is a word that is read as a whole.
            unsafe { store(slot, value) };
        }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        if self.is_open {
            self.protect(PROT_READ);
        }
    }
}
