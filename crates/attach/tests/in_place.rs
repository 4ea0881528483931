//! A target stopped in place stands still while its image lives, and goes on whatever happens.

mod support;

use heapray_attach::{CopyOptions, ImageKind, in_place};
use support::{Holder, Outside, Target, check_same, wait_until};

const SYS_READ: u64 = 0;
const SIGKILL: i32 = 9;

/// Counts in its first argument's memory as fast as it can, in two threads.
const COUNTING: &str = "cell = (ctypes.c_uint64 * 1)()\n\
    say('ready')\n\
    say(ctypes.addressof(cell))\n\
    def count():\n\
    \x20 while True: cell[0] += 1\n\
    threading.Thread(target=count, daemon=True).start()\n\
    os.read(0, 1)\n\
    say('done')\n\
    os._exit(5)\n";

fn read_cell(pid: i32, addr: u64) -> u64 {
    let mut bytes = [0; 8];
    heapray_linux::RemoteMemory::new(pid).read(addr, &mut bytes).expect("readable");
    u64::from_le_bytes(bytes)
}

#[test]
fn the_target_stands_still_and_then_goes_on() {
    use heapray_cpython::Memory;
    let mut target = Target::start(COUNTING);
    let addr: u64 = target.line().parse().expect("an address");
    target.wait_for_call(target.pid(), SYS_READ);
    let before = Outside::of(target.pid());
    let image = in_place(target.pid(), CopyOptions::default()).expect("an image");
    assert_eq!((image.kind, image.threads.len(), image.pid), (ImageKind::InPlace, 2, target.pid()));
    let first = read_cell(target.pid(), addr);
    assert_eq!(image.memory.u64(addr), Some(first));
    assert_eq!(read_cell(target.pid(), addr), first);
    image.check().expect("still there");
    assert!(image.release().pause >= std::time::Duration::from_micros(1));
    wait_until("it counts on", || read_cell(target.pid(), addr) != first);
    check_same(target.pid(), &before);
    target.say("x");
    assert_eq!(target.line(), "done");
    assert_eq!(target.finish().code(), Some(5));
}

#[test]
fn heapray_or_its_guardian_killed_lets_the_target_on() {
    for kill_guardian in [false, true] {
        let mut target = Target::start(COUNTING);
        let addr: u64 = target.line().parse().expect("an address");
        let mut holder = Holder::start(&target, "in-place");
        holder.moments.shutdown(std::net::Shutdown::Write).expect("connected");
        wait_until("it is stopped", || heapray_linux::stat(target.pid()).is_ok_and(|stat| stat.state == 't'));
        if kill_guardian {
            heapray_linux::kill(holder.guardian().expect("it lives"), SIGKILL).expect("it lives");
        }
        holder.kill();
        while holder.moment().is_some() {}
        let stopped = read_cell(target.pid(), addr);
        wait_until("it counts on", || read_cell(target.pid(), addr) != stopped);
        target.say("x");
        assert_eq!(target.line(), "done");
    }
}

#[test]
fn a_target_that_is_killed_meanwhile_is_reported() {
    let target = Target::start(COUNTING);
    let image = in_place(target.pid(), CopyOptions::default()).expect("an image");
    target.signal(SIGKILL);
    wait_until("it is reported", || image.check().is_err());
    let error = image.check().expect_err("it is gone").to_string();
    assert!(error.contains("ended while it was being read") || error.contains("given up"), "{error}");
}

#[test]
fn the_time_budget_lets_the_target_on() {
    let target = Target::start(COUNTING);
    let options = CopyOptions { time_budget: std::time::Duration::from_millis(1), ..CopyOptions::default() };
    // The budget may already be over when the mappings are read: an error then, and the same end.
    if let Ok(image) = in_place(target.pid(), options) {
        wait_until("the budget ends", || image.check().is_err());
    }
    wait_until("it runs", || heapray_linux::status(target.pid()).is_ok_and(|status| status.tracer == 0));
}
