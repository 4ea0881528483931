//! An agent comes into a process and goes out again, and the process does not notice.

mod support;

use std::sync::atomic::Ordering;

use heapray_attach::{
    AttachError, AttachOptions, Attached, Command, attach_agent, detach_agent, find_recording,
};
use heapray_wire::ring::COMMAND_DETACH;
use support::image::image;
use support::{Outside, Target, check_same, wait_until};

const SYS_READ: u64 = 0;
const SYS_FUTEX: u64 = 202;
const SYS_CLOCK_NANOSLEEP: u64 = 230;
const SYS_EPOLL_WAIT: u64 = 232;
const SYS_POLL: u64 = 7;
const SYS_ACCEPT4: u64 = 288;
const SIGKILL: i32 = 9;
const WAITING: &str = "say('ready')\nsay('got', os.read(0, 10))";

fn options(flavour: &'static str) -> AttachOptions {
    AttachOptions { image: Some(image(flavour)), ..AttachOptions::default() }
}

/// Attaches and detaches with the stand-in and with the agent, and compares what is seen of the target.
fn check(target: &Target) {
    let before = Outside::of(target.pid());
    for options in [options("plain"), AttachOptions::default()] {
        let attached = attach_agent(target.pid(), options).expect("attached");
        let slot = attached.shared.slot(0).expect("there");
        assert_eq!(slot.header().hooked.load(Ordering::Relaxed), 1, "its start was called");
        attached.check().expect("the target lives");
        let detached = attached.detach().expect("detached");
        assert_eq!(detached.left_mapped, None);
        check_same(target.pid(), &before);
    }
}

fn check_reading(script: &str, wait_for: u64) {
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), wait_for);
    check(&target);
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'", "{script}");
    assert_eq!(target.finish().code(), Some(0), "{script}");
}

#[test]
fn a_target_in_any_idle_state_is_attached_to_and_goes_on() {
    check_reading(WAITING, SYS_READ);
    let reader = "def reader():\n  say('got', os.read(0, 5))\n  done.set()\n  other.close()\ndone = threading.Event()\n\
        here, other = socket.socketpair()\nthread = threading.Thread(target=reader)\nthread.start()\n";
    check_reading(&format!("{reader}say('ready')\ndone.wait()"), SYS_FUTEX);
    check_reading(&format!("{reader}say('ready')\nthread.join()"), SYS_FUTEX);
    check_reading(
        &format!(
            "{reader}poll = select.epoll()\npoll.register(here, select.EPOLLIN)\nsay('ready')\npoll.poll()"
        ),
        SYS_EPOLL_WAIT,
    );
    check_reading(&format!("{reader}say('ready')\nselect.poll().poll(3000)\ndone.wait()"), SYS_POLL);
    check_reading(&format!("{reader}say('ready')\ntime.sleep(3)\ndone.wait()"), SYS_CLOCK_NANOSLEEP);
    let server = "s = socket.create_server(('127.0.0.1', 0))\n\
        def connect():\n  word = os.read(0, 5)\n  socket.create_connection(s.getsockname())\n  say('got', word)\n\
        threading.Thread(target=connect).start()\nsay('ready')\ns.accept()\n";
    check_reading(server, SYS_ACCEPT4);
}

#[test]
fn a_busy_target_is_attached_to_in_python_and_in_c() {
    for line in
        ["sum(range(100))", "sorted(numbers)", "bytearray(1000000)", "[object() for _ in range(1000)]"]
    {
        let script = format!(
            "numbers = list(range(1000000, 0, -1))\nstop = []\n\
            threading.Thread(target=lambda: stop.append(os.read(0, 1))).start()\nsay('ready')\n\
            while not stop: {line}\nsay('done')"
        );
        let mut target = Target::start(&script);
        for _ in 0..5 {
            let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached");
            assert_eq!(attached.detach().expect("detached").left_mapped, None, "{line}");
        }
        target.say("x");
        assert_eq!(target.line(), "done");
        assert_eq!(target.finish().code(), Some(0));
    }
}

