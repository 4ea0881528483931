//! Starts a program with the agent preloaded, and stands for it: signals, job control, exit status.
//!
//! The program inherits our descriptors, terminal, process group, signal dispositions and mask; nothing stands between it
//! and its user. What is sent to us is passed on; what the terminal's keys send reaches it anyway. Signals are blocked and
//! read from a descriptor, so none is lost and none interrupts the collector.

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use heapray_linux::{ChildNews, Received, SignalQueue, SignalSet};
use heapray_wire::ring::CONTROL_VARIABLE;
use thiserror::Error;

use crate::preload::PreloadFile;
use crate::shared::SharedFile;

const PRELOAD_VARIABLE: &str = "LD_PRELOAD";
/// SIGHUP, SIGINT, SIGQUIT, SIGTERM.
const ENDING_SIGNALS: [i32; 4] = [1, 2, 3, 15];
const SIGCHLD: i32 = 17;
const SIGCONT: i32 = 18;
const SIGTSTP: i32 = 20;
const SIGTTIN: i32 = 21;
const SIGTTOU: i32 = 22;
/// So long after we were asked to stop, a program that stops does it for that reason (it may clear its screen first).
const STOP_PATIENCE: Duration = Duration::from_secs(2);

/// Why a program was not started.
#[derive(Debug, Error)]
pub enum LaunchError {
    /// There is no program of that name.
    #[error("cannot start {program}: {source}; is it spelt right, and in PATH?")]
    NotFound {
        /// As it was asked for.
        program: String,
        /// The error.
        source: io::Error,
    },
    /// There is one, but it does not start.
    #[error("cannot start {program}: {source}")]
    NotStarted {
        /// As it was asked for.
        program: String,
        /// The error.
        source: io::Error,
    },
    /// An argument or a variable has a NUL in it.
    #[error("cannot start {program}: {what} contains a NUL byte")]
    Nul {
        /// As it was asked for.
        program: String,
        /// An argument or the name of a variable.
        what: String,
    },
    /// This build carries no agent.
    #[error(
        "this heapray was built for another architecture without its agent; build it on a machine of that kind"
    )]
    NoImage,
    /// The agent's file could not be written.
    #[error(
        "cannot write the agent to {folder}: {source}; set TMPDIR to a folder whose files may be executed"
    )]
    NoFile {
        /// The last folder that was tried.
        folder: PathBuf,
        /// The error.
        source: io::Error,
    },
    /// Signals cannot be read.
    #[error("cannot read signals (signalfd): {source}")]
    Signals {
        /// The error.
        source: io::Error,
    },
}

impl LaunchError {
    /// The exit status that shells give for this: 127 not found, 126 not started, 2 for trouble of our own.
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::NotFound { .. } => 127,
            Self::NotStarted { .. } | Self::Nul { .. } => 126,
            _ => 2,
        }
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// By itself, with this status.
    Exited(i32),
    /// By this signal.
    Killed(i32),
    /// Somebody else reaped it; nothing is known.
    Unknown,
}

impl Ending {
    /// Ends this process in the same way: by the same signal, or with the answered status. Call it last, when everything
    /// is closed.
    pub fn mirror(self) -> u8 {
        match self {
            Self::Exited(status) => u8::try_from(status & 0xff).unwrap_or(u8::MAX),
            Self::Killed(signal) => {
                heapray_linux::suffer(signal);
                // A signal that did not end us; as shells tell it.
                u8::try_from(128 + signal).unwrap_or(u8::MAX)
            }
            Self::Unknown => 2,
        }
    }
}

/// A program that was started with the agent. Dropping it takes the agent's file away; the program runs on.
#[derive(Debug)]
pub struct Launched {
    pid: i32,
    signals: SignalQueue,
    stopped: bool,
    /// We were asked to stop, as jobs of a shell are, by this signal.
    asked: Option<(i32, Instant)>,
    ending: Option<Ending>,
    /// A signal that is meant for us, and how often it came.
    kept: (i32, u32),
    _file: PreloadFile,
}

