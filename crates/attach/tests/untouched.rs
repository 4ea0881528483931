//! Whatever a target does, a copy changes nothing that can be seen of it, from outside or from inside.

mod support;

use std::time::{Duration, Instant};

use heapray_attach::ImageKind;
use support::{Outside, Target, check_same, copy};

const SYS_READ: u64 = 0;
const SYS_POLL: u64 = 7;
const SYS_WAIT4: u64 = 61;
const SYS_FUTEX: u64 = 202;
const SYS_CLOCK_NANOSLEEP: u64 = 230;
const SYS_EPOLL_WAIT: u64 = 232;
const SIGKILL: i32 = 9;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

/// Copies the target thrice and compares what is seen of it.
fn check(target: &Target) {
    let before = Outside::of(target.pid());
    for _ in 0..3 {
        let image = copy(target).expect("a copy");
        assert_eq!(image.kind, ImageKind::Copy);
        assert_eq!(image.threads.len(), heapray_linux::threads(target.pid()).expect("it lives").len());
        assert!(image.threads.iter().all(|thread| thread.stack_pointer != 0 && thread.fs_base != 0));
        image.check().expect("still there");
        image.release();
        check_same(target.pid(), &before);
    }
}

#[test]
fn a_busy_target_is_untouched() {
    let target = Target::start("say('ready')\nwhile True: pass");
    check(&target);
}

#[test]
fn a_target_in_read_gets_its_bytes() {
    let mut target = Target::start("say('ready')\nsay('got', os.read(0, 10))\nos._exit(7)");
    target.wait_for_call(target.pid(), SYS_READ);
    check(&target);
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
    assert_eq!(target.finish().code(), Some(7));
}

#[test]
fn a_target_in_wait4_gets_its_child_only() {
    let script = "r, w = os.pipe()\n\
        pid = os.fork()\n\
        if pid == 0:\n  os.close(w); os.read(r, 1); os._exit(3)\n\
        os.close(r)\n\
        threading.Thread(target=lambda: (os.read(0, 1), os.close(w))).start()\n\
        say('ready')\n\
        got = os.waitpid(-1, 0)\n\
        say(got[0] == pid, os.waitstatus_to_exitcode(got[1]))\n\
        try: os.waitpid(-1, 0)\n\
        except ChildProcessError: say('no other child')\n";
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), SYS_WAIT4);
    check(&target);
    target.say("x");
    assert_eq!(target.line(), "True 3");
    assert_eq!(target.line(), "no other child");
    assert_eq!(target.finish().code(), Some(0));
}

/// A call with a timeout, by libc directly so that Python hides nothing, must neither fail nor start its timeout anew.
fn check_timeout(setup: &str, call: &str, number: u64) {
    let script = format!(
        "{setup}\nsay('ready')\nbegin = time.monotonic()\nresult = {call}\n\
        say(result, ctypes.get_errno(), int((time.monotonic() - begin) * 1000))"
    );
    let mut target = Target::start(&script);
    let begin = Instant::now();
    target.wait_for_call(target.pid(), number);
    while begin.elapsed() < Duration::from_millis(900) {
        copy(&target).expect("a copy").release();
    }
    let line = target.line();
    let words: Vec<i64> = line.split(' ').map(|word| word.parse().expect("numbers")).collect();
    assert_eq!(words[..2], [0, 0], "result and errno of {call}");
    assert!((1500..2300).contains(&words[2]), "{call} took {} ms of 1500", words[2]);
}

#[test]
fn poll_keeps_its_timeout() {
    check_timeout("", "libc.poll(None, 0, 1500)", SYS_POLL);
}

#[test]
fn nanosleep_keeps_its_timeout() {
    let setup = "span = (ctypes.c_long * 2)(1, 500000000)";
    check_timeout(setup, "libc.nanosleep(span, None)", SYS_CLOCK_NANOSLEEP);
}