#[test]
fn vectors_and_flags_of_an_interrupted_computation_are_kept() {
    let script = "import math\n\
        def work(): return math.fsum(math.sin(n) * math.exp(-n / 1e5) for n in range(300000))\n\
        expected = work()\n\
        say('ready')\n\
        results = [work() for _ in range(3)]\n\
        say(all(result == expected for result in results))";
    let mut target = Target::start(script);
    let mut n_cycles = 0;
    while n_cycles < 10 {
        let Ok(attached) = attach_agent(target.pid(), options("plain")) else { break };
        if attached.detach().is_err() {
            break;
        }
        n_cycles += 1;
    }
    assert!(n_cycles > 0);
    assert_eq!(target.line(), "True");
}

#[test]
fn many_threads_are_stopped_and_go_on() {
    let script = "gate = threading.Event()\n\
        threads = [threading.Thread(target=gate.wait) for _ in range(200)]\n\
        for thread in threads: thread.start()\n\
        say('ready')\nos.read(0, 1)\ngate.set()\n\
        for thread in threads: thread.join()\n\
        say('all done')";
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), SYS_READ);
    check(&target);
    target.say("x");
    assert_eq!(target.line(), "all done");
}

#[test]
fn a_target_that_waits_in_vfork_is_attached_to_when_it_comes_back() {
    // The child of a vfork runs in its parent's memory until it executes something: its parent cannot be stopped meanwhile.
    let script = "import subprocess\n\
        say('ready')\n\
        for _ in range(30): subprocess.run(['true'], close_fds=False)\n\
        say('done', os.read(0, 1))";
    let mut target = Target::start(script);
    for _ in 0..10 {
        let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached");
        attached.detach().expect("detached");
    }
    target.say("x");
    assert_eq!(target.line(), "done b'x'");
}

#[test]
fn signals_that_come_meanwhile_are_all_delivered() {
    let script = "count = 0\n\
        def handler(*_):\n  global count; count += 1\n\
        signal.signal(signal.SIGUSR1, handler)\n\
        say('ready')\n\
        sent = 0\n\
        while sent < 20000:\n\
        \x20 os.kill(os.getpid(), signal.SIGUSR1); sent += 1\n\
        \x20 while count < sent: pass\n\
        say(count)\n\
        os.read(0, 1)";
    let mut target = Target::start(script);
    for _ in 0..5 {
        let attached = attach_agent(target.pid(), options("plain")).expect("attached");
        attached.detach().expect("detached");
    }
    assert_eq!(target.line(), "20000");
    target.say("x");
}

#[test]
fn a_stopped_target_stays_stopped() {
    let mut target = Target::start(WAITING);
    target.wait_for_call(target.pid(), SYS_READ);
    target.signal(19);
    wait_until("it stops", || heapray_linux::stat(target.pid()).is_ok_and(|stat| stat.state == 'T'));
    let attached = attach_agent(target.pid(), options("plain")).expect("attached");
    attached.detach().expect("detached");
    wait_until("it stands still", || heapray_linux::stat(target.pid()).is_ok_and(|stat| stat.state == 'T'));
    target.signal(18);
    target.say("later");
    assert_eq!(target.line(), "got b'later'");
}

#[test]
fn a_failing_agent_is_a_clear_error_and_the_target_goes_on() {
    for (flavour, text) in [("refuse", "would not start"), ("crash", "signal 11"), ("hang", "did not end")] {
        let mut target = Target::start(WAITING);
        target.wait_for_call(target.pid(), SYS_READ);
        let before = Outside::of(target.pid());
        let error = attach_agent(target.pid(), options(flavour)).expect_err("it fails").to_string();
        assert!(error.contains(text), "{flavour}: {error}");
        if flavour == "refuse" {
            check_same(target.pid(), &before);
        }
        target.say("hello");
        assert_eq!(target.line(), "got b'hello'", "{flavour}");
        assert_eq!(target.finish().code(), Some(0), "{flavour}");
    }
}

