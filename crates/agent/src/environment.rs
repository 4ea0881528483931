//! Environments: the agent's own entries, taken out of the process's and put into those of programs that it starts.
//!
//! Unsafe: reads and writes arrays of C texts.
#![allow(unsafe_code)]

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::Ordering::{Acquire, Release};

use heapray_wire::ring::CONTROL_VARIABLE;

use crate::kernel::can_read;
use crate::mem::{load, store, text};

const PRELOAD: &[u8] = b"LD_PRELOAD=";
/// Longest value that is kept, in bytes.
const MAX_BYTES: usize = 1024;
/// Longest `LD_PRELOAD` that is extended, in bytes.
const MAX_PRELOAD_BYTES: usize = 4096;

/// What was found in the environment at the start: written once, by the constructor.
struct Kept {
    is_set: AtomicBool,
    texts: UnsafeCell<Own>,
}

/// The agent's own file, and its entry that names the shared file; both end with a zero.
pub(crate) struct Own {
    file: [u8; MAX_BYTES],
    control: [u8; MAX_BYTES],
}

impl Own {
    /// Whether the loader of a program that this process executes will find the agent: it may have another root or user by now.
    pub(crate) fn is_reachable(&self) -> bool {
        can_read(&self.file) && self.control.get(CONTROL_VARIABLE.len() + 1..).is_some_and(can_read)
    }
}

// SAFETY: written once before `is_set`, read after it.
unsafe impl Sync for Kept {}

static KEPT: Kept = Kept {
    is_set: AtomicBool::new(false),
    texts: UnsafeCell::new(Own { file: [0; MAX_BYTES], control: [0; MAX_BYTES] }),
};

/// What a program needs to be started with the agent; `None` where this process was not.
pub(crate) fn with_agent() -> Option<&'static Own> {
    // SAFETY: set, so nobody writes any more.
    KEPT.is_set.load(Acquire).then(|| unsafe { &*KEPT.texts.get() })
}

/// The value of `HEAPRAY_CONTROL` with its ending zero; `None` where there is none, or a long one.
pub(crate) fn control_path(envp: usize) -> Option<&'static [u8]> {
    let mut at = envp;
    loop {
        // SAFETY: an environment ends with a zero.
        let entry = unsafe { load::<usize>(at) };
        if entry == 0 {
            return None;
        }
        if value_of(entry, CONTROL_VARIABLE.as_bytes()).is_some() {
            // SAFETY: a C text of the environment, which stays where it is.
            let whole = unsafe { text(entry) };
            let start = CONTROL_VARIABLE.len() + 1;
            let len = whole.len() - start;
            // SAFETY: the text and its ending zero.
            let path = unsafe { core::slice::from_raw_parts((entry + start) as *const u8, len + 1) };
            return (whole.len() < MAX_BYTES).then_some(path);
        }
        at += 8;
    }
}

/// The value of an entry whose name is `name`.
fn value_of(entry: usize, name: &[u8]) -> Option<&'static [u8]> {
    // SAFETY: a C text of an environment.
    let whole = unsafe { text(entry) };
    whole.strip_prefix(name)?.strip_prefix(b"=")
}

/// Keeps the agent's entries and takes them out of the environment at `envp`: the shared file's, and `file` in `LD_PRELOAD`.
/// What remains of `LD_PRELOAD` stays; an empty one goes.
pub(crate) fn take_out(envp: usize, file: &[u8]) {
    let mut to = envp;
    let mut from = envp;
    loop {
        // SAFETY: an environment ends with a zero.
        let entry = unsafe { load::<usize>(from) };
        let is_ours = entry != 0 && is_taken(entry, file);
        if !is_ours {
            // SAFETY: the environment is the process's, which has one thread yet; `to` is not beyond `from`.
            unsafe { store(to, entry) };
            to += 8;
        }
        if entry == 0 {
            return;
        }
        from += 8;
    }
}

/// Whether an entry is to go; `LD_PRELOAD` is shortened in place.
fn is_taken(entry: usize, file: &[u8]) -> bool {
    if value_of(entry, CONTROL_VARIABLE.as_bytes()).is_some() {
        // SAFETY: a C text of the environment.
        keep(unsafe { text(entry) }, file);
        return true;
    }
    let Some(value) = value_of(entry, b"LD_PRELOAD") else { return false };
    let mut at = entry + PRELOAD.len();
    let first = at;
    for part in
        value.split(|byte| matches!(byte, b':' | b' ')).filter(|part| *part != file && !part.is_empty())
    {
        if at != first {
            // SAFETY: inside the old text: it only gets shorter.
            unsafe { store(at, b':') };
            at += 1;
        }
        for byte in part {
            // SAFETY: as above; each byte is read before its place is written.
            unsafe { store(at, *byte) };
            at += 1;
        }
    }
    // SAFETY: as above.
    unsafe { store(at, 0_u8) };
    at == first
}

fn keep(control: &[u8], file: &[u8]) {
    if control.len() >= MAX_BYTES || file.len() >= MAX_BYTES || file.is_empty() {
        return;
    }
    // SAFETY: the constructor runs once, before anybody reads.
    let own = unsafe { &mut *KEPT.texts.get() };
    own.control[..control.len()].copy_from_slice(control);
    own.file[..file.len()].copy_from_slice(file);
    KEPT.is_set.store(true, Release);
}

