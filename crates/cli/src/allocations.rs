//! From a TARGET and filters to a recording that can be asked: a file, or the file of the recording in progress of a
//! process.

use crate::duration::parse_duration;
use crate::failure::cannot_read;
use crate::progress::Progress;
use crate::target::Target;
use crate::writer;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use heapray_capture::{FileKind, Recording, RecordingReader, sniff};
use heapray_query::{AllocationOptions, Allocations, Charge, GroupBy, Time, What};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

/// Bytes read from a file at once.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that tell what a file holds.
const HEAD_BYTES: usize = 4096;

/// Which recording to ask, and about what of it.
#[derive(Args, Debug, Clone)]
pub(crate) struct RecordingFlags {
    /// File that `heapray run` or `heapray attach` wrote or is writing; or a process that is being recorded.
    #[arg(value_name = "FILE|PID")]
    pub(crate) target: Target,
    /// Only this process, with what it inherited when it was forked; of several, what they share counts once.
    #[arg(long, value_name = "PID")]
    pub(crate) process: Vec<u32>,
    #[command(flatten)]
    pub(crate) filter: FilterFlags,
}

/// Which part of a recording counts. Patterns have `*` and `?`; several of one kind are alternatives.
#[derive(Args, Debug, Clone, Default, PartialEq)]
pub(crate) struct FilterFlags {
    /// Begin of the window: 30s, 10m, 50%, or -5m from the end. Growth counts from here [default: the middle].
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) from: Option<Time>,
    /// End of the window; live memory is that of this moment [default: the end].
    #[arg(long, value_name = "TIME", value_parser = parse_time, allow_hyphen_values = true)]
    pub(crate) to: Option<Time>,
    /// Only threads of this name or id, as the kernel has them: names of Python's threads since 3.14.
    #[arg(long, value_name = "PATTERN")]
    thread: Vec<String>,
    /// Only what was allocated under this tag.
    #[arg(long, value_name = "PATTERN")]
    tag: Vec<String>,
    /// Only stacks with a frame of this module: `flask` is also flask.app, `__main__` the script.
    #[arg(long, value_name = "PATTERN")]
    module: Vec<String>,
    /// Only stacks with this function: its qualified name or the last part of it.
    #[arg(long, value_name = "PATTERN")]
    function: Vec<String>,
    /// Only stacks with a frame of this file: the whole name, the short one or the last part.
    #[arg(long, value_name = "PATTERN")]
    file: Vec<String>,
    /// Leave frames of the import system out of stacks.
    #[arg(long)]
    hide_imports: bool,
    /// Keep threads apart in stacks.
    #[arg(long)]
    split_threads: bool,
}

/// What makes sites one row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ByWord {
    /// The line.
    #[default]
    Line,
    /// The function.
    Function,
    /// The file.
    File,
    /// The whole stack.
    #[value(alias = "traceback")]
    Stack,
}

impl From<ByWord> for GroupBy {
    fn from(word: ByWord) -> Self {
        match word {
            ByWord::Line => Self::Line,
            ByWord::Function => Self::Function,
            ByWord::File => Self::File,
            ByWord::Stack => Self::Stack,
        }
    }
}

/// What is weighed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhatWord {
    /// Alive at the end of the window.
    #[default]
    Live,
    /// Alive at the high-water mark.
    Peak,
    /// Alive at the end of the window more than at its begin.
    Growth,
    /// Freed soon after it was allocated.
    Temporary,
    /// Allocated, freed or not.
    Allocated,
}

impl From<WhatWord> for What {
    fn from(word: WhatWord) -> Self {
        match word {
            WhatWord::Live => Self::Live,
            WhatWord::Peak => Self::Peak,
            WhatWord::Growth => Self::Growth,
            WhatWord::Temporary => Self::Temporary,
            WhatWord::Allocated => Self::Allocated,
        }
    }
}

/// Whom an allocation is charged to.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct ChargeFlags {
    /// Charge allocations to the innermost place (the default).
    #[arg(long, conflicts_with = "cumulative")]
    own: bool,
    /// Charge them to every place on the stack.
    #[arg(long)]
    cumulative: bool,
}

impl ChargeFlags {
    /// The choice.
    pub(crate) fn charge(self) -> Charge {
        if self.cumulative { Charge::Cumulative } else { Charge::Own }
    }
}

impl FilterFlags {
    /// Whether anything was asked for.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// As the query layer takes them.
    pub(crate) fn options(&self, processes: &[u32]) -> AllocationOptions {
        AllocationOptions {
            processes: processes.to_vec(),
            threads: self.thread.clone(),
            tags: self.tag.clone(),
            modules: self.module.clone(),
            functions: self.function.clone(),
            files: self.file.clone(),
            from: self.from,
            to: self.to,
            hide_imports: self.hide_imports,
            split_threads: self.split_threads,
            ..AllocationOptions::default()
        }
    }
}

impl RecordingFlags {
    /// As the query layer takes them.
    pub(crate) fn options(&self) -> AllocationOptions {
        let asked_process = match self.target {
            Target::Pid(pid) if self.process.is_empty() => Some(pid),
            _ => None,
        };
        AllocationOptions { asked_process, ..self.filter.options(&self.process) }
    }
}

/// Opens what a command asks about.
pub(crate) fn allocations(flags: &RecordingFlags) -> anyhow::Result<Allocations> {
    open(&path_of(&flags.target)?, flags.options())
}