/// A target that calls the address which it reads, in a thread of its own.
fn calling_target() -> Target {
    Target::start(
        "def call():\n  f = ctypes.CFUNCTYPE(None)(int(sys.stdin.readline()))\n  f()\n  say('came back')\n\
        say('ready')\nthread = threading.Thread(target=call)\nthread.start()\nthread.join()\n",
    )
}

/// The word behind the header of the first slot: where the stand-in has put the address of a function that stays inside it.
fn window_cells(attached: &Attached) -> Vec<u64> {
    let slot = attached.shared.slot(0).expect("there");
    slot.window().take(2).flat_map(|cell| [cell.a, cell.b]).collect()
}

#[test]
fn a_thread_inside_the_image_keeps_it_mapped_until_it_is_out() {
    let mut target = calling_target();
    let options =
        AttachOptions { detach_patience: std::time::Duration::from_millis(300), ..options("plain") };
    let attached = attach_agent(target.pid(), options).expect("attached");
    let dwell = window_cells(&attached)[0];
    target.say(&format!("{dwell}\n"));
    wait_until("a thread is inside", || window_cells(&attached)[2] == 1);
    let shared = std::sync::Arc::clone(&attached.shared);
    let detached = attached.detach().expect("its hooks are out");
    assert!(detached.left_mapped.is_some(), "a thread is inside: {detached:?}");
    // Lets it out.
    let file =
        std::fs::File::from(std::os::fd::AsFd::as_fd(&*shared).try_clone_to_owned().expect("a descriptor"));
    let offset = heapray_wire::ring::slot_offset(0, shared.slot_bytes()) as u64 + 4112;
    std::os::unix::fs::FileExt::write_all_at(&file, &0u64.to_le_bytes(), offset).expect("a word");
    assert_eq!(target.line(), "came back");
    assert_eq!(target.finish().code(), Some(0));
}

#[test]
fn a_pointer_that_a_library_has_kept_keeps_the_image_mapped() {
    let script = "cell = (ctypes.c_uint64 * 64)()\nsay('ready')\ncell[7] = int(sys.stdin.readline())\n\
        say('kept')\nos.read(0, 1)\ncell[7] = 0\nsay('gone')\nos.read(0, 1)\n";
    let mut target = Target::start(script);
    let short = std::time::Duration::from_millis(200);
    let options = AttachOptions { detach_patience: short, ..options("plain") };
    let attached = attach_agent(target.pid(), options).expect("attached");
    target.say(&format!("{}\n", window_cells(&attached)[0]));
    assert_eq!(target.line(), "kept");
    let detached = attached.detach().expect("its hooks are out");
    assert!(detached.left_mapped.is_some_and(|why| why.contains("kept")), "{detached:?}");
    target.say("x");
    assert_eq!(target.line(), "gone");
}

#[test]
fn an_agent_that_is_still_called_says_so() {
    let mut target = Target::start(WAITING);
    let attached = attach_agent(target.pid(), options("held")).expect("attached");
    let detached = attached.detach().expect("detached");
    assert!(detached.left_mapped.is_some_and(|why| why.contains("tracemalloc")), "{detached:?}");
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
}

#[test]
fn a_recording_is_found_and_its_collector_asked() {
    let target = Target::start(WAITING);
    assert_eq!(find_recording(target.pid()).expect("it may be looked at"), None);
    let attached = attach_agent(target.pid(), options("plain")).expect("attached");
    let found = find_recording(target.pid()).expect("it may be looked at").expect("an agent is in it");
    assert_eq!((found.collector, found.is_on, found.is_attached), (std::process::id(), true, true));
    found.ask(Command::Detach).expect("its memory may be written");
    let control = attached.shared.control();
    assert_eq!(control.command.load(Ordering::Relaxed), COMMAND_DETACH);
    assert_eq!(control.command_seq.load(Ordering::Relaxed), 1);
    let error = attach_agent(target.pid(), options("plain")).expect_err("one at a time");
    assert!(matches!(error, AttachError::AlreadyRecorded { .. }), "{error}");
    attached.detach().expect("detached");
    assert_eq!(find_recording(target.pid()).expect("it may be looked at"), None);
    let error = detach_agent(target.pid(), &AttachOptions::default()).expect_err("nothing there");
    assert!(matches!(error, AttachError::NotRecorded { .. }), "{error}");
}