/// An environment with the agent's entries, on the stack: a child of `vfork` must not use its parent's memory otherwise.
pub(crate) struct Environment<const N: usize> {
    entries: [usize; N],
    preload: [u8; MAX_PRELOAD_BYTES],
}

impl<const N: usize> Environment<N> {
    /// An empty one.
    pub(crate) fn new() -> Self {
        Environment { entries: [0; N], preload: [0; MAX_PRELOAD_BYTES] }
    }

    /// Where it lies.
    pub(crate) fn addr(&self) -> usize {
        self.entries.as_ptr() as usize
    }

    /// Takes the entries at `envp` over and adds the agent's; whether they fit. An environment that has the agent already
    /// is taken as it is.
    pub(crate) fn extend(&mut self, envp: usize) -> bool {
        let Some(own) = with_agent() else { return false };
        let (mut n_entries, mut before): (usize, &[u8]) = (0, b"");
        for idx in 0.. {
            if n_entries + 3 > N {
                return false;
            }
            // SAFETY: an environment ends with a zero.
            let entry = if envp == 0 { 0 } else { unsafe { load::<usize>(envp + 8 * idx) } };
            if entry == 0 {
                break;
            }
            if value_of(entry, CONTROL_VARIABLE.as_bytes()).is_some() {
                return false;
            }
            match value_of(entry, b"LD_PRELOAD") {
                Some(value) => before = value,
                None => {
                    self.entries[n_entries] = entry;
                    n_entries += 1;
                }
            }
        }
        let separator: &[u8] = if before.is_empty() { b"" } else { b":" };
        let file = until_zero(&own.file);
        let parts = [PRELOAD, before, separator, file];
        if parts.iter().map(|part| part.len()).sum::<usize>() >= MAX_PRELOAD_BYTES {
            return false;
        }
        for (to, byte) in self.preload.iter_mut().zip(parts.into_iter().flatten()) {
            *to = *byte;
        }
        self.entries[n_entries] = self.preload.as_ptr() as usize;
        self.entries[n_entries + 1] = own.control.as_ptr() as usize;
        true
    }
}

/// Writes the words that have a shell export the agent to what it starts, and the `LD_PRELOAD` of the environment at `envp` with it;
/// answers their length. `None` where that does not fit, or a value cannot stand in quotes.
pub(crate) fn exports(envp: usize, out: &mut [u8]) -> Option<usize> {
    let own = with_agent()?;
    let entries = (0..).map(|idx| match envp {
        0 => 0,
        // SAFETY: an environment ends with a zero.
        envp => unsafe { load::<usize>(envp + 8 * idx) },
    });
    let mut values =
        entries.take_while(|entry| *entry != 0).filter_map(|entry| value_of(entry, b"LD_PRELOAD"));
    let before = values.next().unwrap_or_default();
    let separator: &[u8] = if before.is_empty() { b"" } else { b":" };
    let control = until_zero(own.control.get(CONTROL_VARIABLE.len() + 1..)?);
    let values = [before, separator, until_zero(&own.file), control];
    if values.iter().any(|value| value.contains(&b'\'')) {
        return None;
    }
    let [before, separator, file, control] = values;
    let name = CONTROL_VARIABLE.as_bytes();
    let parts = [b"export ", PRELOAD, b"'", before, separator, file, b"' ", name, b"='", control, b"'; "];
    let len: usize = parts.iter().map(|part| part.len()).sum();
    for (to, byte) in out.get_mut(..len)?.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *byte;
    }
    Some(len)
}

fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::vec::Vec;

    use super::*;

    /// The entries as texts after `take_out`.
    fn check(entries: &[&str], file: &str, expected: &[&str]) {
        let texts: Vec<CString> = entries.iter().map(|text| CString::new(*text).expect("no zero")).collect();
        let texts: Vec<_> = texts.into_iter().map(CString::into_raw).collect();
        let mut array: Vec<usize> = texts.iter().map(|text| *text as usize).chain([0]).collect();
        take_out(array.as_mut_ptr() as usize, file.as_bytes());
        let left: Vec<_> = array
            .iter()
            .take_while(|entry| **entry != 0)
            // SAFETY: C texts made above.
            .map(|entry| std::string::String::from_utf8_lossy(unsafe { text(*entry) }))
            .collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn own_entries_go_and_others_stay() {
        let control = "HEAPRAY_CONTROL=/proc/1/fd/3";
        check(&["A=1", "LD_PRELOAD=/x/agent.so", control, "B=2"], "/x/agent.so", &["A=1", "B=2"]);
        check(
            &["LD_PRELOAD=/x/jemalloc.so:/x/agent.so", "A=1", control],
            "/x/agent.so",
            &["LD_PRELOAD=/x/jemalloc.so", "A=1"],
        );
        check(&["LD_PRELOAD=/other.so"], "/x/agent.so", &["LD_PRELOAD=/other.so"]);
        check(&["HEAPRAY_CONTROLS=1"], "/x/agent.so", &["HEAPRAY_CONTROLS=1"]);
    }
}
