//! What the tests of `attach` need: small Python targets, what can be seen of a process from outside, and a heapray that
//! can be killed.

#![allow(dead_code, reason = "each test file uses its part")]

pub(crate) mod image;

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use heapray_attach::{AttachError, CopyOptions, Image};

/// A Python that runs a script; killed when dropped.
pub(crate) struct Target {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    /// A word on its command line that nobody else has.
    pub(crate) token: String,
}

impl Target {
    /// Starts `script`, which prints a line when it is ready; `libc` is ready for use in it.
    pub(crate) fn start(script: &str) -> Self {
        Self::start_in(script, Command::new(python()))
    }

    /// As [`Target::start`], by a command that ends in a Python.
    pub(crate) fn start_in(script: &str, mut command: Command) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let token = format!("target-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let head = "import ctypes, os, sys, time, threading, signal, select, socket\n\
            libc = ctypes.CDLL(None, use_errno=True)\n\
            def say(*words): print(*words, flush=True)\n";
        let mut child = command
            .args(["-c", &format!("{head}{script}"), &token])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a Python is installed");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut target = Self { input: child.stdin.take(), child, output, token };
        assert_eq!(target.line().split(' ').next(), Some("ready"), "the target starts");
        target
    }

    pub(crate) fn pid(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// Its next line.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the target writes text");
        line.trim_end().to_owned()
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.input.as_mut().expect("open").write_all(text.as_bytes()).expect("the target reads");
    }

    pub(crate) fn signal(&self, signal: i32) {
        heapray_linux::kill(self.pid(), signal).expect("the target lives");
    }

    /// Closes its input and waits for its end.
    pub(crate) fn finish(mut self) -> ExitStatus {
        drop(self.input.take());
        self.child.wait().expect("our child")
    }

    /// Waits until its thread `tid` is inside system call `number`.
    pub(crate) fn wait_for_call(&self, tid: i32, number: u64) {
        let path = format!("/proc/{}/task/{tid}/syscall", self.pid());
        let wanted = format!("{number} ");
        wait_until("the target enters its call", || {
            std::fs::read_to_string(&path).is_ok_and(|text| text.starts_with(&wanted))
        });
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Waits for something that will happen; a test that waits for what does not happen is ended by its runner.
pub(crate) fn wait_until(what: &str, mut happened: impl FnMut() -> bool) {
    let begin = std::time::Instant::now();
    while !happened() {
        assert!(begin.elapsed().as_secs() < 60, "waited in vain until {what}");
        std::thread::yield_now();
    }
}

fn python() -> PathBuf {
    let system = PathBuf::from("/usr/bin/python3");
    if system.exists() { system } else { PathBuf::from("python3") }
}

/// What can be seen of a process from outside, and what its parts must not change.
#[derive(Debug)]
pub(crate) struct Outside {
    maps: String,
    descriptors: Vec<(i32, PathBuf)>,
    children: Vec<i32>,
    threads: Vec<i32>,
    signals: Vec<[u64; 5]>,
    tracer: i32,
    stopped: bool,
}

impl Outside {
    pub(crate) fn of(pid: i32) -> Self {
        let threads = heapray_linux::threads(pid).expect("it lives");
        let signals = |tid: &i32| {
            let status = heapray_linux::thread_status(pid, *tid).expect("it lives");
            [status.pending, status.shared_pending, status.blocked, status.ignored, status.caught]
        };
        let status = heapray_linux::status(pid).expect("it lives");
        Self {
            maps: std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("it lives"),
            descriptors: heapray_linux::file_descriptors(pid).expect("it lives"),
            children: heapray_linux::children(pid).expect("it lives"),
            signals: threads.iter().map(signals).collect(),
            threads,
            tracer: status.tracer,
            stopped: status.state == 'T',
        }
    }
}

/// Compares short: what differs, not all of it. A stopped process that its tracer lets go is awake for some microseconds
/// in the kernel until it stops again (`__ptrace_unlink`, kernel/ptrace.c), without running any code of its own.
pub(crate) fn check_same(pid: i32, before: &Outside) {
    let after = check_same_but_memory(pid, before);
    let lines = |outside: &Outside| {
        outside.maps.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>()
    };
    let changed: Vec<String> = lines(&after).symmetric_difference(&lines(before)).cloned().collect();
    assert!(changed.is_empty(), "maps: {changed:?}");
}

/// As [`check_same`], but for the memory map. What is seen now.
pub(crate) fn check_same_but_memory(pid: i32, before: &Outside) -> Outside {
    if before.stopped {
        wait_until("it is stopped again", || heapray_linux::stat(pid).is_ok_and(|stat| stat.state == 'T'));
    }
    let after = Outside::of(pid);
    assert_eq!(after.children, before.children, "children");
    assert_eq!((after.tracer, after.stopped), (before.tracer, before.stopped), "tracer, stopped");
    assert_eq!((&after.threads, &after.signals), (&before.threads, &before.signals), "threads, signals");
    assert_eq!(after.descriptors, before.descriptors, "descriptors");
    after
}

/// All processes with `token` on their command line, zombies not.
pub(crate) fn processes_with(token: &str) -> Vec<i32> {
    let all = std::fs::read_dir("/proc").expect("it is mounted");
    let mut out: Vec<i32> = all
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = heapray_linux::command_line(*pid).unwrap_or_default();
            line.last().is_some_and(|word| word.to_string_lossy() == token)
        })
        .collect();
    out.sort_unstable();
    out
}

