//! What `run` and `attach` share: the flags that say what is recorded, their meaning, the file, the closing line.

use crate::duration::{parse_bytes, parse_duration};
use crate::writer;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use heapray_collect::{Level, Mode, Plan, RssLimit, Summary};
use std::ffi::OsString;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Mean distance of samples unless told otherwise: a leak of 16 MiB then reads to 6 % (FACTS: standard error √(R/n)).
const SAMPLE_INTERVAL: u64 = 64 << 10;

/// Which events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum ModeWord {
    /// A sample, drawn by bytes: cheap enough to stay on.
    #[default]
    Sampled,
    /// Every allocation and free.
    Exact,
}

/// Whose allocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum LevelWord {
    /// The system's allocator: malloc, mmap and their kin.
    Malloc,
    /// Python's objects as well.
    #[default]
    Objects,
}

/// What to record.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct RecordFlags {
    /// File to write; default heapray-NAME-PID.hr in the working directory.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Overwrite FILE if it is there.
    #[arg(short, long)]
    pub(crate) force: bool,
    /// Record a sample of the allocations, or every one.
    #[arg(long, value_enum, default_value_t)]
    mode: ModeWord,
    /// Mean bytes from one sample to the next; grows by itself with the live heap [default: 64KiB].
    #[arg(long, value_parser = parse_bytes, value_name = "BYTES")]
    sample_interval: Option<u64>,
    /// Record the system's allocator only, or Python's objects too.
    #[arg(long, value_enum, default_value_t)]
    level: LevelWord,
    /// Record native frames too.
    #[arg(long)]
    native: bool,
    /// Keep every event in the file, not only sums over time (with --mode exact; the file grows without bound).
    #[arg(long)]
    all_events: bool,
    /// Stop recording after this time; the program goes on.
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    pub(crate) duration: Option<Duration>,
    /// Do not record until `heapray on PID`, the signal, or the memory limit says so.
    #[arg(long)]
    start_paused: bool,
    /// Start recording when a process has this much resident memory: bytes, or a share of its control group's limit.
    #[arg(long, value_parser = parse_limit, value_name = "80%|BYTES")]
    when_rss: Option<Limit>,
    /// Switch recording on and off when heapray gets this signal.
    #[arg(long, value_parser = parse_signal, value_name = "NAME")]
    pub(crate) signal: Option<i32>,
    /// Print nothing of our own at the end.
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

/// A limit as typed.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Limit(RssLimit);

impl RecordFlags {
    /// What is to be done, validated; `follow_exec` where programs that the process starts are recorded too.
    pub(crate) fn plan(&self, command: Vec<OsString>, follow_exec: bool) -> anyhow::Result<Plan> {
        let exact = self.mode == ModeWord::Exact;
        if exact && self.sample_interval.is_some() {
            bail!("cannot sample in exact mode: leave out --sample-interval, or --mode exact");
        }
        if self.all_events && !exact {
            bail!("cannot keep every event of a sample: --all-events needs --mode exact");
        }
        if !exact && self.level == LevelWord::Malloc {
            bail!("cannot leave out objects of a sample: --level malloc needs --mode exact");
        }
        if self.duration == Some(Duration::ZERO) {
            bail!("cannot record for no time: --duration must be above 0");
        }
        let sample_interval = self.sample_interval.unwrap_or(SAMPLE_INTERVAL);
        if !(256..=1 << 40).contains(&sample_interval) {
            bail!("cannot sample every {sample_interval} bytes: --sample-interval is between 256 and 1TiB");
        }
        Ok(Plan {
            mode: if exact { Mode::Exact } else { Mode::Sampled },
            level: if self.level == LevelWord::Malloc { Level::Malloc } else { Level::Objects },
            native: self.native,
            all_events: self.all_events,
            sample_interval,
            spreads: self.sample_interval.is_none(),
            recording: !self.start_paused && self.when_rss.is_none(),
            signal: 0,
            follow_exec,
            command,
            when_rss: self.when_rss.map(|limit| limit.0),
        })
    }

    /// Says what a share of memory is of, where the control group of process `pid` has no limit.
    pub(crate) fn limit_remark(&self, pid: i32) -> Option<String> {
        let Some(Limit(RssLimit::Share(share))) = self.when_rss else { return None };
        let whole = heapray_linux::cgroup(pid).max_bytes.is_none().then(heapray_linux::machine_bytes)?;
        Some(format!(
            "heapray: its control group has no limit: recording starts at {:.0} % of the machine's memory, {}\n",
            share * 100.0,
            heapray_report::bytes((whole as f64 * share) as u64)
        ))
    }
}

