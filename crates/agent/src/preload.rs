//! The start of a process that was started with the agent preloaded.
//!
//! Runs once, from the loader, with one thread. Whatever goes wrong, the process runs on unrecorded.
//!
//! Unsafe: the start's environment lies above the first stack frame.
#![allow(unsafe_code)]

use core::sync::atomic::Ordering::{Acquire, Release};

use heapray_wire::ring::{CONTROL_BYTES, RING_MAGIC, RING_VERSION, SLOT_FREE, SLOT_LIVE, Start, slot_offset};

use crate::environment::{control_path, take_out};
use crate::kernel::{close, is_error, map_shared, open_shared, read_file, unmap};
use crate::mem::load;
use crate::process::claim_slot;
use crate::ring::set_mapped;
use crate::{objects, start, view};

/// Starts recording where the environment asks for it.
pub(crate) fn run() {
    let Some(envp) = environment() else { return };
    let Some(path) = control_path(envp) else { return };
    let fd = open_shared(path);
    let list = objects::list();
    let file = list.and_then(|list| objects::containing(list, run as *const () as usize));
    take_out(envp, file.map_or(b"", |object| object.path()));
    if is_error(fd) {
        return;
    }
    join(fd);
    close(fd);
}

/// Where the environment lies: above the arguments on the first stack, whose start the kernel tells in field 28 of
/// `/proc/self/stat`. What a loader passes to constructors differs between C libraries.
fn environment() -> Option<usize> {
    let mut buffer = [0; 1024];
    let stat = read_file(b"/proc/self/stat\0", &mut buffer);
    let after_name = stat.iter().rposition(|byte| *byte == b')')? + 2;
    let field = stat.get(after_name..)?.split(|byte| *byte == b' ').nth(28 - 3)?;
    let start = field.iter().try_fold(0_usize, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + usize::from(digit - b'0'))
    })?;
    if start == 0 {
        return None;
    }
    // SAFETY: argc, argv, a zero, envp: the kernel's layout of a first stack.
    let argc = unsafe { load::<usize>(start) };
    Some(start + 8 * (argc + 2))
}

/// Takes a slot of the file and starts with it.
fn join(fd: isize) -> Option<()> {
    let control_addr = map_shared(fd, 0, CONTROL_BYTES)?;
    let control = view::control(control_addr)?;
    let is_ours = control.magic.load(Acquire) == RING_MAGIC && control.version.load(Acquire) == RING_VERSION;
    set_mapped(if is_ours { control_addr } else { 0 }, 0);
    let claimed = if is_ours && control.stop.load(Acquire) == 0 { claim_slot(control_addr) } else { None };
    let Some((idx, claim)) = claimed else {
        set_mapped(0, 0);
        // SAFETY: mapped above, referred to by nobody any more.
        unsafe { unmap(control_addr, CONTROL_BYTES) };
        return None;
    };
    let slot_bytes = control.slot_bytes.load(Acquire) as usize;
    let slot = map_shared(fd, slot_offset(idx, slot_bytes), slot_bytes);
    let answer = slot.and_then(view::header).zip(slot).map(|(header, slot)| {
        header.generation.store(claim.generation.load(Acquire), Release);
        header.parent_slot.store(u32::MAX, Release);
        let start = Start {
            magic: RING_MAGIC,
            version: RING_VERSION,
            slot_idx: idx as u32,
            control: control_addr as u64,
            slot: slot as u64,
            ..Start::default()
        };
        start::start(&start, true)
    });
    claim.state.store(if answer == Some(0) { SLOT_LIVE } else { SLOT_FREE }, Release);
    Some(())
}
