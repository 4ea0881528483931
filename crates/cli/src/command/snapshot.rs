//! `snapshot`: the object graph of a process, or of a core file, to a file.

use crate::live::{self, SnapshotOptions, Source, Taken};
use crate::progress::Progress;
use anyhow::{Context, bail};
use clap::Args;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// Options of `heapray snapshot`.
#[derive(Args, Debug)]
pub(crate) struct SnapshotFlags {
    /// Process id.
    #[arg(required_unless_present = "core", conflicts_with = "core")]
    pid: Option<u32>,
    /// Read a core file instead of a process.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["children", "in_place"])]
    core: Option<PathBuf>,
    /// File to write; default heapray-PID.snapshot in the working directory.
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Take all processes below PID too, into one file.
    #[arg(long)]
    children: bool,
    /// Stop the process for the time of the read instead of copying it (no extra memory, longer pause).
    #[arg(long)]
    in_place: bool,
    /// Store values of strings and numbers too (default: only names).
    #[arg(long)]
    values: bool,
}

/// What is to be done, validated.
#[derive(Debug, PartialEq)]
struct Plan {
    source: Source,
    output: PathBuf,
    options: SnapshotOptions,
}

/// Takes the snapshot and says what it cost.
pub(crate) fn run(flags: &SnapshotFlags) -> anyhow::Result<()> {
    let plan = plan(flags)?;
    let mut progress = Progress::new();
    progress.say(&format!("reading {} …", plan.source));
    let taken = write(&plan)?;
    drop(progress);
    let mut out = std::io::stdout().lock();
    out.write_all(summary(&plan.output, &taken).as_bytes()).context("cannot write to stdout")
}

fn plan(flags: &SnapshotFlags) -> anyhow::Result<Plan> {
    let (source, name) = match (&flags.core, flags.pid) {
        (Some(core), _) => (Source::Core(core.clone()), with_ending(core)),
        (None, Some(0) | None) => {
            bail!("cannot take a snapshot: a process id above 0 or --core FILE is needed")
        }
        (None, Some(pid)) => (Source::Pid(pid), PathBuf::from(format!("heapray-{pid}.snapshot"))),
    };
    let options =
        SnapshotOptions { children: flags.children, in_place: flags.in_place, values: flags.values };
    Ok(Plan { source, output: flags.output.clone().unwrap_or(name), options })
}

fn with_ending(core: &Path) -> PathBuf {
    let name = core.file_name().unwrap_or_default().to_string_lossy();
    PathBuf::from(format!("{name}.snapshot"))
}

/// Writes beside the final name and renames, so that a failure leaves an older file as it was.
fn write(plan: &Plan) -> anyhow::Result<Taken> {
    if plan.output.as_os_str() == "-" {
        return live::snapshot_to(&plan.source, &plan.options, &mut std::io::stdout().lock());
    }
    let mut partial = plan.output.clone().into_os_string();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let taken = write_partial(plan, &partial).inspect_err(|_| {
        let _ = std::fs::remove_file(&partial);
    })?;
    std::fs::rename(&partial, &plan.output)
        .with_context(|| format!("cannot give {} its final name", plan.output.display()))?;
    Ok(taken)
}

fn write_partial(plan: &Plan, partial: &Path) -> anyhow::Result<Taken> {
    let file = File::create(partial).with_context(|| format!("cannot create {}", partial.display()))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let taken = live::snapshot_to(&plan.source, &plan.options, &mut out)?;
    out.flush().with_context(|| format!("cannot write {}", partial.display()))?;
    Ok(taken)
}

fn summary(path: &Path, taken: &Taken) -> String {
    let mut text = format!(
        "{}: {} objects, {}\n",
        heapray_report::sanitize(&path.display().to_string()),
        heapray_report::thousands(taken.n_objects),
        heapray_report::bytes(taken.n_bytes)
    );
    for (pid, pause_ms) in &taken.pauses_ms {
        text.push_str(&format!("process {pid} was stopped for {pause_ms:.1} ms\n"));
    }
    for (pid, why) in &taken.skipped {
        text.push_str(&format!("process {pid} was left out: {}\n", heapray_report::sanitize(why)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags() -> SnapshotFlags {
        SnapshotFlags {
            pid: Some(7),
            core: None,
            output: None,
            children: false,
            in_place: false,
            values: false,
        }
    }

    #[test]
    fn output_is_named_after_the_process_or_core() {
        assert_eq!(plan(&flags()).expect("valid").output, PathBuf::from("heapray-7.snapshot"));
        let core = SnapshotFlags { pid: None, core: Some("/tmp/x/core.7".into()), ..flags() };
        assert_eq!(plan(&core).expect("valid").output, PathBuf::from("core.7.snapshot"));
    }

    #[test]
    fn pid_zero_is_refused() {
        assert!(plan(&SnapshotFlags { pid: Some(0), ..flags() }).is_err());
    }
}
