//! `run`: starts a program and records it and its children. Stands for it: its exit status, signals and terminal are the
//! program's.

use crate::failure::to_stderr;
use crate::recording::{RecordFlags, closing_line, create, seed};
use clap::Args;
use heapray_attach::{Ending, LaunchError, Launched, SharedFile, launch};
use heapray_collect::Drain;
use heapray_wire::TaskEnd;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long to wait for the program's end at once when nothing is recorded any more.
const IDLE: Duration = Duration::from_secs(1);

/// Processes that are named at most.
const SHOWN_PIDS: usize = 8;

/// Options of `heapray run`.
#[derive(Args, Debug)]
pub(crate) struct RunFlags {
    #[command(flatten)]
    record: RecordFlags,
    /// Stay and go on recording until the last process that the program has started is gone (a daemon's).
    #[arg(long)]
    until_last: bool,
    /// The program and its arguments, as in a shell.
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<OsString>,
}

/// Runs the program; answers its exit status.
pub(crate) fn run(flags: &RunFlags) -> anyhow::Result<ExitCode> {
    let plan = flags.record.plan(flags.command.clone(), true)?;
    let shared = SharedFile::create(&plan.shared())
        .map_err(|error| anyhow::anyhow!("cannot make the memory file of a recording: {error}"))?;
    shared.control().seed.store(seed(), Ordering::Relaxed);
    let destination = create(&flags.record, &name_of(&flags.command), std::process::id())?;
    let mut launched = match launch(&flags.command, &shared) {
        Ok(launched) => launched,
        Err(error) => {
            destination.abandon();
            return Ok(refuse(&error));
        }
    };
    if let Some(signal) = flags.record.signal {
        launched.keep(signal);
    }
    if !flags.record.quiet {
        flags.record.limit_remark(launched.pid()).iter().for_each(|line| to_stderr(line));
    }
    let path = destination.path.clone();
    let drain = destination.begin().and_then(|(_, file)| Drain::new(Arc::new(shared), plan, file));
    let recording = match drain {
        Ok(drain) => Some(Box::new(drain)),
        Err(error) => {
            to_stderr(&format!("heapray: cannot record: {error}; the program goes on\n"));
            None
        }
    };
    let mut run = Run { flags, path, launched, recording, start: Instant::now() };
    let ending = run.record();
    // The agent's file goes before we do, whichever way that is.
    drop(run);
    Ok(ExitCode::from(ending.mirror()))
}

/// The program's name, for the file's.
fn name_of(command: &[OsString]) -> String {
    let name = command.first().and_then(|program| Path::new(program).file_name()).unwrap_or_default();
    name.to_string_lossy().chars().map(|c| if c.is_control() { '_' } else { c }).collect()
}

/// Says why nothing was started, with the status that shells give.
fn refuse(error: &LaunchError) -> ExitCode {
    let line = heapray_report::sanitize(&error.to_string());
    to_stderr(&format!("heapray: {line}\n"));
    ExitCode::from(error.exit_status())
}

/// A program that is being recorded.
struct Run<'a> {
    flags: &'a RunFlags,
    path: PathBuf,
    launched: Launched,
    recording: Option<Box<Drain>>,
    start: Instant,
}

