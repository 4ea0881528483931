//! CPython's allocator domains: hooks go in by `PyMem_SetAllocator`, and come out.
//!
//! Every function keeps its context, so the table is good at any moment while its words are written one by one.
//!
//! Unsafe: calls CPython's getters and setters, which copy a struct.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU64, AtomicUsize};

use heapray_wire::ring::{
    LEVEL_OBJECTS, MODE_EXACT, OBJECTS_NONE, OBJECTS_OTHER, OBJECTS_PYMALLOC, PythonSymbols,
};

use crate::arch;
use crate::hooks::exact;
use crate::hooks::python::{self, ARENA, Domain, MEM, OBJECT, RAW, SELF_SERVED_BYTES};
use crate::mem::{call1, call2, load};
use crate::objects;
use crate::ring::{control, header};

/// `PyMemAllocatorDomain`.
const RAW_NUMBER: usize = 0;
const MEM_NUMBER: usize = 1;
const OBJECT_NUMBER: usize = 2;

/// `PyMemAllocatorEx`: context, malloc, calloc, realloc, free.
type Table = [usize; 5];

static GET: AtomicU64 = AtomicU64::new(0);
static SET: AtomicU64 = AtomicU64::new(0);
static GET_ARENA: AtomicU64 = AtomicU64::new(0);
static SET_ARENA: AtomicU64 = AtomicU64::new(0);
/// `Py_IsInitialized` while the interpreter has not chosen its allocators yet, then 0.
static IS_INITIALIZED: AtomicU64 = AtomicU64::new(0);
/// `Py_IsInitialized`.
static INITIALIZED: AtomicU64 = AtomicU64::new(0);
/// What was put into each domain, 0 nothing: the words after the context.
static PUT: [[AtomicUsize; 4]; 3] = [const { [const { AtomicUsize::new(0) }; 4] }; 3];

fn get(domain: usize) -> Table {
    let mut table = [0; 5];
    // SAFETY: PyMem_GetAllocator(domain, &table) copies a struct.
    unsafe { call2(GET.load(Relaxed) as usize, domain, table.as_mut_ptr() as usize) };
    table
}

fn set(domain: usize, table: &Table) {
    // SAFETY: PyMem_SetAllocator(domain, &table) copies a struct.
    unsafe { call2(SET.load(Relaxed) as usize, domain, table.as_ptr() as usize) };
}

fn keep(domain: &Domain, table: &Table) {
    domain.ctx.store(table[0], Relaxed);
    domain.malloc.store(table[1], Relaxed);
    domain.calloc.store(table[2], Relaxed);
    domain.realloc.store(table[3], Relaxed);
    domain.free.store(table[4], Relaxed);
}

/// What a domain had.
fn kept(domain: &Domain) -> Table {
    [&domain.ctx, &domain.malloc, &domain.calloc, &domain.realloc, &domain.free]
        .map(|word| word.load(Relaxed))
}

/// Whether a function that was put into a domain stands in its table.
fn is_ours(number: usize, table: &Table) -> bool {
    let put = PUT[number].each_ref().map(|word| word.load(Relaxed));
    table[1..].iter().zip(put).any(|(word, ours)| *word == ours && ours != 0)
}

/// Nothing of ours is in a domain any more: its owner has set it up anew, and it needs no hook.
fn forget_put(number: usize) {
    PUT[number].iter().for_each(|word| word.store(0, Relaxed));
}

/// Puts `functions` into a domain; a 0 leaves what is there.
fn put(number: usize, domain: &Domain, table: &Table, functions: [usize; 4]) {
    keep(domain, table);
    let mut hooked = *table;
    for (idx, function) in functions.into_iter().enumerate().filter(|(_, function)| *function != 0) {
        hooked[idx + 1] = function;
        PUT[number][idx].store(function, Relaxed);
    }
    set(number, &hooked);
}

/// Hooks what there is of Python, and says in the slot how objects are seen.
pub(crate) fn install(symbols: &PythonSymbols) {
    let objects = if symbols.get_allocator == 0 || symbols.set_allocator == 0 {
        OBJECTS_NONE
    } else {
        GET.store(symbols.get_allocator, Relaxed);
        SET.store(symbols.set_allocator, Relaxed);
        install_arena(symbols);
        INITIALIZED.store(symbols.is_initialized, Relaxed);
        if !is_initialized(symbols.is_initialized) {
            IS_INITIALIZED.store(symbols.is_initialized, Relaxed);
        }
        install_domains()
    };
    header().objects.store(objects, Relaxed);
}

fn is_initialized(function: u64) -> bool {
    // SAFETY: Py_IsInitialized() reads a word.
    function == 0 || unsafe { call1(function as usize, 0) } as u32 != 0
}

