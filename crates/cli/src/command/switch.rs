//! `on`, `off` and `detach`: tell the heapray that records a process, from another terminal.

use crate::failure::to_stderr;
use crate::recording::memory_stays;
use anyhow::bail;
use clap::Args;
use heapray_attach::{
    AttachError, AttachOptions, Command, Detached, Recording, detach_agent, find_recording,
};
use std::time::{Duration, Instant};

/// How long the collector may take to obey; it looks at least every 50 ms.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long it may take to get out of a process: threads that wait inside the agent are given 20 s, more where there is no time to run.
const PATIENCE_DETACH: Duration = Duration::from_secs(120);

/// What the names of our guardians begin with.
const OUR_NAME: &str = "heapray";

/// How often to look whether it has.
const PAUSE: Duration = Duration::from_millis(10);

/// Options of `heapray on`, `off` and `detach`.
#[derive(Args, Debug)]
pub(crate) struct SwitchFlags {
    /// A process that is being recorded.
    #[arg(value_name = "PID", value_parser = clap::value_parser!(u32).range(1..=i64::from(i32::MAX)))]
    pid: u32,
}

/// Switches recording on or off, and waits until it is.
pub(crate) fn switch(flags: &SwitchFlags, on: bool) -> anyhow::Result<()> {
    let recording = find(flags)?;
    if recording.is_finished {
        bail!("cannot switch the recording of process {}: its recording has ended", flags.pid);
    }
    recording.ask(if on { Command::On } else { Command::Off })?;
    wait(flags, PATIENCE, |recording| recording.is_none_or(|recording| recording.is_on == on))?;
    let (was, now) = (recording.is_on, if on { "on" } else { "off" });
    let already = if was == on { " already" } else { "" };
    to_stderr(&format!("heapray: the recording of process {} is {now}{already}\n", flags.pid));
    Ok(())
}

/// Ends the recording: `attach` takes its agent out, `run` stops to record. Takes out an agent that was left behind.
pub(crate) fn detach(flags: &SwitchFlags) -> anyhow::Result<()> {
    let recording = find(flags)?;
    if !recording.is_finished && beats(flags, &recording) {
        recording.ask(Command::Detach)?;
        // It has tried to take its agents out by then.
        wait(flags, PATIENCE_DETACH, |recording| recording.is_none_or(|recording| recording.is_finished))?;
        if find_recording(flags.pid.cast_signed()).is_ok_and(|now| now.is_some_and(|now| now.is_attached)) {
            bail!(
                "the recording of process {0} has ended, but its agent's memory is still there, idle: the heapray that \
                 recorded it says why; heapray detach {0} tries again",
                flags.pid
            );
        }
        return Ok(());
    }
    if !recording.is_attached {
        return Ok(());
    }
    match detach_agent(flags.pid.cast_signed(), &AttachOptions::default()) {
        Ok(Detached { left_mapped: Some(why), .. }) => {
            to_stderr(&memory_stays(flags.pid.cast_signed(), why));
            Ok(())
        }
        // The guardian of a heapray that was killed is at it.
        Err(AttachError::AlreadyTraced { tracer_name, .. }) if tracer_name.starts_with(OUR_NAME) => {
            wait(flags, PATIENCE_DETACH, |recording| recording.is_none())
        }
        // It was faster.
        Err(AttachError::NotRecorded { .. }) => Ok(()),
        done => Ok(done.map(|_| ())?),
    }
}

fn find(flags: &SwitchFlags) -> anyhow::Result<Recording> {
    match find_recording(flags.pid.cast_signed())? {
        Some(recording) => Ok(recording),
        None => bail!(
            "process {} is not being recorded; start it with heapray run, or use heapray attach {}",
            flags.pid,
            flags.pid
        ),
    }
}

/// Whether somebody drains the recording.
fn beats(flags: &SwitchFlags, before: &Recording) -> bool {
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        std::thread::sleep(PAUSE);
        match find_recording(flags.pid.cast_signed()) {
            Ok(Some(now)) if now.heartbeat == before.heartbeat => {}
            Ok(Some(_)) => return true,
            _ => return false,
        }
    }
    false
}

fn wait(
    flags: &SwitchFlags,
    patience: Duration,
    done: impl Fn(Option<Recording>) -> bool,
) -> anyhow::Result<()> {
    let end = Instant::now() + patience;
    while Instant::now() < end {
        // A process that is gone is recorded by nobody.
        if done(find_recording(flags.pid.cast_signed()).unwrap_or(None)) {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    bail!("the heapray that records process {} does not answer; is it stopped?", flags.pid)
}