/// A copy with everything at its default.
pub(crate) fn copy(target: &Target) -> Result<Image, AttachError> {
    heapray_attach::copy(target.pid(), CopyOptions::default())
}

/// A heapray in a process of its own that can be killed, and the socket on which its guardian tells its moments.
pub(crate) struct Holder {
    pub(crate) child: Child,
    pub(crate) moments: UnixStream,
}

impl Holder {
    /// Starts the example `hold` on a target. `how`: `copy` or `in-place`.
    pub(crate) fn start(target: &Target, how: &str) -> Self {
        Self::start_example("hold", target, how)
    }

    /// Starts an example on a target. `how`: its second argument.
    pub(crate) fn start_example(name: &str, target: &Target, how: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("heapray-{}", target.token));
        std::fs::create_dir_all(&folder).expect("temporary folder");
        let path = folder.join("moments");
        let listener = UnixListener::bind(&path).expect("a fresh path");
        let child = Command::new(example(name))
            .args([target.pid().to_string().as_str(), how])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the example is built: run all tests of this package");
        let (moments, _) = listener.accept().expect("it connects");
        std::fs::remove_dir_all(folder).expect("temporary folder");
        Self { child, moments }
    }

    /// Waits for the next moment; `None` when the guardian is gone.
    pub(crate) fn moment(&mut self) -> Option<u8> {
        let mut byte = [0];
        match self.moments.read_exact(&mut byte) {
            Ok(()) => Some(byte[0]),
            // Closed with our answer unread, or simply closed.
            Err(error) => {
                let ends = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
                assert!(ends.contains(&error.kind()), "{error}");
                None
            }
        }
    }

    /// Lets the guardian on.
    pub(crate) fn go_on(&mut self) {
        // A guardian that was killed does not listen.
        let _gone = self.moments.write_all(&[1]);
    }

    /// The guardian, as long as the holder lives.
    pub(crate) fn guardian(&self) -> Option<i32> {
        let children = heapray_linux::children(self.child.id().cast_signed()).unwrap_or_default();
        children
            .into_iter()
            .find(|pid| heapray_linux::stat(*pid).is_ok_and(|stat| stat.name == "heapray-guard"))
    }

    /// Lets the guardian run through all its moments; the answer is the last one.
    pub(crate) fn run_out(&mut self) -> Option<u8> {
        let mut last = None;
        while let Some(moment) = self.moment() {
            last = Some(moment);
            self.go_on();
        }
        last
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("our child");
        self.child.wait().expect("our child");
    }

    /// Closes its input and waits for its end; its error text.
    pub(crate) fn finish(mut self) -> (ExitStatus, String) {
        drop(self.child.stdin.take());
        self.run_out();
        let output = self.child.wait_with_output().expect("our child");
        (output.status, String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// An example of this package; built where all tests of it are.
pub(crate) fn example(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test has a file");
    let folder = own.parent().and_then(std::path::Path::parent).expect("target/debug/deps");
    folder.join("examples").join(name)
}
