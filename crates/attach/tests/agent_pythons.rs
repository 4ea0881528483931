//! Every Python of this machine can be recorded: shared or static, stripped or not, behind a root of its own.

mod support;

use std::io::Read;
use std::process::Stdio;

use heapray_attach::{AttachError, AttachOptions, attach_agent};
use heapray_testkit::{find_other_pythons, find_pythons};
use support::{Outside, Target, check_same};

/// Works while it is recorded, so that the stacks of its threads are full of the agent's addresses when it sleeps.
const WORKING: &str = "import json\n\
    def work():\n\
    \x20 for n in range(100): json.loads(json.dumps({'a': list(range(50)), 'b': 'c' * n})); bytearray(10000 * n)\n\
    def wait():\n\
    \x20 while True: gate.wait(); work(); done.release(); rest.wait()\n\
    gate, rest, done = threading.Event(), threading.Event(), threading.Semaphore(0)\n\
    for _ in range(4): threading.Thread(target=wait, daemon=True).start()\n\
    say('ready')\n\
    os.read(0, 1)\n\
    gate.set()\n\
    for _ in range(4): done.acquire()\n\
    say('worked')\n\
    say('got', os.read(0, 10))\n\
    os._exit(3)\n";

#[test]
fn every_python_is_recorded_and_left_clean() {
    for python in find_pythons() {
        let mut target = Target::start_in(WORKING, python.command());
        let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached");
        let slot = attached.shared.slot(0).expect("there");
        assert!(slot.header().n_objects.load(std::sync::atomic::Ordering::Relaxed) > 0);
        target.say("x");
        assert_eq!(target.line(), "worked", "{}", python.version());
        let detached = attached.detach().expect("detached");
        assert_eq!(detached.left_mapped, None, "{}", python.version());
        assert_eq!(heapray_attach::find_recording(target.pid()).expect("it lives"), None);
        let settled = Outside::of(target.pid());
        let attached = attach_agent(target.pid(), AttachOptions::default()).expect("attached again");
        attached.detach().expect("detached");
        check_same(target.pid(), &settled);
        target.say("hello");
        assert_eq!(target.line(), "got b'hello'", "{}", python.version());
        assert_eq!(target.finish().code(), Some(3), "{}", python.version());
    }
}

#[test]
fn other_pythons_are_refused_by_name() {
    for python in find_other_pythons() {
        // Python 2 and 3 alike.
        let script = "import os\nos.write(1, b'ready')\nos.read(0, 1)";
        let mut command = python.command();
        let mut child = command
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it was found, so it starts");
        child.stdout.as_mut().expect("piped").read_exact(&mut [0; 5]).expect("it says so");
        let outcome = attach_agent(child.id().cast_signed(), AttachOptions::default());
        let error = outcome.expect_err("not supported");
        assert!(matches!(error, AttachError::NotPython { .. }), "{}: {error}", python.version());
        drop(child.stdin.take());
        assert!(child.wait().expect("our child").success(), "{} goes on", python.version());
    }
}