impl Run<'_> {
    fn record(&mut self) -> Ending {
        loop {
            let wait = self.turn();
            if let Some(ending) = self.launched.wait(wait) {
                if self.flags.until_last {
                    self.stay(ending);
                }
                self.finish("stopped", Some(ending));
                return ending;
            }
        }
    }

    /// Records what the program has left behind, until that has ended too or we are told to.
    fn stay(&mut self, ending: Ending) {
        let Some(drain) = &mut self.recording else { return };
        drain.know_ends(task_end(ending).map(|end| (self.launched.pid(), end)));
        let mut is_told = self.flags.record.quiet;
        while let Some(drain) = self.recording.as_ref().filter(|drain| !drain.is_deserted()) {
            let pids = drain.pids();
            // One that has only just been forked is not among them yet.
            if !is_told && !pids.is_empty() && !pids.contains(&self.launched.pid()) {
                is_told = true;
                to_stderr(&format!(
                    "heapray: the program has ended, what it started is recorded on ({}); end with Ctrl+C\n",
                    processes(&pids)
                ));
            }
            let wait = self.turn();
            if self.launched.is_told_to_end(wait) {
                return;
            }
        }
    }

    /// One round of the recording; answers how long to wait.
    fn turn(&mut self) -> Duration {
        let kept = self.launched.take_kept();
        let Some(drain) = &mut self.recording else { return IDLE };
        if kept % 2 == 1 {
            drain.toggle();
        }
        let round = drain.round();
        if let Some(error) = round.failure {
            let path = heapray_report::sanitize(&self.path.display().to_string());
            to_stderr(&format!(
                "heapray: cannot write {path}: {error}; the recording has stopped, the program goes on\n"
            ));
            self.recording = None;
        } else if round.detach
            || self.flags.record.duration.is_some_and(|limit| self.start.elapsed() >= limit)
        {
            self.finish("stopped", None);
        }
        round.wait
    }

    /// Ends the recording; the program may run on.
    fn finish(&mut self, reason: &str, ending: Option<Ending>) {
        let Some(mut drain) = self.recording.take() else { return };
        drain.know_ends(ending.and_then(task_end).map(|end| (self.launched.pid(), end)));
        let (summary, failure) = drain.finish(reason);
        if let Some(error) = failure {
            let path = heapray_report::sanitize(&self.path.display().to_string());
            to_stderr(&format!("heapray: cannot write {path}: {error}; its end is missing\n"));
        } else if !self.flags.record.quiet {
            to_stderr(&closing_line(&self.path, &summary, self.start.elapsed().as_secs_f64()));
            if let (Some(_), [_, ..]) = (ending, &summary.left[..]) {
                let hint = if self.flags.until_last {
                    ""
                } else {
                    "; heapray run --until-last stays until all have ended"
                };
                to_stderr(&format!("heapray: not recorded any more: {}{hint}\n", processes(&summary.left)));
            }
        }
    }
}

/// Some processes in words: `process 4711`, `processes 4711, 4712`.
fn processes(pids: &[i32]) -> String {
    let shown: Vec<String> = pids.iter().take(SHOWN_PIDS).map(i32::to_string).collect();
    let more = if pids.len() > SHOWN_PIDS { ", …" } else { "" };
    format!("process{} {}{more}", if pids.len() == 1 { "" } else { "es" }, shown.join(", "))
}

fn task_end(ending: Ending) -> Option<TaskEnd> {
    match ending {
        Ending::Exited(code) => Some(TaskEnd { t_ns: 0, reason: "exited".into(), code }),
        Ending::Killed(signal) => Some(TaskEnd { t_ns: 0, reason: "killed".into(), code: signal }),
        Ending::Unknown => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_after_the_program() {
        assert_eq!(name_of(&["/usr/bin/gunicorn".into(), "-w".into()]), "gunicorn");
        assert_eq!(name_of(&["a\nb".into()]), "a_b");
        assert_eq!(name_of(&[]), "");
    }

    #[test]
    fn processes_are_named() {
        assert_eq!(processes(&[7]), "process 7");
        assert_eq!(processes(&[7, 8]), "processes 7, 8");
        assert_eq!(processes(&[1; 9]), "processes 1, 1, 1, 1, 1, 1, 1, 1, …");
    }

    #[test]
    fn ends_are_told_as_the_parent_sees_them() {
        assert_eq!(task_end(Ending::Killed(9)).map(|end| (end.reason, end.code)), Some(("killed".into(), 9)));
        assert_eq!(task_end(Ending::Unknown), None);
    }
}
