//! The threads of an interpreter and what their states hold.

use alloc::vec::Vec;

use crate::code::at;
use crate::interp::array;
use crate::{Label, Memory, Runtime, Sink, Strength};

/// A thread state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Address of the `PyThreadState`.
    pub address: u64,
    /// The kernel's thread id, where this version records it (3.11 and later).
    pub native_tid: Option<u32>,
    /// `threading.get_ident()`.
    pub python_id: u64,
    /// Innermost frame, where the thread runs Python.
    pub frame: Option<u64>,
}

/// Most threads listed; the kernel's own limit is `/proc/sys/kernel/threads-max`, commonly lower.
const LIMIT: usize = 1 << 18;

/// The threads of `interp`, newest first as CPython links them. Bounded; a torn list ends early.
pub fn threads<M: Memory>(mem: &M, rt: &Runtime, interp: u64) -> Vec<Thread> {
    let layout = &rt.layout.runtime;
    let mut found: Vec<Thread> = Vec::new();
    let mut address = at(interp, layout.interp_threads_head).and_then(|head| mem.u64(head)).unwrap_or(0);
    let mut previous = 0;
    while address != 0 && found.len() < LIMIT {
        // `prev` is the first field of every version; that it leads back rules out cycles.
        let is_linked = mem.u64(address) == Some(previous);
        let Some(thread) = read(mem, rt, interp, address).filter(|_| is_linked) else { break };
        found.push(thread);
        previous = address;
        address = at(address, layout.thread_next).and_then(|next| mem.u64(next)).unwrap_or(0);
    }
    found
}

fn read<M: Memory>(mem: &M, rt: &Runtime, interp: u64, address: u64) -> Option<Thread> {
    let layout = &rt.layout.runtime;
    if mem.u64(at(address, layout.thread_interp)?)? != interp {
        return None;
    }
    let native_tid = match layout.thread_native_id {
        Some(offset) => u32::try_from(mem.u64(at(address, offset)?)?).ok().filter(|tid| *tid != 0),
        None => None,
    };
    let mut frame = mem.u64(at(address, layout.thread_frame)?)?;
    if let (Some(offset), true) = (layout.cframe_frame, frame != 0) {
        frame = mem.u64(at(frame, offset)?)?;
    }
    Some(Thread {
        address,
        native_tid,
        python_id: mem.u64(at(address, layout.thread_python_id)?)?,
        frame: (frame != 0).then_some(frame),
    })
}

/// Reports every reference that the thread state holds (not those of its frames): its dict with the thread-local
/// variables, context, exceptions, trace functions. Exceptions that a suspended generator handles are the generator's.
pub fn roots<M: Memory>(mem: &M, rt: &Runtime, thread: &Thread, sink: &mut impl Sink) {
    let layout = &rt.layout.runtime;
    for root in layout.thread_roots {
        array(mem, thread.address, root, sink);
    }
    if let (Some(function), Some(argument)) = (layout.thread_on_delete, layout.thread_on_delete_data) {
        let word = |offset| at(thread.address, offset).and_then(|field| mem.u64(field)).unwrap_or(0);
        // Only `_thread` sets it, and gives it a weak reference object of its own.
        if word(function) != 0 && word(argument) != 0 {
            sink.edge(word(argument), Label::Field("lock of threading.Thread"), Strength::Owned);
        }
    }
}