/// Starts `command` with the agent preloaded, which finds `shared` by our process. To be called before any other thread is
/// started: signals must be blocked in all of them.
///
/// # Errors
/// See [`LaunchError`]; nothing is left behind.
pub fn launch(command: &[OsString], shared: &SharedFile) -> Result<Launched, LaunchError> {
    let image = crate::agent_image();
    if image.is_empty() {
        return Err(LaunchError::NoImage);
    }
    let file =
        PreloadFile::write(image).map_err(|(folder, source)| LaunchError::NoFile { folder, source })?;
    let program = command.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let text = |text: &OsStr| {
        let nul =
            |_| LaunchError::Nul { program: program.clone(), what: text.to_string_lossy().into_owned() };
        CString::new(text.as_bytes()).map_err(nul)
    };
    let args = command.iter().map(|arg| text(arg)).collect::<Result<Vec<_>, _>>()?;
    let preload = with_preload(std::env::var_os(PRELOAD_VARIABLE), file.path().as_os_str());
    let ours = [(PRELOAD_VARIABLE, preload), (CONTROL_VARIABLE, shared.path().into_os_string())];
    let environment = environment(&ours).iter().map(|entry| text(entry)).collect::<Result<Vec<_>, _>>()?;
    let mut wanted = heapray_linux::forwardable_signals();
    wanted.push(SIGCHLD);
    let set = SignalSet::of(&wanted);
    let before = set.block();
    let signals = SignalQueue::new(&set).map_err(|source| LaunchError::Signals { source })?;
    let pid = heapray_linux::spawn(&args, &environment, &before).map_err(|source| {
        before.restore();
        match source.kind() {
            io::ErrorKind::NotFound => LaunchError::NotFound { program: program.clone(), source },
            _ => LaunchError::NotStarted { program: program.clone(), source },
        }
    })?;
    Ok(Launched { pid, signals, stopped: false, asked: None, ending: None, kept: (0, 0), _file: file })
}

/// `LD_PRELOAD` with our file behind what is there: others' allocators stay the first.
fn with_preload(before: Option<OsString>, ours: &OsStr) -> OsString {
    match before.filter(|text| !text.is_empty()) {
        Some(mut text) => {
            text.push(":");
            text.push(ours);
            text
        }
        None => ours.to_owned(),
    }
}

/// Our environment with `changes`, in its order.
fn environment(changes: &[(&str, OsString)]) -> Vec<OsString> {
    let is_changed = |name: &OsStr| changes.iter().any(|(changed, _)| name == *changed);
    let kept = std::env::vars_os().filter(|(name, _)| !is_changed(name));
    let changed = changes.iter().map(|(name, value)| (OsString::from(name), value.clone()));
    kept.chain(changed)
        .map(|(name, value)| OsString::from_vec([name.as_bytes(), b"=", value.as_bytes()].concat()))
        .collect()
}

impl Launched {
    /// The program.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits at most `timeout` for the program's end, passing signals on and stopping with it meanwhile; `None` where it
    /// runs on. To be called again and again: while nobody does, signals wait.
    pub fn wait(&mut self, timeout: Duration) -> Option<Ending> {
        if self.ending.is_none() {
            // EINTR and the like are answered as nothing; the next round looks again.
            let _ready = heapray_linux::poll(&[self.signals.as_fd()], timeout);
            while let Some(received) = self.signals.take() {
                self.pass_on(received);
            }
            self.look();
            self.stop_too();
        }
        self.ending
    }

    /// Waits at most `timeout` for a signal that tells us to end, when the program has: by a key of the terminal or by anybody.
    pub fn is_told_to_end(&mut self, timeout: Duration) -> bool {
        // As above.
        let _ready = heapray_linux::poll(&[self.signals.as_fd()], timeout);
        let mut is_told = false;
        while let Some(received) = self.signals.take() {
            self.kept.1 += u32::from(received.signal == self.kept.0);
            is_told |= received.signal != self.kept.0 && ENDING_SIGNALS.contains(&received.signal);
            if [SIGTSTP, SIGTTIN, SIGTTOU].contains(&received.signal) {
                heapray_linux::suffer(received.signal);
            }
        }
        is_told
    }

