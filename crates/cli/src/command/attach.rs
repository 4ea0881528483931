//! `attach`: records a process that runs already, until it ends, its time is over, or it is told to stop.

use crate::below::with_pythons_below;
use crate::failure::to_stderr;
use crate::recording::{Destination, RecordFlags, closing_line, create, memory_stays};
use anyhow::{Context, bail};
use clap::Args;
use heapray_attach::{AttachError, AttachOptions, Attached, Detached, attach_agent, detach_agent};
use heapray_collect::{Drain, Plan};
use heapray_linux::{SignalQueue, SignalSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Children that are named at most.
const SHOWN_CHILDREN: usize = 8;

/// Options of `heapray attach`.
#[derive(Args, Debug)]
pub(crate) struct AttachFlags {
    /// Process id; its children are recorded too, those that it has and those to come.
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: u32,
    #[command(flatten)]
    record: RecordFlags,
}

/// Records until the end, and takes the agent out again.
pub(crate) fn run(flags: &AttachFlags) -> anyhow::Result<()> {
    let pid = flags.pid.cast_signed();
    let command = heapray_linux::command_line(pid).unwrap_or_default();
    let plan = flags.record.plan(command, false)?;
    // Blocked before any thread is started: a signal ends the recording, never us.
    let ends = [SIGHUP, SIGINT, SIGTERM];
    let set = SignalSet::of(&[&ends[..], flags.record.signal.as_slice()].concat());
    set.block();
    let signals = SignalQueue::new(&set).context("cannot read signals (signalfd)")?;
    let destination = create(&flags.record, "attach", flags.pid)?;
    let shared = plan.shared();
    let options = || AttachOptions { shared, ..AttachOptions::default() };
    let attached = match attach_agent(pid, options()) {
        Ok(attached) => attached,
        Err(error) => {
            destination.abandon();
            let is_other = matches!(error, AttachError::NotPython { .. });
            let error = anyhow::Error::from(error);
            return Err(if is_other { with_pythons_below(error, flags.pid.cast_signed()) } else { error });
        }
    };
    let mut recording = Recording::start(flags, plan, destination, attached)?;
    // Those that it forks from now on are recorded by themselves.
    recording.attach_children(options);
    let outcome = recording.record(&signals);
    recording.finish(outcome)
}

/// Why a recording is over.
#[derive(Debug)]
enum Outcome {
    Ended,
    Told,
    Failed(std::io::Error),
}

struct Recording<'a> {
    flags: &'a AttachFlags,
    path: PathBuf,
    attached: Attached,
    /// Processes that the target had forked before.
    children: Vec<Attached>,
    drain: Drain,
    start: Instant,
}

impl<'a> Recording<'a> {
    fn start(
        flags: &'a AttachFlags,
        plan: Plan,
        destination: Destination,
        attached: Attached,
    ) -> anyhow::Result<Self> {
        let (path, file) = destination.begin().context("cannot record")?;
        let drain = Drain::new(attached.shared.clone(), plan, file).context("cannot record")?;
        if !flags.record.quiet {
            flags.record.limit_remark(attached.pid).iter().for_each(|line| to_stderr(line));
            to_stderr(&format!(
                "heapray: recording process {} into {}; it was stopped for {:.1} ms; end with Ctrl+C or heapray detach {}\n",
                flags.pid,
                shown(&path),
                attached.pause.as_secs_f64() * 1e3,
                flags.pid
            ));
        }
        Ok(Self { flags, path, attached, children: Vec::new(), drain, start: Instant::now() })
    }

    /// Attaches to the Pythons among the descendants that the target has already.
    fn attach_children(&mut self, options: impl Fn() -> AttachOptions) {
        let mut lines = Vec::new();
        let target = self.attached.pid;
        for pid in heapray_attach::tree(target).into_iter().filter(|pid| *pid != target) {
            match attach_agent(pid, options()) {
                Ok(child) => {
                    self.drain.add(child.shared.clone());
                    self.children.push(child);
                }
                // It has come since, or is not for us.
                Err(
                    AttachError::AlreadyRecorded { .. }
                    | AttachError::NoSuchProcess { .. }
                    | AttachError::Zombie { .. }
                    | AttachError::Exited { .. }
                    | AttachError::NotPython { .. },
                ) => {}
                Err(error) => lines.push(format!(
                    "heapray: not recorded: {}\n",
                    heapray_report::sanitize(&error.to_string())
                )),
            }
            // Agents take a second of silence for our death.
            self.drain.round();
        }
        if !self.children.is_empty() {
            lines.push(recorded_too(&self.children));
        }
        if !self.flags.record.quiet {
            lines.iter().for_each(|line| to_stderr(line));
        }
    }

