//! `leaks`: repeated snapshots of a process, or several files of one, and a verdict; or what survived in a recording.

use super::survivors::{self, Asked, SurvivorsFlags};
use crate::duration::{parse_bytes, parse_duration};
use crate::flags::{FormatFlags, LiveFlags};
use crate::progress::Progress;
use crate::target::Target;
use crate::{allocations, load, output};
use anyhow::{Context, bail};
use clap::Args;
use heapray_query::{EXTRA_SNAPSHOTS, Leaks, LeaksOptions};
use heapray_report::text;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Exit status when something leaks.
const STATUS_FINDING: u8 = 1;

/// Options of `heapray leaks`.
#[derive(Args, Debug)]
pub(crate) struct LeaksFlags {
    /// Process id, or at least two snapshot files of one process, oldest first, or one recording.
    #[arg(value_name = "TARGET", required = true)]
    targets: Vec<Target>,
    /// Time between snapshots of a process. A slow leak needs longer ones: 30s, 5m.
    #[arg(long, default_value = "10s", value_parser = parse_duration, value_name = "TIME")]
    interval: Duration,
    /// Number of snapshots of a process; up to two more while something grows but ever slower.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(2..=100), value_name = "N")]
    snapshots: u32,
    /// Growth per hour below which nothing is called a leak.
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    threshold: Option<u64>,
    #[command(flatten)]
    recording: SurvivorsFlags,
    #[command(flatten)]
    live: LiveFlags,
    /// Process to ask about, where a file holds several; of a recording may be given several times.
    #[arg(long, value_name = "PID")]
    process: Vec<u32>,
    #[command(flatten)]
    format: FormatFlags,
}

/// What is to be done, validated.
#[derive(Debug, PartialEq)]
enum Plan {
    /// Take the snapshots now.
    Watch(u32),
    /// Read them, oldest first.
    Compare(Vec<PathBuf>),
}

/// Prints the verdict; status 1 with findings.
pub(crate) fn run(flags: &LeaksFlags) -> anyhow::Result<ExitCode> {
    let asked = |by_process| Asked {
        processes: &flags.process,
        by_process,
        threshold: flags.threshold,
        format: flags.format,
    };
    match &flags.targets[..] {
        [Target::File(path)] if allocations::is_recording(path) => {
            return Ok(status(survivors::run(&flags.recording, path, asked(None))?));
        }
        [target @ Target::Pid(pid)]
            if !flags.recording.is_empty() && allocations::is_being_recorded(*pid) =>
        {
            let path = allocations::path_of(target)?;
            return Ok(status(survivors::run(&flags.recording, &path, asked(Some(*pid)))?));
        }
        _ => refuse_recording_flags(flags)?,
    }
    let plan = plan(&flags.targets)?;
    let mut leaks = Leaks::new(LeaksOptions { threshold_bytes_per_hour: flags.threshold });
    match &plan {
        Plan::Watch(pid) => watch(flags, *pid, &mut leaks)?,
        Plan::Compare(paths) => compare(flags, paths, &mut leaks)?,
    }
    let answer = leaks.verdict()?;
    output::print(flags.format, &answer, text::leaks)?;
    Ok(status(!answer.findings.is_empty()))
}

fn status(found: bool) -> ExitCode {
    if found { ExitCode::from(STATUS_FINDING) } else { ExitCode::SUCCESS }
}

/// Snapshots know no time and no place of allocation.
fn refuse_recording_flags(flags: &LeaksFlags) -> anyhow::Result<()> {
    if flags.process.len() > 1 {
        bail!("cannot compare snapshots of several processes: give --process once");
    }
    if flags.recording.is_empty() {
        return Ok(());
    }
    const WHY: &str = "--from, --to, --by, --limit and patterns of places are for recordings";
    match &flags.targets[..] {
        [Target::Pid(pid)] => bail!(
            "cannot filter snapshots of process {pid}: {WHY}, and it is not being recorded; leave them out, or \
             `heapray attach {pid}` first"
        ),
        _ => bail!(
            "cannot filter snapshots: {WHY}; leave them out, or give one recording (heapray run, heapray attach)"
        ),
    }
}

fn plan(targets: &[Target]) -> anyhow::Result<Plan> {
    if let [Target::Pid(pid)] = targets {
        return Ok(Plan::Watch(*pid));
    }
    let mut paths = Vec::new();
    for target in targets {
        match target {
            Target::File(path) => paths.push(path.clone()),
            Target::Pid(pid) => bail!(
                "cannot compare process {pid} with other targets: give one process id, or snapshot files only"
            ),
        }
    }
    if paths.len() < 2 {
        bail!(
            "cannot judge growth from one snapshot ({}): give at least two of the same process, oldest first",
            targets[0]
        );
    }
    Ok(Plan::Compare(paths))
}

fn compare(flags: &LeaksFlags, paths: &[PathBuf], leaks: &mut Leaks) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    for (i, path) in paths.iter().enumerate() {
        progress.say(&format!("reading {} ({} of {}) …", path.display(), i + 1, paths.len()));
        leaks
            .add(load::read_file(path)?, flags.process.first().copied(), None)
            .with_context(|| format!("cannot compare {}", path.display()))?;
    }
    Ok(())
}

/// The intervals count from start to start, so that a slow read does not stretch them. While the verdict says that
/// one more snapshot would tell a leak from a warm-up, a few more are taken.
fn watch(flags: &LeaksFlags, pid: u32, leaks: &mut Leaks) -> anyhow::Result<()> {
    let mut progress = Progress::new();
    let start = Instant::now();
    let mut n_wanted = flags.snapshots;
    let mut taken = 0;
    while taken < n_wanted {
        wait_until(start + flags.interval * taken, &mut progress, taken, n_wanted);
        progress.say(&format!("snapshot {} of {n_wanted}: reading process {pid} …", taken + 1));
        let at_seconds = start.elapsed().as_secs_f64();
        leaks
            .add(load::live_file(pid, flags.live.in_place)?, Some(pid), Some(at_seconds))
            .with_context(|| format!("cannot compare snapshots of process {pid}"))?;
        taken += 1;
        if taken == n_wanted
            && taken < flags.snapshots + EXTRA_SNAPSHOTS as u32
            && leaks.verdict()?.process.undecided
        {
            n_wanted += 1;
        }
    }
    Ok(())
}

fn wait_until(moment: Instant, progress: &mut Progress, done: u32, all: u32) {
    loop {
        let left = moment.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        progress.say(&format!("{done} of {all} snapshots taken, next in {} s", left.as_secs() + 1));
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_is_watched_and_files_are_compared() {
        assert_eq!(plan(&[Target::Pid(7)]).expect("valid"), Plan::Watch(7));
        let files = [Target::File("a".into()), Target::File("b".into())];
        assert_eq!(plan(&files).expect("valid"), Plan::Compare(vec!["a".into(), "b".into()]));
    }

    #[test]
    fn one_file_or_a_mixture_is_refused() {
        assert!(plan(&[Target::File("a".into())]).is_err());
        assert!(plan(&[Target::File("a".into()), Target::Pid(7)]).is_err());
        assert!(plan(&[Target::Pid(6), Target::Pid(7)]).is_err());
    }
}