#[test]
fn futex_keeps_its_timeout() {
    // FUTEX_WAIT on a word that nobody wakes: -1 with ETIMEDOUT (110).
    let setup = "word = ctypes.c_int(5)\nspan = (ctypes.c_long * 2)(1, 500000000)\n\
        def wait():\n  result = libc.syscall(202, ctypes.byref(word), 0, 5, span, None, 0)\n\
        \x20 timed_out = result == -1 and ctypes.get_errno() == 110\n  ctypes.set_errno(0)\n  return 0 if timed_out else 1\n";
    check_timeout(setup, "wait()", SYS_FUTEX);
}

#[test]
fn an_endless_epoll_wait_never_sees_eintr() {
    let script = "ep = libc.epoll_create1(0)\n\
        event = (ctypes.c_uint32 * 3)(1, 0, 0)\n\
        libc.epoll_ctl(ep, 1, 0, event)\n\
        out = (ctypes.c_uint32 * 3)()\n\
        say('ready')\n\
        say(libc.epoll_wait(ep, out, 1, -1), ctypes.get_errno())";
    let mut target = Target::start(script);
    for _ in 0..5 {
        target.wait_for_call(target.pid(), SYS_EPOLL_WAIT);
        check(&target);
    }
    target.say("x");
    assert_eq!(target.line(), "1 0");
}

#[test]
fn a_stopped_target_stays_stopped() {
    let mut target = Target::start("say('ready')\nsay('got', os.read(0, 10))");
    target.wait_for_call(target.pid(), SYS_READ);
    target.signal(SIGSTOP);
    support::wait_until("it stops", || heapray_linux::stat(target.pid()).is_ok_and(|stat| stat.state == 'T'));
    check(&target);
    target.say("later");
    assert_eq!(heapray_linux::stat(target.pid()).expect("it lives").state, 'T');
    target.signal(SIGCONT);
    assert_eq!(target.line(), "got b'later'");
}

#[test]
fn three_hundred_threads_are_stopped_and_go_on() {
    let script = "gate = threading.Event()\n\
        threads = [threading.Thread(target=gate.wait) for _ in range(300)]\n\
        for thread in threads: thread.start()\n\
        say('ready')\n\
        os.read(0, 1)\n\
        gate.set()\n\
        for thread in threads: thread.join()\n\
        say('all done')";
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), SYS_READ);
    check(&target);
    target.say("x");
    assert_eq!(target.line(), "all done");
    assert_eq!(target.finish().code(), Some(0));
}

/// `vfork` in a thread of its own: a child on another stack that shares all memory and sleeps so many seconds; its parent
/// thread waits in the kernel, where no signal and no tracer reaches it.
const VFORK: &str = "libc.clone.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]\n\
    stack = ctypes.create_string_buffer(1 << 16)\n\
    top = (ctypes.addressof(stack) + (1 << 16)) & ~15\n\
    def vfork(seconds):\n\
    \x20 libc.clone(ctypes.cast(libc.sleep, ctypes.c_void_p), top, 0x100 | 0x4000 | 17, seconds)\n";

/// Waits until a thread waits for its vfork'ed child; the child.
fn vforked(pid: i32) -> i32 {
    let waits = |tid: &i32| heapray_linux::thread_stat(pid, *tid).is_ok_and(|stat| stat.state == 'D');
    let threads = || heapray_linux::threads(pid).expect("it lives");
    support::wait_until("it waits in vfork", || threads().iter().any(waits));
    heapray_linux::children(pid).expect("it lives")[0]
}