    /// From now on `signal` is meant for us, not for the program.
    pub fn keep(&mut self, signal: i32) {
        self.kept.0 = signal;
    }

    /// How often the kept signal came since this was last asked.
    pub fn take_kept(&mut self) -> u32 {
        std::mem::take(&mut self.kept.1)
    }

    /// Sends `signal` to the program.
    pub fn signal(&self, signal: i32) {
        if self.ending.is_none() {
            // It is our child and not reaped, so the pid is still its own.
            let _zombie = heapray_linux::kill(self.pid, signal);
        }
    }

    fn pass_on(&mut self, received: Received) {
        if [SIGTSTP, SIGTTIN, SIGTTOU].contains(&received.signal) {
            self.asked = Some((received.signal, Instant::now()));
        }
        if received.signal == self.kept.0 {
            self.kept.1 += 1;
            return;
        }
        let is_ours = received.signal == SIGCHLD;
        // A key of the terminal reaches every process of the foreground group; a child of ours that signals its parent,
        // or its whole group, does not mean itself.
        if is_ours || received.from_kernel || received.sender == self.pid {
            return;
        }
        // SIGCONT went to the whole group when a shell lets a job on; a program that is not stopped need not know.
        if received.signal == SIGCONT && !self.is_stopped() {
            return;
        }
        self.signal(received.signal);
    }

    fn is_stopped(&self) -> bool {
        self.stopped || heapray_linux::stat(self.pid).is_ok_and(|stat| stat.state == 'T')
    }

    fn look(&mut self) {
        loop {
            match heapray_linux::child_news(self.pid) {
                Ok(None) => return,
                Ok(Some(ChildNews::Exited(status))) => self.ending = Some(Ending::Exited(status)),
                Ok(Some(ChildNews::Killed(signal))) => self.ending = Some(Ending::Killed(signal)),
                Ok(Some(ChildNews::Continued)) => self.stopped = false,
                Ok(Some(ChildNews::Stopped(_))) => self.stopped = true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => self.ending = Some(Ending::Unknown),
            }
            if self.ending.is_some() {
                return;
            }
        }
    }

    /// A job of a shell stops as a whole: where the program did what we were asked too, so do we, until SIGCONT. A program
    /// that somebody stops by itself does not stop its collector.
    fn stop_too(&mut self) {
        let asked = self.asked.filter(|(_, when)| when.elapsed() < STOP_PATIENCE);
        if let Some((signal, _)) = asked.filter(|_| self.stopped) {
            self.asked = None;
            heapray_linux::suffer(signal);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_file_comes_behind_what_is_preloaded() {
        let ours = OsStr::new("/tmp/a.so");
        assert_eq!(with_preload(None, ours), "/tmp/a.so");
        assert_eq!(with_preload(Some("".into()), ours), "/tmp/a.so");
        assert_eq!(with_preload(Some("libjemalloc.so.2".into()), ours), "libjemalloc.so.2:/tmp/a.so");
    }

    #[test]
    fn the_environment_is_kept_but_for_the_changes() {
        let ours = environment(&[("PATH", "x".into()), ("HEAPRAY_CONTROL", "y".into())]);
        let n_paths = ours.iter().filter(|entry| entry.as_bytes().starts_with(b"PATH=")).count();
        assert_eq!(
            (n_paths, ours.last().map(OsString::as_os_str)),
            (1, Some(OsStr::new("HEAPRAY_CONTROL=y")))
        );
        assert!(ours.len() > std::env::vars_os().count());
    }

    #[test]
    fn statuses_are_as_shells_tell_them() {
        let source = || io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(LaunchError::NotFound { program: "x".into(), source: source() }.exit_status(), 127);
        assert_eq!(LaunchError::NotStarted { program: "x".into(), source: source() }.exit_status(), 126);
        assert_eq!(LaunchError::NoImage.exit_status(), 2);
        assert_eq!((Ending::Exited(300).mirror(), Ending::Unknown.mirror()), (44, 2));
    }
}