/// The interpreter begins anew, and chooses its allocators again.
pub(crate) fn begin_again() {
    let function = INITIALIZED.load(Relaxed);
    if !is_initialized(function) {
        IS_INITIALIZED.store(function, Relaxed);
    }
}

/// Whether the interpreter has chosen its allocators.
pub(crate) fn are_settled() -> bool {
    IS_INITIALIZED.load(Relaxed) == 0
}

/// Until the interpreter is up: where its configuration has set the domains up anew (`PYTHONMALLOC`, development mode), hooks
/// them again. Cheap afterwards.
pub(crate) fn look_again() {
    let function = IS_INITIALIZED.load(Relaxed);
    if function == 0 {
        return;
    }
    if is_initialized(function) {
        IS_INITIALIZED.store(0, Relaxed);
    }
    let object = get(OBJECT_NUMBER);
    let ours: [usize; 4] = core::array::from_fn(|idx| PUT[OBJECT_NUMBER][idx].load(Relaxed));
    let is_ours = |words: &[usize]| words.iter().zip(&ours).any(|(word, ours)| word == ours && *ours != 0);
    let is_wrapped = object[0] != 0
        && [8, 16].into_iter().any(|skip| {
            // SAFETY: a context of CPython's; see `take_out_of_wrapper`.
            is_ours(&unsafe { load::<[usize; 4]>(object[0] + skip) })
        });
    if ours != [0; 4] && !is_ours(&object[1..]) && !is_wrapped {
        header().objects.store(install_domains(), Relaxed);
    }
}

fn install_domains() -> u32 {
    let is_exact = control().mode.load(Relaxed) == MODE_EXACT;
    if is_exact && control().level.load(Relaxed) != LEVEL_OBJECTS {
        return OBJECTS_NONE;
    }
    let (raw, mem, object) = (get(RAW_NUMBER), get(MEM_NUMBER), get(OBJECT_NUMBER));
    let has_raw = is_ours(RAW_NUMBER, &raw);
    let raw = if has_raw { kept(&RAW) } else { raw };
    let is_own = |table: &Table| table[0] == 0 && is_beside(GET.load(Relaxed) as usize, table[1]);
    let is_raw_libc = is_own(&raw);
    let is_pymalloc = is_raw_libc && is_own(&object) && object[1..] == mem[1..] && object[1] != raw[1];
    SELF_SERVED_BYTES.store(if is_pymalloc { 512 } else { 0 }, Relaxed);
    if is_raw_libc && !has_raw {
        put(RAW_NUMBER, &RAW, &raw, if is_exact { EXACT_RAW.addrs() } else { SAMPLED_RAW.addrs() });
    }
    if object[1] == raw[1] {
        // PYTHONMALLOC=malloc: all three are the raw domain's functions, and end in `malloc`.
        forget_put(MEM_NUMBER);
        forget_put(OBJECT_NUMBER);
        return OBJECTS_NONE;
    }
    let (for_mem, for_object) = match (is_exact, is_pymalloc) {
        (true, _) => (&EXACT_MEM, &EXACT_OBJECT),
        (false, true) => (&SAMPLED_MEM, &SAMPLED_OBJECT),
        (false, false) => (&OTHER_MEM, &OTHER_OBJECT),
    };
    put(MEM_NUMBER, &MEM, &mem, for_mem.addrs());
    put(OBJECT_NUMBER, &OBJECT, &object, for_object.addrs());
    if is_pymalloc { OBJECTS_PYMALLOC } else { OBJECTS_OTHER }
}

fn install_arena(symbols: &PythonSymbols) {
    if symbols.get_arena_allocator == 0 || symbols.set_arena_allocator == 0 {
        return;
    }
    GET_ARENA.store(symbols.get_arena_allocator, Relaxed);
    SET_ARENA.store(symbols.set_arena_allocator, Relaxed);
    let table = get_arena();
    for (kept, word) in ARENA.iter().zip(table) {
        kept.store(word, Relaxed);
    }
    set_arena(&[table[0], python::arena_alloc as *const () as usize, table[2]]);
}

fn get_arena() -> [usize; 3] {
    let mut table = [0; 3];
    // SAFETY: PyObject_GetArenaAllocator(&table) copies a struct.
    unsafe { call1(GET_ARENA.load(Relaxed) as usize, table.as_mut_ptr() as usize) };
    table
}

fn set_arena(table: &[usize; 3]) {
    // SAFETY: PyObject_SetArenaAllocator(&table) copies a struct.
    unsafe { call1(SET_ARENA.load(Relaxed) as usize, table.as_ptr() as usize) };
}