/// Parses `80%` or bytes.
fn parse_limit(text: &str) -> Result<Limit, String> {
    let Some(percent) = text.strip_suffix('%') else { return parse_bytes(text).and_then(above_zero) };
    match percent.trim().parse::<f64>() {
        Ok(percent) if percent > 0.0 && percent <= 100.0 => Ok(Limit(RssLimit::Share(percent / 100.0))),
        _ => Err("a share is above 0 % and at most 100 %".into()),
    }
}

fn above_zero(bytes: u64) -> Result<Limit, String> {
    if bytes == 0 { Err("the limit must be above 0".into()) } else { Ok(Limit(RssLimit::Bytes(bytes))) }
}

/// Signals that a program may be sent for a purpose of its user's (signal(7), numbers of Linux).
const SIGNALS: &[(&str, i32)] =
    &[("HUP", 1), ("USR1", 10), ("USR2", 12), ("URG", 23), ("WINCH", 28), ("IO", 29), ("PWR", 30)];

fn parse_signal(text: &str) -> Result<i32, String> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let known = SIGNALS.iter().find(|(known, number)| *known == name || number.to_string() == name);
    known.map(|(_, number)| *number).ok_or_else(|| {
        let names: Vec<_> = SIGNALS.iter().map(|(name, _)| *name).collect();
        format!("no signal to be used here; write one of {}", names.join(", "))
    })
}

