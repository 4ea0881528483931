//! A guardian that is killed behind any of its system calls, also while a call of ours runs in the target, hurts nobody.

mod support;

use std::io::Read;
use std::net::Shutdown;

use heapray_linux::{Resume, Stop, Tracee, options};
use support::{Holder, Outside, Target, check_same_but_memory, wait_until};

const SIGKILL: i32 = 9;
const SYS_READ: u64 = 0;
/// The moment at which the image is kept, or the agent records, until the holder's input closes.
const HOLDING: u8 = 9;
/// The calls by which a guardian changes its target, or learns of it: ptrace, wait4, pwrite64.
const CALLS: [u64; 3] = [101, 61, 18];
/// Every so many-th of these is fatal, with `HEAPRAY_FULL` every one.
const STEP: usize = 5;

/// Waits in a system call, which must go on.
const WAITING: &str = "say('ready')\n\
    while True:\n\
        \x20 got = os.read(0, 1)\n\
        \x20 if not got: break\n\
        \x20 say('got', got)";
/// Computes with general and vector registers, which must stay what they are, while another thread allocates.
const BUSY: &str = "import hashlib, itertools\n\
    busy = threading.Thread(target=lambda: [bytes(n % 9999) for n in itertools.count() if not n], daemon=True)\n\
    busy.start()\n\
    block = bytes(range(256)) * 16\n\
    digest = lambda: (hashlib.sha256(block).hexdigest(), sum(1 / n for n in range(1, 100)))\n\
    right = digest()\n\
    say('ready')\n\
    while True:\n\
        \x20 assert digest() == right\n\
        \x20 if not select.select([0], [], [], 0)[0]: continue\n\
        \x20 got = os.read(0, 1)\n\
        \x20 if not got: break\n\
        \x20 say('got', got)";

/// Kills the guardian at the end of the `nth` of these calls from its first moment on. `false`: it came to its end before.
fn kill_at(holder: &mut Holder, nth: usize) -> bool {
    assert_eq!(holder.moment(), Some(1));
    let guardian = Tracee(holder.guardian().expect("it waits for us"));
    guardian.seize(options::SYSCALL_GOOD).expect("it may be traced");
    guardian.interrupt().expect("it lives");
    holder.moments.shutdown(Shutdown::Write).expect("connected");
    holder.moments.set_nonblocking(true).expect("a socket");
    let (mut n, mut is_inside) = (0, false);
    loop {
        let stop = guardian.wait().expect("ours");
        let signal = if let Stop::Signal(signal) = stop { signal } else { 0 };
        match stop {
            Stop::Gone(_) => return n == nth,
            Stop::SystemCall if is_inside => {
                is_inside = false;
                let call = guardian.registers().expect("it has stopped").current_call();
                n += usize::from(call.is_some_and(|call| CALLS.contains(&call.number)));
                if n == nth {
                    heapray_linux::kill(guardian.0, SIGKILL).expect("it lives");
                    continue;
                }
            }
            Stop::SystemCall => is_inside = true,
            _ => {}
        }
        let mut moments = [0; 32];
        let n_moments = holder.moments.read(&mut moments).unwrap_or(0);
        if moments[..n_moments].contains(&HOLDING) {
            drop(holder.child.stdin.take());
        }
        guardian.resume(Resume::ToSystemCall, signal).expect("it has stopped");
    }
}

/// A zombie, or taken by its parent.
fn is_dead(pid: i32) -> bool {
    heapray_linux::stat(pid).map_or(true, |stat| matches!(stat.state, 'Z' | 'X'))
}

/// One guardian after the other is killed, each a little later, on one target that goes on all the time.
fn check(script: &str, example: &str, how: &str) {
    let mut target = Target::start(script);
    if script == WAITING {
        target.wait_for_call(target.pid(), SYS_READ);
    }
    let before = Outside::of(target.pid());
    let step = if std::env::var_os("HEAPRAY_FULL").is_some() { 1 } else { STEP };
    let mut nth = 1;
    loop {
        let mut holder = Holder::start_example(example, &target, how);
        let was_killed = kill_at(&mut holder, nth);
        holder.kill();
        wait_until("nobody traces it", || {
            heapray_linux::status(target.pid()).is_ok_and(|status| status.tracer == 0)
        });
        let children = heapray_linux::children(target.pid()).expect("it lives");
        wait_until("what it made is dead", || children.iter().all(|child| is_dead(*child)));
        target.say("x");
        assert_eq!(target.line(), "got b'x'", "killed at {nth}");
        if !was_killed {
            break;
        }
        nth += step;
    }
    assert!(nth > 50, "only {nth} calls");
    // The last one ran to its end, and took along what the others had left.
    check_same_but_memory(target.pid(), &before);
    let mappings = heapray_linux::mappings(target.pid()).expect("it lives");
    assert!(!mappings.iter().any(|mapping| mapping.path.contains("heapray")), "{mappings:?}");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn while_a_waiting_process_is_copied() {
    check(WAITING, "hold", "copy");
}

#[test]
fn while_a_busy_process_is_copied() {
    check(BUSY, "hold", "copy");
}

#[test]
fn while_an_agent_comes_to_a_waiting_process_and_goes() {
    check(WAITING, "record", "-");
}

#[test]
fn while_an_agent_comes_to_a_busy_process_and_goes() {
    check(BUSY, "record", "-");
}