/// Opens a file.
pub(crate) fn open(path: &Path, options: AllocationOptions) -> anyhow::Result<Allocations> {
    let (recording, options) = read(path, options)?;
    Allocations::new(recording, options).with_context(|| format!("cannot read {}", path.display()))
}

/// Reads a recording, and adds what there is to say of its file.
pub(crate) fn read(
    path: &Path,
    options: AllocationOptions,
) -> anyhow::Result<(Recording, AllocationOptions)> {
    let mut progress = Progress::new();
    progress.say(&format!("reading {} …", path.display()));
    let problem = |error| cannot_read(path, error, "a file that `heapray run` or `heapray attach` wrote");
    let mut file = File::open(path).map_err(problem)?;
    // The descriptor of another process shares its position.
    let _not_seekable = file.rewind();
    let mut reader = RecordingReader::new(&path.display().to_string());
    let mut piece = vec![0; PIECE_BYTES];
    let mut n_bytes = 0;
    loop {
        match file.read(&mut piece) {
            Ok(0) => break,
            Ok(n) => {
                n_bytes += n as u64;
                reader.push(&piece[..n])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(problem(error)),
        }
    }
    let recording = reader.finish()?;
    let has_ended = recording.tasks.iter().all(|task| task.end.is_some());
    let is_being_written = !has_ended && writer::is_being_written(path);
    Ok((recording, AllocationOptions { file_bytes: Some(n_bytes), is_being_written, ..options }))
}

/// Whether a file is a recording; `false` where it cannot be read, which its reader will say better.
pub(crate) fn is_recording(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(HEAD_BYTES as u64).read_to_end(&mut head));
    read.is_ok() && sniff(&head) == FileKind::Recording
}

/// The file of a target.
pub(crate) fn path_of(target: &Target) -> anyhow::Result<PathBuf> {
    match target {
        Target::File(path) => Ok(path.clone()),
        Target::Pid(pid) => path_of_process(*pid),
    }
}

/// The file that the recording of a process is being written to: its collector holds it open.
fn path_of_process(pid: u32) -> anyhow::Result<PathBuf> {
    let found = heapray_attach::find_recording(i32::try_from(pid)?).map_err(|error| {
        anyhow::anyhow!(
            "cannot tell whether process {pid} is being recorded; name the file of its recording: {error}"
        )
    })?;
    let Some(recording) = found else {
        bail!(
            "process {pid} is not being recorded: start it with `heapray run`, or `heapray attach {pid}` first; a \
             finished recording is asked by its file"
        );
    };
    let collector = recording.collector;
    if recording.is_finished {
        bail!(
            "process {pid} is not being recorded any more: process {collector} has finished its recording; ask that by \
             its file"
        );
    }
    let directory = format!("/proc/{collector}/fd");
    let open = std::fs::read_dir(&directory).into_iter().flatten().filter_map(Result::ok);
    let mut files: Vec<PathBuf> = open.map(|entry| entry.path()).collect();
    files.sort();
    let is_file = |path: &&PathBuf| path.metadata().is_ok_and(|data| data.is_file());
    let Some(found) = files.iter().filter(is_file).find(|path| is_recording(path)) else {
        bail!(
            "cannot find the file of the recording of process {pid}: process {collector} writes it, of another user or \
             pid namespace, or was killed; name the file instead"
        );
    };
    // Its name, where it has one still; else the open file itself.
    let name = std::fs::read_link(found).ok().filter(|name| is_recording(name));
    Ok(name.unwrap_or_else(|| found.clone()))
}

/// Whether a process takes part in a recording, as far as can be seen.
pub(crate) fn is_being_recorded(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok();
    let found = pid.and_then(|pid| heapray_attach::find_recording(pid).ok().flatten());
    found.is_some_and(|recording| !recording.is_finished)
}

/// Parses a time: `30s`, `10m`, `1h`, `50%`, `-5m` (before the end).
pub(crate) fn parse_time(text: &str) -> Result<Time, String> {
    let text = text.trim();
    if let Some(percent) = text.strip_suffix('%') {
        let percent: f64 = percent.trim().parse().map_err(|_| format!("`{text}` is no percentage"))?;
        if !(0.0..=100.0).contains(&percent) {
            return Err("a part of a recording is between 0% and 100%".to_owned());
        }
        return Ok(Time::Part(percent / 100.0));
    }
    let (before_end, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let ns = u64::try_from(parse_duration(rest)?.as_nanos()).map_err(|error| error.to_string())?;
    Ok(if before_end { Time::BeforeEnd(ns) } else { Time::Ns(ns) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_since_the_start_or_before_the_end_or_parts() {
        assert_eq!(parse_time("30s"), Ok(Time::Ns(30_000_000_000)));
        assert_eq!(parse_time("-2m"), Ok(Time::BeforeEnd(120_000_000_000)));
        assert_eq!(parse_time("50%"), Ok(Time::Part(0.5)));
        assert_eq!(parse_time("0"), Ok(Time::Ns(0)));
        for nonsense in ["101%", "x%", "--3s", "soon", "-50%"] {
            assert!(parse_time(nonsense).is_err(), "{nonsense}");
        }
    }

    #[test]
    fn no_file_is_no_recording() {
        assert!(!is_recording(Path::new("/nonexistent/x.hr")));
        assert!(!is_recording(Path::new(env!("CARGO_MANIFEST_PATH"))));
    }
}
