//! `attach`: records a process that runs already, until it ends, its time is over, or it is told to stop.

use crate::failure::to_stderr;
use crate::recording::{RecordFlags, closing_line, create};
use anyhow::{Context, bail};
use clap::Args;
use heapray_attach::{AttachError, AttachOptions, Attached, Detached, attach_agent, detach_agent};
use heapray_collect::{Drain, Plan};
use heapray_linux::{SignalQueue, SignalSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

const SIGHUP: i32 = 1;
const SIGINT: i32 = 2;
const SIGTERM: i32 = 15;

/// Children that are named at most.
const SHOWN_CHILDREN: usize = 8;

/// Options of `heapray attach`.
#[derive(Args, Debug)]
pub(crate) struct AttachFlags {
    /// Process id.
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
    let (path, file) = create(&flags.record, "attach", flags.pid)?;
    let children = descendants(pid);
    let options = AttachOptions { shared: plan.shared(), ..AttachOptions::default() };
    let attached = attach_agent(pid, options).inspect_err(|_| {
        let _gone = std::fs::remove_file(&path);
    })?;
    let mut recording = Recording::start(flags, plan, path, attached, file)?;
    if !children.is_empty() && !flags.record.quiet {
        to_stderr(&unrecorded(&children));
    }
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
    drain: Drain,
    start: Instant,
}

impl<'a> Recording<'a> {
    fn start(
        flags: &'a AttachFlags,
        plan: Plan,
        path: PathBuf,
        attached: Attached,
        file: std::fs::File,
    ) -> anyhow::Result<Self> {
        let drain = Drain::new(attached.shared.clone(), plan, file).context("cannot record")?;
        if !flags.record.quiet {
            to_stderr(&format!(
                "heapray: recording process {} into {}; it was stopped for {:.1} ms; end with Ctrl+C or heapray detach {}\n",
                flags.pid,
                shown(&path),
                attached.pause.as_secs_f64() * 1e3,
                flags.pid
            ));
        }
        Ok(Self { flags, path, attached, drain, start: Instant::now() })
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
            if matches!(self.attached.check(), Err(AttachError::Exited { .. })) {
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
        let others: Vec<i32> =
            self.drain.pids().into_iter().filter(|pid| *pid != self.attached.pid).collect();
        self.drain.set_recording(false);
        let left = match outcome {
            Outcome::Ended => Vec::new(),
            _ => detach(self.attached, &others),
        };
        let (summary, failure) = self.drain.finish("detached", &[]);
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
            None => Ok(()),
        }
    }
}

/// Takes the agent out of the target and of what it has forked; answers what there is to say about that.
fn detach(attached: Attached, others: &[i32]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut tell = |pid: i32, done: Result<Detached, AttachError>| match done {
        Ok(Detached { left_mapped: Some(why), .. }) => {
            lines.push(format!(
                "heapray: process {pid}: all hooks are out; the agent's memory stays, as {why}\n"
            ));
        }
        Ok(_) | Err(AttachError::Exited { .. } | AttachError::NoSuchProcess { .. }) => {}
        Err(error) => lines.push(format!("heapray: {}\n", heapray_report::sanitize(&error.to_string()))),
    };
    tell(attached.pid, attached.detach());
    for pid in others {
        tell(*pid, detach_agent(*pid, &AttachOptions::default()));
    }
    lines
}

/// The children of a process and theirs, as far as they can be listed, without those that have ended.
fn descendants(pid: i32) -> Vec<i32> {
    let mut found = heapray_linux::children(pid).unwrap_or_default();
    found.retain(|child| heapray_linux::stat(*child).is_ok_and(|stat| stat.state != 'Z'));
    let deeper: Vec<i32> = found.iter().flat_map(|child| descendants(*child)).collect();
    found.extend(deeper);
    found
}

/// What there is to say of children that a process has when it is attached to.
fn unrecorded(pids: &[i32]) -> String {
    let shown: Vec<String> = pids.iter().take(SHOWN_CHILDREN).map(i32::to_string).collect();
    let (more, them) =
        (if pids.len() > SHOWN_CHILDREN { ", …" } else { "" }, if pids.len() == 1 { "it" } else { "each" });
    format!(
        "heapray: of its children only those are recorded that it forks from now on, not {}{more}; for {them}: heapray attach PID\n",
        shown.join(", ")
    )
}

fn shown(path: &Path) -> String {
    heapray_report::sanitize(&path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn children_that_run_already_are_named() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().expect("cat runs");
        let pid = child.id().cast_signed();
        assert!(descendants(std::process::id().cast_signed()).contains(&pid));
        drop(child.stdin.take());
        child.wait().expect("it ends");
        assert!(unrecorded(&[pid]).contains(&format!("not {pid}; for it: heapray attach")));
        assert!(unrecorded(&[7; 9]).contains("7, …; for each"));
    }
}
