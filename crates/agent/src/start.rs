//! Start and stop: everything that happens once.
//!
//! Called by the loader's constructor, or from outside with all other threads stopped anywhere: nothing of the C library is
//! called here but CPython's getters and setters of allocators.
//!
//! Unsafe: reads Python's symbols.
#![allow(unsafe_code)]

use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use heapray_wire::ring::{
    Control, PythonSymbols, RING_MAGIC, RING_VERSION, START_BAD_CONTROL, START_BAD_VERSION,
    START_NO_ALLOCATOR, START_NO_MEMORY, START_NO_OBJECTS, START_TWICE, Start,
};

use crate::hooks::sampled::IS_GLIBC;
use crate::objects::{self, List};
use crate::ring::{header, set_mapped};
use crate::stack::watch;
use crate::{domains, lock, patch, real, sampler, view};

static IS_STARTED: AtomicBool = AtomicBool::new(false);

/// Begins to record, in a process that has no other thread or may have some. 0, or a `START_…` of `heapray_wire::ring`.
pub(crate) fn start(start: &Start, is_alone: bool) -> i64 {
    if start.magic != RING_MAGIC || start.version != RING_VERSION {
        return START_BAD_VERSION;
    }
    let is_control = |control: &Control| {
        control.magic.load(Acquire) == RING_MAGIC && control.version.load(Acquire) == RING_VERSION
    };
    if start.slot == 0 || !view::control(start.control as usize).is_some_and(is_control) {
        return START_BAD_CONTROL;
    }
    if IS_STARTED.swap(true, Acquire) {
        return START_TWICE;
    }
    set_mapped(start.control as usize, start.slot as usize);
    let answer = begin(start, is_alone);
    if answer != 0 {
        set_mapped(0, 0);
        IS_STARTED.store(false, Release);
    }
    answer
}

fn begin(start: &Start, is_alone: bool) -> i64 {
    objects::learn(start);
    let Some(list) = objects::list() else { return START_NO_OBJECTS };
    find_functions(list);
    if real::MALLOC.addr() == 0 || real::FREE.addr() == 0 || real::POSIX_MEMALIGN.addr() == 0 {
        return START_NO_ALLOCATOR;
    }
    if !lock::prepare() {
        return START_NO_MEMORY;
    }
    let symbols = find_python(list, start.python);
    lock::arm(is_alone);
    let Some(mut agent) = lock::enter() else { return START_NO_MEMORY };
    // SAFETY: found by name in the process, or by who attaches.
    let version = unsafe { agent.stacks.set_python(&symbols) };
    agent.begin(start.slot_idx, start.slot as usize);
    header().python_hex.store(version, Relaxed);
    header().has_other_python.store(u32::from(version == 0 && symbols.get_version != 0), Relaxed);
    drop(agent);
    sampler::restart();
    domains::install(&symbols);
    patch::patch_all(list);
    header().hooked.store(1, Release);
    0
}

fn find_functions(list: List) {
    for real in real::ALL {
        real.set(objects::find(list, real.name).unwrap_or(0));
    }
    // glibc's way to mark blocks is known; that of an allocator in another object is not.
    let owner = |addr: usize| objects::containing(list, addr).map(|object| object.base);
    let is_glibc = real::GNU_LIBC.addr() != 0 && owner(real::GNU_LIBC.addr()) == owner(real::MALLOC.addr());
    IS_GLIBC.store(is_glibc, Relaxed);
}

/// What is not given is looked up by name.
fn find_python(list: List, given: PythonSymbols) -> PythonSymbols {
    let find = |given: u64, names: &[&[u8]]| match given {
        0 => names.iter().find_map(|name| objects::find(list, name)).unwrap_or(0) as u64,
        _ => given,
    };
    PythonSymbols {
        get_allocator: find(given.get_allocator, &[b"PyMem_GetAllocator"]),
        set_allocator: find(given.set_allocator, &[b"PyMem_SetAllocator"]),
        get_arena_allocator: find(given.get_arena_allocator, &[b"PyObject_GetArenaAllocator"]),
        set_arena_allocator: find(given.set_arena_allocator, &[b"PyObject_SetArenaAllocator"]),
        current_tstate: find(
            given.current_tstate,
            &[b"PyThreadState_GetUnchecked", b"_PyThreadState_UncheckedGet"],
        ),
        own_tstate: find(given.own_tstate, &[b"PyGILState_GetThisThreadState"]),
        version: find(given.version, &[b"Py_Version"]),
        get_version: find(given.get_version, &[b"Py_GetVersion"]),
        runtime: find(given.runtime, &[b"_PyRuntime"]),
        is_initialized: find(given.is_initialized, &[b"Py_IsInitialized"]),
        code_type: find(given.code_type, &[b"PyCode_Type"]),
    }
}

/// Takes every hook out. 0, or 1 where something of ours could not be taken out (another tracer stands on it).
///
/// Threads may still be inside the image.
pub(crate) fn stop() -> i64 {
    if !IS_STARTED.load(Acquire) {
        return 0;
    }
    lock::go_idle(0);
    watch::end();
    let is_clean = domains::uninstall();
    match objects::list() {
        Some(list) => patch::unpatch_all(list),
        None => return START_NO_OBJECTS,
    }
    header().hooked.store(0, Release);
    i64::from(!is_clean)
}