#[test]
fn what_is_no_python_is_refused() {
    let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep starts");
    wait_until("it sleeps", || {
        heapray_linux::executable(child.id().cast_signed())
            .is_ok_and(|path| path.ends_with("sleep") || path.ends_with("coreutils"))
    });
    let error = attach_agent(child.id().cast_signed(), options("plain")).expect_err("no Python");
    assert!(matches!(error, AttachError::NotPython { .. }), "{error}");
    child.kill().expect("our child");
    child.wait().expect("our child");
    assert!(matches!(attach_agent(i32::MAX, options("plain")), Err(AttachError::NoSuchProcess { .. })));
    let own = std::process::id().cast_signed();
    assert!(matches!(attach_agent(own, options("plain")), Err(AttachError::Itself { .. })));
}

#[test]
fn a_damaged_image_is_refused_before_the_target_is_touched() {
    let target = Target::start(WAITING);
    let before = Outside::of(target.pid());
    for bytes in [b"no image".to_vec(), Vec::new(), image("plain")[..900].to_vec()] {
        let options = AttachOptions { image: Some(bytes), ..AttachOptions::default() };
        let error = attach_agent(target.pid(), options).expect_err("damaged");
        assert!(matches!(error, AttachError::BadImage { .. } | AttachError::NoImage), "{error}");
    }
    check_same(target.pid(), &before);
}

#[test]
fn a_target_that_ends_is_told() {
    let target = Target::start(WAITING);
    let attached = attach_agent(target.pid(), options("plain")).expect("attached");
    target.signal(SIGKILL);
    wait_until("it is told", || attached.check().is_err());
    assert!(matches!(attached.detach(), Err(AttachError::Exited { .. })));
}

#[test]
fn a_target_that_executes_another_program_is_left_alone() {
    let script = "say('ready')\nos.read(0, 1)\nos.execv('/bin/cat', ['cat'])";
    let mut target = Target::start(script);
    let attached = attach_agent(target.pid(), options("plain")).expect("attached");
    target.say("x");
    wait_until("it executes", || {
        heapray_linux::command_line(target.pid())
            .is_ok_and(|words| words.first().is_some_and(|word| word == "cat"))
    });
    target.wait_for_call(target.pid(), SYS_READ);
    let before = Outside::of(target.pid());
    assert_eq!(attached.detach().expect("nothing is left").left_mapped, None);
    check_same(target.pid(), &before);
    target.say("hello\n");
    assert_eq!(target.line(), "hello");
}

#[test]
fn a_forked_child_is_cleaned_by_itself() {
    let script = "r, w = os.pipe()\nsay('ready')\nos.read(0, 1)\npid = os.fork()\n\
        if pid == 0:\n  os.close(w); os.read(r, 1); os._exit(3)\n\
        os.close(r)\nsay(pid)\nos.read(0, 1)\nos.close(w)\nsay(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let mut target = Target::start(script);
    let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached");
    target.say("x");
    let child: i32 = target.line().parse().expect("a pid");
    assert!(find_recording(child).expect("a child").is_some());
    assert_eq!(attached.detach().expect("detached").left_mapped, None);
    let detached = detach_agent(child, &AttachOptions::default()).expect("it has one too");
    assert_eq!(detached.left_mapped, None);
    assert_eq!(find_recording(child).expect("a child"), None);
    target.say("x");
    assert_eq!(target.line(), "3");
}