/// Seed of the samples: `HEAPRAY_SEED`, 0 (from the clock) where it is not set. Addresses have a part in the draws of threads, so a
/// seed alone does not repeat a run.
pub(crate) fn seed() -> u64 {
    std::env::var("HEAPRAY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The file that a recording goes into.
#[derive(Debug)]
pub(crate) struct Destination {
    pub(crate) path: PathBuf,
    file: File,
    is_new: bool,
}

impl Destination {
    /// Nothing will be recorded: what was there before stays.
    pub(crate) fn abandon(self) {
        if self.is_new {
            let _gone = std::fs::remove_file(&self.path);
        }
    }

    /// The recording begins: what was there before goes.
    pub(crate) fn begin(self) -> std::io::Result<(PathBuf, File)> {
        if self.file.metadata()?.is_file() {
            self.file.set_len(0)?;
        }
        Ok((self.path, self.file))
    }
}

/// Opens the file of a recording, and keeps other recordings from it; `name` and `pid` make up its name where none was given.
pub(crate) fn create(flags: &RecordFlags, name: &str, pid: u32) -> anyhow::Result<Destination> {
    let path = flags.output.clone().unwrap_or_else(|| PathBuf::from(format!("heapray-{name}-{pid}.hr")));
    let mut options = File::options();
    options.write(true);
    let found = std::fs::metadata(&path);
    let (is_new, is_special) = (found.is_err(), found.is_ok_and(|found| !found.is_file()));
    if flags.force || is_special {
        options.create(true).truncate(false);
    } else {
        options.create_new(true);
    }
    match options.open(&path) {
        Ok(file) if !is_special && !writer::lock(&file) => {
            bail!("cannot write {}: another heapray is recording into it; give another name", path.display())
        }
        Ok(file) => Ok(Destination { path, file, is_new }),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            bail!("cannot write {}: it exists; give another name, or --force to overwrite it", path.display())
        }
        Err(error) => Err(error).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// The one line that a recording says of itself.
pub(crate) fn closing_line(path: &Path, summary: &Summary, seconds: f64) -> String {
    let (n, s) = (summary.n_processes, if summary.n_processes == 1 { "" } else { "es" });
    let mut line = format!(
        "heapray: {}: {}, {n} process{s}, {} events",
        heapray_report::sanitize(&path.display().to_string()),
        heapray_report::bytes(summary.n_bytes),
        heapray_report::thousands(summary.n_events),
    );
    match summary.lost {
        (0, 0) => line.push_str(", none lost"),
        (events, 0) => line.push_str(&format!(", {} lost", heapray_report::thousands(events))),
        (events, frees) => line.push_str(&format!(
            ", {} lost ({} frees, each a false leak)",
            heapray_report::thousands(events),
            heapray_report::thousands(frees)
        )),
    }
    if summary.refused > 0 {
        line.push_str(&format!(", {} processes found no room", heapray_report::thousands(summary.refused)));
    }
    // Of very few events none was timed.
    if summary.hook_ns > 0 {
        let hooks = heapray_report::short_time(summary.hook_ns as f64 / 1e9);
        line.push_str(&format!(", {hooks} in hooks"));
    }
    line.push_str(&format!(" of {seconds:.1} s"));
    remarks(summary).iter().for_each(|remark| line.push_str(&format!("; {remark}")));
    line.push('\n');
    line
}

/// Says that an agent is out of use, but not of the process's memory.
pub(crate) fn memory_stays(pid: i32, why: &str) -> String {
    format!("heapray: process {pid}: all hooks are out; the agent's memory stays, as {why}\n")
}

/// What is not in a recording that its user may expect there.
fn remarks(summary: &Summary) -> Vec<String> {
    let n_of = |n: u64, word: &str, plural: &str| {
        (n > 0)
            .then(|| format!("{} {word}{}", heapray_report::thousands(n), if n == 1 { "" } else { plural }))
    };
    let unreachable = n_of(summary.unreachable, "program", "s")
        .map(|programs| format!("{programs} executed in another root or as another user not recorded"));
    let other = n_of(summary.other_pythons, "process", "es").map(|processes| {
        format!("{processes} with a Python that cannot be read (its version, or free-threaded)")
    });
    let nothing = match (summary.n_processes, summary.never_on) {
        (0, _) => Some("the program is linked statically, changes its user, or never began".to_owned()),
        (_, true) => Some("the recording was never switched on".to_owned()),
        _ => None,
    };
    [unreachable, other, nothing].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_recorded_is_told() {
        let line = |summary| closing_line(Path::new("a.hr"), &summary, 1.0);
        let all = Summary { n_processes: 2, unreachable: 1, other_pythons: 2, ..Summary::default() };
        let told = line(all.clone());
        assert!(
            told.contains("; 1 program executed in another root") && told.contains("; 2 processes with a"),
            "{told}"
        );
        assert!(line(Summary { never_on: true, ..all }).ends_with("; the recording was never switched on\n"));
        assert!(line(Summary::default()).contains("linked statically"));
        assert!(line(Summary { n_processes: 1, ..Summary::default() }).ends_with("none lost of 1.0 s\n"));
    }

    fn refused(flags: &RecordFlags, words: &str) {
        let error = flags.plan(Vec::new(), true).expect_err(words);
        assert!(error.to_string().contains(words), "{error}");
    }

    #[test]
    fn combinations_that_mean_nothing_are_refused() {
        let flags = RecordFlags::default;
        refused(&RecordFlags { all_events: true, ..flags() }, "--all-events needs --mode exact");
        refused(&RecordFlags { level: LevelWord::Malloc, ..flags() }, "--level malloc needs --mode exact");
        let exact = RecordFlags { mode: ModeWord::Exact, sample_interval: Some(9999), ..flags() };
        refused(&exact, "leave out --sample-interval");
        refused(&RecordFlags { sample_interval: Some(7), ..flags() }, "between 256 and 1TiB");
        refused(&RecordFlags { duration: Some(Duration::ZERO), ..flags() }, "above 0");
    }

    #[test]
    fn a_limit_starts_the_recording_paused() {
        let flags = RecordFlags { when_rss: parse_limit("80%").ok(), ..RecordFlags::default() };
        let plan = flags.plan(Vec::new(), true).expect("valid");
        assert_eq!((plan.recording, plan.when_rss), (false, Some(RssLimit::Share(0.8))));
        assert_eq!(parse_limit("2GiB"), Ok(Limit(RssLimit::Bytes(2 << 30))));
        assert!(parse_limit("0%").is_err() && parse_limit("101%").is_err() && parse_limit("0").is_err());
    }

    #[test]
    fn signals_have_names_and_numbers() {
        assert_eq!(parse_signal("USR2"), Ok(12));
        assert_eq!(parse_signal("sigusr1"), Ok(10));
        assert_eq!(parse_signal("12"), Ok(12));
        assert!(parse_signal("KILL").is_err() && parse_signal("9").is_err() && parse_signal("").is_err());
    }
}
