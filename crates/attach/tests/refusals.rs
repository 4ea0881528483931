//! What cannot be copied is refused with a reason and something to try, and is not harmed.

mod support;

use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use heapray_attach::{AttachError, CopyOptions};
use support::{Holder, Target, copy, wait_until};

fn refusal(pid: i32) -> AttachError {
    heapray_attach::copy(pid, CopyOptions::default()).expect_err("refused")
}

#[test]
fn a_pid_that_nobody_has_is_named() {
    assert!(matches!(refusal(i32::MAX), AttachError::NoSuchProcess { .. }));
    assert!(refusal(i32::MAX).to_string().contains("no process 2147483647"));
}

#[test]
fn heapray_does_not_stop_itself() {
    assert!(matches!(refusal(std::process::id().cast_signed()), AttachError::Itself { .. }));
}

#[test]
fn a_thread_is_not_a_process() {
    let target = Target::start("threading.Thread(target=lambda: os.read(0, 1)).start()\nsay('ready')");
    let threads = heapray_linux::threads(target.pid()).expect("it lives");
    assert!(matches!(refusal(threads[1]), AttachError::NoSuchProcess { .. }));
}

#[test]
fn a_zombie_is_named() {
    let mut child = Command::new("true").spawn().expect("true starts");
    let pid = child.id().cast_signed();
    wait_until("it ends", || heapray_linux::stat(pid).is_ok_and(|stat| stat.state == 'Z'));
    assert!(matches!(refusal(pid), AttachError::Zombie { .. }));
    child.wait().expect("our child");
}

#[test]
fn a_kernel_thread_is_named() {
    // kthreadd, where we are in the first pid namespace; else another process or none, refused for what it is.
    if heapray_linux::stat(2).is_ok_and(|stat| stat.name == "kthreadd") {
        assert!(matches!(refusal(2), AttachError::KernelThread { .. }));
    }
}

#[test]
fn a_traced_target_names_its_tracer() {
    let target = Target::start("say('ready')\nos.read(0, 1)");
    let mut holder = Holder::start(&target, "in-place");
    holder.moments.shutdown(std::net::Shutdown::Write).expect("connected");
    wait_until("it is traced", || heapray_linux::status(target.pid()).is_ok_and(|status| status.tracer != 0));
    let error = refusal(target.pid());
    assert!(matches!(error, AttachError::AlreadyTraced { .. }), "{error}");
    assert!(error.to_string().contains("heapray-guard"), "{error}");
    holder.kill();
}

#[test]
fn a_process_of_another_user_says_what_to_do() {
    let target = Target::start("say('ready')\nos.read(0, 1)");
    let example = std::env::current_exe().expect("a test has a file");
    let example = example.ancestors().nth(2).expect("target/debug").join("examples/hold");
    let mut command = Command::new(example);
    command.arg(target.pid().to_string()).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    // Only root can become somebody else; anybody else tries process 1, which is not theirs.
    let is_root =
        heapray_linux::status(std::process::id().cast_signed()).is_ok_and(|status| status.uids[1] == 0);
    if is_root {
        command.uid(65534).gid(65534);
    } else {
        command = Command::new(command.get_program());
        command.arg("1").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    }
    let Ok(output) = command.output() else {
        // The build folder may be closed to that user; then there is nothing to be tried.
        return;
    };
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("ptrace denied") && error.contains("run heapray as"), "{error}");
}

#[test]
fn a_filtered_target_is_copied_or_refused_but_never_killed() {
    // A filter that kills on clone (56): copying is possible only where heapray may suspend it.
    let script = "class F(ctypes.Structure): _fields_ = [('code', ctypes.c_uint16), ('jt', ctypes.c_uint8), ('jf', ctypes.c_uint8), ('k', ctypes.c_uint32)]\n\
        class P(ctypes.Structure): _fields_ = [('n', ctypes.c_uint16), ('f', ctypes.POINTER(F))]\n\
        f = (F * 4)(F(0x20, 0, 0, 0), F(0x15, 0, 1, 56), F(0x06, 0, 0, 0x80000000), F(0x06, 0, 0, 0x7fff0000))\n\
        p = P(4, f)\n\
        assert libc.prctl(38, 1, 0, 0, 0) == 0\n\
        assert libc.prctl(22, 2, ctypes.byref(p), 0, 0) == 0\n\
        say('ready')\n\
        say('got', os.read(0, 5))";
    let mut target = Target::start(script);
    assert_eq!(heapray_linux::status(target.pid()).expect("it lives").seccomp, 2);
    match copy(&target) {
        Ok(image) => drop(image),
        Err(error) => assert!(matches!(error, AttachError::Seccomp { mode: 2, .. }), "{error}"),
    }
    assert!(heapray_linux::children(target.pid()).expect("it lives").is_empty());
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
}

#[test]
fn a_target_without_room_for_tasks_goes_on() {
    // RLIMIT_NPROC does not bind root; for others clone fails with EAGAIN, which is explained.
    let script = "import resource\n\
        os.getuid() == 0 and os.setuid(65534)\n\
        libc.prctl(4, 1, 0, 0, 0)\n\
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))\n\
        say('ready')\n\
        say('got', os.read(0, 5))";
    let mut target = Target::start(script);
    match copy(&target) {
        Ok(image) => drop(image),
        Err(error) => assert!(error.to_string().contains("RLIMIT_NPROC"), "{error}"),
    }
    target.say("hello");
    assert_eq!(target.line(), "got b'hello'");
}

#[test]
fn a_target_that_waits_for_all_children_is_refused() {
    let script = "r, w = os.pipe()\n\
        pid = os.fork()\n\
        if pid == 0:\n  os.close(w); os.read(r, 1); os._exit(3)\n\
        os.close(r)\n\
        threading.Thread(target=lambda: (os.read(0, 1), os.close(w))).start()\n\
        say('ready')\n\
        say(os.waitpid(-1, 0x40000000)[0] == pid)\n";
    let mut target = Target::start(script);
    target.wait_for_call(target.pid(), 61);
    let error = copy(&target).expect_err("refused");
    assert!(matches!(error, AttachError::WaitsForAll { .. }), "{error}");
    target.say("x");
    assert_eq!(target.line(), "True");
}