#[test]
fn a_thread_in_vfork_is_left_alone_and_the_rest_copied() {
    let script = format!(
        "{VFORK}\
         thread = threading.Thread(target=vfork, args=(60,)); thread.start()\n\
         say('ready')\n\
         say('got', os.read(0, 10))\n\
         thread.join()\n\
         say(os.waitstatus_to_exitcode(os.waitpid(-1, 0)[1]))\n\
         try: os.waitpid(-1, 0)\n\
         except ChildProcessError: say('no other child')"
    );
    let mut target = Target::start(&script);
    let child = vforked(target.pid());
    for _ in 0..3 {
        let image = copy(&target).expect("a copy");
        assert_eq!(image.threads.len(), 1, "the other thread stopped");
        image.check().expect("still there");
        image.release();
        assert_eq!(heapray_linux::children(target.pid()).expect("it lives"), [child]);
    }
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
    heapray_linux::kill(child, SIGKILL).expect("the child sleeps");
    assert_eq!(target.line(), "-9");
    assert_eq!(target.line(), "no other child");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn a_target_whose_only_thread_is_in_vfork_is_refused_and_unharmed() {
    let script = format!("{VFORK}say('ready')\nvfork(60)\nsay('back', os.read(0, 10))");
    let mut target = Target::start(&script);
    let child = vforked(target.pid());
    let error = copy(&target).expect_err("no thread can be stopped").to_string();
    assert!(error.contains("waiting for a device, a file server or a vfork"), "{error}");
    heapray_linux::kill(child, SIGKILL).expect("the child sleeps");
    target.say("hello");
    assert_eq!(target.line(), "back b'hello'");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn threads_that_come_and_go_are_all_stopped() {
    let script = "stop = False\n\
        def churn():\n\
        \x20 while not stop:\n\
        \x20   t = threading.Thread(target=int); t.start(); t.join()\n\
        churners = [threading.Thread(target=churn) for _ in range(4)]\n\
        for thread in churners: thread.start()\n\
        say('ready')\n\
        os.read(0, 1)\n\
        stop = True\n\
        for thread in churners: thread.join()\n\
        say('all done')";
    let mut target = Target::start(script);
    for _ in 0..20 {
        copy(&target).expect("a copy").release();
    }
    assert!(heapray_linux::children(target.pid()).expect("it lives").is_empty());
    target.say("x");
    assert_eq!(target.line(), "all done");
}

#[test]
fn a_storm_of_signals_is_delivered_in_full() {
    // 2,000 signals of a timer each millisecond or less, counted by the handler; queued ones merge, so each is awaited.
    let script = "count = 0\n\
        def handler(*_):\n  global count; count += 1\n\
        signal.signal(signal.SIGUSR1, handler)\n\
        say('ready')\n\
        sent = 0\n\
        while sent < 20000:\n\
        \x20 os.kill(os.getpid(), signal.SIGUSR1); sent += 1\n\
        \x20 while count < sent: pass\n\
        say(count)";
    let mut target = Target::start(script);
    for _ in 0..15 {
        if let Ok(image) = copy(&target) {
            image.release();
        }
    }
    assert_eq!(target.line(), "20000");
}

#[test]
fn no_sigchld_and_no_child_is_seen() {
    let script = "seen = []\n\
        signal.signal(signal.SIGCHLD, lambda *_: seen.append(1))\n\
        say('ready')\n\
        os.read(0, 1)\n\
        try: say(os.waitpid(-1, os.WNOHANG))\n\
        except ChildProcessError: say('no child', seen)\n\
        os.read(0, 1)\n\
        try: say(os.waitpid(-1, os.WNOHANG))\n\
        except ChildProcessError: say('no child', seen)\n";
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), SYS_READ);
    let image = copy(&target).expect("a copy");
    target.say("x");
    assert_eq!(target.line(), "no child []");
    image.release();
    target.say("x");
    assert_eq!(target.line(), "no child []");
}

#[test]
fn peers_see_a_close_while_the_copy_lives() {
    let script = "a, b = socket.socketpair()\n\
        listener = socket.create_server(('127.0.0.1', 0))\n\
        say('ready', listener.getsockname()[1])\n\
        peer, _ = listener.accept()\n\
        say('accepted')\n\
        os.read(0, 1)\n\
        peer.close()\n\
        listener.close()\n\
        say('closed')\n\
        os.read(0, 1)";
    let mut target = Target::start(&script.replace("say('ready', listener", "say('ready')\nsay(listener"));
    let port: u16 = target.line().parse().expect("a port");
    let mut peer = std::net::TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    assert_eq!(target.line(), "accepted");
    let image = copy(&target).expect("a copy");
    target.say("x");
    assert_eq!(target.line(), "closed");
    assert_eq!(std::io::Read::read(&mut peer, &mut [0]).expect("a clean end"), 0);
    assert!(std::net::TcpStream::connect(("127.0.0.1", port)).is_err(), "nobody listens any more");
    image.check().expect("still there");
}