/// Whether two addresses of code lie in the same object.
fn is_beside(one: usize, other: usize) -> bool {
    objects::list()
        .and_then(|list| objects::containing(list, one))
        .and_then(|object| object.tables())
        .is_some_and(|tables| (tables.range.0..tables.range.1).contains(&other))
}

/// Puts back what the domains had. Whether all was taken out: where another tracer has wrapped ours, its copy of
/// our functions is changed in place.
pub(crate) fn uninstall() -> bool {
    if GET.load(Relaxed) == 0 {
        return true;
    }
    if GET_ARENA.load(Relaxed) != 0 {
        let table = get_arena();
        if table[1] == python::arena_alloc as *const () as usize {
            set_arena(&[table[0], ARENA[1].load(Relaxed), table[2]]);
        }
    }
    let domains = [(RAW_NUMBER, &RAW), (MEM_NUMBER, &MEM), (OBJECT_NUMBER, &OBJECT)];
    domains.into_iter().all(|(number, domain)| take_out(number, domain))
}

fn take_out(number: usize, domain: &Domain) -> bool {
    let originals =
        [&domain.malloc, &domain.calloc, &domain.realloc, &domain.free].map(|word| word.load(Relaxed));
    let ours: [usize; 4] = core::array::from_fn(|idx| PUT[number][idx].load(Relaxed));
    if ours == [0; 4] {
        return true;
    }
    let mut table = get(number);
    let mut is_there = false;
    for idx in 0..4 {
        if ours[idx] != 0 && table[idx + 1] == ours[idx] {
            table[idx + 1] = originals[idx];
            is_there = true;
        }
    }
    if is_there {
        set(number, &table);
        return true;
    }
    take_out_of_wrapper(table[0], &ours, &originals)
}

/// A tracer that wraps ours keeps our table in its context (`tracemalloc.c`, `obmalloc.c`: a `PyMemAllocatorEx`, perhaps after
/// one word).
fn take_out_of_wrapper(ctx: usize, ours: &[usize; 4], originals: &[usize; 4]) -> bool {
    if ctx == 0 {
        // Somebody has set the domain up anew; ours is gone.
        return true;
    }
    for skip in 0..2 {
        let at = ctx + 8 * (1 + skip);
        // SAFETY: a context of CPython's holds such a table; it lies in the interpreter's data.
        let words = unsafe { load::<[usize; 4]>(at) };
        let matches = (0..4).filter(|idx| ours[*idx] != 0 && words[*idx] == ours[*idx]).count();
        if matches == 0 {
            continue;
        }
        let back: [usize; 4] =
            core::array::from_fn(|idx| if words[idx] == ours[idx] { originals[idx] } else { words[idx] });
        // SAFETY: as above, and writable.
        unsafe { crate::mem::store(at, back) };
        return true;
    }
    false
}

/// Functions for one domain: malloc, calloc, realloc, free; `None` leaves what is there.
struct Functions([Option<*const ()>; 4]);

// SAFETY: addresses of code.
unsafe impl Sync for Functions {}

impl Functions {
    fn addrs(&self) -> [usize; 4] {
        self.0.map(|function| function.map_or(0, |function| function as usize))
    }
}

macro_rules! functions {
    ($($name:ident: $malloc:expr, $calloc:expr, $realloc:expr $(, $free:expr)?;)*) => {
        $(static $name: Functions = Functions([
            Some($malloc as *const ()),
            Some($calloc as *const ()),
            Some($realloc as *const ()),
            functions!(@ $($free)?),
        ]);)*
    };
    (@) => { None };
    (@ $free:expr) => { Some($free as *const ()) };
}

functions! {
    SAMPLED_RAW: arch::sampled_raw_malloc, arch::sampled_raw_calloc, arch::sampled_raw_realloc,
        arch::sampled_raw_free;
    SAMPLED_MEM: arch::sampled_mem_malloc, arch::sampled_mem_calloc, arch::sampled_mem_realloc;
    SAMPLED_OBJECT: arch::sampled_object_malloc, arch::sampled_object_calloc, arch::sampled_object_realloc;
    OTHER_MEM: python::other_mem_malloc, python::other_mem_calloc, python::other_mem_realloc,
        python::other_mem_free;
    OTHER_OBJECT: python::other_object_malloc, python::other_object_calloc, python::other_object_realloc,
        python::other_object_free;
    EXACT_RAW: exact::raw_malloc, exact::raw_calloc, exact::raw_realloc, exact::raw_free;
    EXACT_MEM: python::exact_mem_malloc, python::exact_mem_calloc, python::exact_mem_realloc,
        python::exact_mem_free;
    EXACT_OBJECT: python::exact_object_malloc, python::exact_object_calloc, python::exact_object_realloc,
        python::exact_object_free;
}