    /// Whether the target has ended, and all of its children, also those that it has forked since.
    fn has_ended(&self) -> bool {
        let mut all = self.children.iter().chain([&self.attached]);
        all.all(|attached| matches!(attached.check(), Err(AttachError::Exited { .. })))
            && self.drain.is_deserted()
    }

    fn record(&mut self, signals: &SignalQueue) -> Outcome {
        loop {
            let round = self.drain.round();
            if let Some(error) = round.failure {
                return Outcome::Failed(error);
            }
            let limit = self.flags.record.duration;
            if round.detach || limit.is_some_and(|limit| self.start.elapsed() >= limit) {
                return Outcome::Told;
            }
            if self.has_ended() {
                return Outcome::Ended;
            }
            // EINTR and the like are nothing; the next round looks again.
            let _ready = heapray_linux::poll(&[signals.as_fd()], round.wait);
            while let Some(received) = signals.take() {
                if Some(received.signal) == self.flags.record.signal {
                    self.drain.toggle();
                } else {
                    return Outcome::Told;
                }
            }
        }
    }

    fn finish(mut self, outcome: Outcome) -> anyhow::Result<()> {
        let mut attached = self.children;
        attached.push(self.attached);
        let mut others = self.drain.pids();
        others.retain(|pid| attached.iter().all(|attached| attached.pid != *pid));
        self.drain.hush();
        let (left, stuck) = match outcome {
            Outcome::Ended => Default::default(),
            _ => meanwhile(&mut self.drain, || detach(attached, &others)),
        };
        let (summary, failure) = self.drain.finish("detached");
        if !self.flags.record.quiet {
            let seconds = self.start.elapsed().as_secs_f64();
            to_stderr(&closing_line(&self.path, &summary, seconds));
            left.iter().for_each(|line| to_stderr(line));
        }
        let failure = match outcome {
            Outcome::Failed(error) => Some(error),
            _ => failure,
        };
        match failure {
            Some(error) => {
                bail!("cannot write {}: {error}; the process goes on, unrecorded", shown(&self.path))
            }
            None if !stuck.is_empty() => bail!("{}", stuck.join("\n")),
            None => Ok(()),
        }
    }
}

/// Does something, and reads the rings until it is done: a process whose agent is still in waits for nobody.
fn meanwhile<T>(drain: &mut Drain, what: impl FnOnce() -> T) -> T {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(drain.round().wait);
            }
        });
        let answer = what();
        is_done.store(true, Ordering::Relaxed);
        answer
    })
}

/// Takes the agent out of the target and of what it has forked; answers what there is to say about that, and where it failed.
fn detach(attached: Vec<Attached>, others: &[i32]) -> (Vec<String>, Vec<String>) {
    let (mut lines, mut stuck) = (Vec::new(), Vec::new());
    let mut tell = |pid: i32, done: Result<Detached, AttachError>| match done {
        Ok(Detached { left_mapped: Some(why), .. }) => {
            lines.push(memory_stays(pid, why));
        }
        Ok(_) | Err(AttachError::Exited { .. } | AttachError::NoSuchProcess { .. }) => {}
        Err(error) => stuck.push(format!(
            "the agent is still in process {pid}, idle: {}; then heapray detach {pid} takes it out",
            heapray_report::sanitize(&error.to_string())
        )),
    };
    for attached in attached {
        tell(attached.pid, attached.detach());
    }
    for pid in others {
        tell(*pid, detach_agent(*pid, &AttachOptions::default()));
    }
    (lines, stuck)
}

/// Which children are recorded as well, and how long each was stopped.
fn recorded_too(children: &[Attached]) -> String {
    let pids: Vec<String> = children.iter().take(SHOWN_CHILDREN).map(|child| child.pid.to_string()).collect();
    let more = if children.len() > SHOWN_CHILDREN { ", …" } else { "" };
    let longest = children.iter().map(|child| child.pause).max().unwrap_or_default();
    let ms = longest.as_secs_f64() * 1e3;
    format!(
        "heapray: recording its children {}{more} too; each was stopped for {ms:.1} ms at most\n",
        pids.join(", ")
    )
}

fn shown(path: &Path) -> String {
    heapray_report::sanitize(&path.display().to_string())
}
