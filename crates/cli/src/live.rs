//! Takes snapshots of running processes and core files: the only place of the binary that touches a process.
//!
//! The rest of the binary sees bytes in the capture format, whether they come from here or from a file.

use crate::below::with_pythons_below;
use anyhow::{Context, bail};
use heapray_attach::{CopyOptions, Image, ImageKind};
use heapray_capture::SnapshotWriter;
use heapray_snapshot::{SnapshotError, StoppedThread, Summary};
use heapray_symbols::Symbols;
use heapray_wire::{Chunk, Fact, FactValue};
use std::fmt;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How often a copy is taken again because the collector was at work in it; the last one is read as it is.
const ATTEMPTS: u32 = 10;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A running process.
    Pid(u32),
    /// A core file.
    Core(PathBuf),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "process {pid}"),
            Self::Core(path) => write!(f, "core file {}", path.display()),
        }
    }
}

/// How to read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SnapshotOptions {
    /// Take the whole tree below the process too.
    pub(crate) children: bool,
    /// Stop the target for the time of the read instead of copying it.
    pub(crate) in_place: bool,
    /// Store values of user data.
    pub(crate) values: bool,
}

/// What taking a snapshot did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken {
    /// Per process: its pid and how long it was stopped, milliseconds.
    pub(crate) pauses_ms: Vec<(u32, f64)>,
    /// Objects read, all processes together.
    pub(crate) n_objects: u64,
    /// Bytes written.
    pub(crate) n_bytes: u64,
    /// Processes of the tree that could not be read, and why.
    pub(crate) skipped: Vec<(u32, String)>,
}

/// Takes a snapshot and writes it to `out` in the capture format while reading.
pub(crate) fn snapshot_to(
    source: &Source,
    options: &SnapshotOptions,
    out: &mut dyn Write,
) -> anyhow::Result<Taken> {
    let mut failure = None;
    let mut writer = SnapshotWriter::new(|bytes: &[u8]| {
        if failure.is_none() {
            failure = out.write_all(bytes).err();
        }
    });
    let mut taken = Taken::default();
    let mut sink = |chunk: Chunk| writer.chunk(&chunk);
    let done = match source {
        Source::Core(path) => core(path, options, &mut taken, &mut sink),
        Source::Pid(pid) => processes(*pid, options, &mut taken, &mut sink),
    };
    taken.n_bytes = writer.n_bytes();
    writer.finish();
    done?;
    match failure {
        Some(error) => Err(error).context("cannot write the snapshot"),
        None => Ok(taken),
    }
}

/// Takes a snapshot of a process into memory.
pub(crate) fn snapshot_to_bytes(pid: u32, options: &SnapshotOptions) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    snapshot_to(&Source::Pid(pid), options, &mut bytes)?;
    Ok(bytes)
}

fn core(
    path: &std::path::Path,
    options: &SnapshotOptions,
    taken: &mut Taken,
    sink: &mut dyn FnMut(Chunk),
) -> anyhow::Result<()> {
    let mut image = heapray_attach::core(path, std::path::Path::new("/"))?;
    let summary = walk(&mut image, options, true, sink)
        .with_context(|| format!("cannot read the core file {}", path.display()))?;
    taken.n_objects += summary.objects;
    Ok(())
}

/// Reads one process, or it and all Pythons below it.
fn processes(
    pid: u32,
    options: &SnapshotOptions,
    taken: &mut Taken,
    sink: &mut dyn FnMut(Chunk),
) -> anyhow::Result<()> {
    if !options.children {
        return process(pid, options, taken, sink);
    }
    let tree = heapray_attach::tree(i32::try_from(pid)?);
    let mut first_error = None;
    for pid in tree {
        let pid = pid.unsigned_abs();
        if let Err(error) = process(pid, options, taken, sink) {
            taken.skipped.push((pid, format!("{error:#}")));
            first_error.get_or_insert(error);
        }
    }
    match first_error {
        Some(error) if taken.pauses_ms.is_empty() => Err(error),
        None if taken.pauses_ms.is_empty() => process(pid, options, taken, sink),
        _ => Ok(()),
    }
}

/// Reads one process; takes the copy again while the collector is at work in it.
fn process(
    pid: u32,
    options: &SnapshotOptions,
    taken: &mut Taken,
    sink: &mut dyn FnMut(Chunk),
) -> anyhow::Result<()> {
    let mut delay = Duration::from_millis(1);
    for attempt in 1..=ATTEMPTS {
        let mut image = image(pid, options)?;
        match walk(&mut image, options, attempt == ATTEMPTS, sink) {
            Ok(summary) => {
                image.check()?;
                taken.n_objects += summary.objects;
                taken.pauses_ms.push((pid, image.release().pause.as_secs_f64() * 1e3));
                return Ok(());
            }
            Err(SnapshotError::Torn { .. }) => {
                image.check()?;
                drop(image);
                std::thread::sleep(delay);
                delay *= 2;
            }
            Err(error) => {
                image.check()?;
                let is_other = matches!(error, SnapshotError::Unsupported(_));
                let error = anyhow::Error::from(error).context(format!("cannot read process {pid}"));
                return Err(if is_other { with_pythons_below(error, image.pid) } else { error });
            }
        }
    }
    bail!("cannot read process {pid}: its collector was at work in {ATTEMPTS} copies in a row")
}

fn image(pid: u32, options: &SnapshotOptions) -> anyhow::Result<Image> {
    let pid = i32::try_from(pid).with_context(|| format!("there is no process {pid}"))?;
    let image = if options.in_place {
        heapray_attach::in_place(pid, CopyOptions::default())
    } else {
        heapray_attach::copy(pid, CopyOptions::default())
    };
    Ok(image?)
}

fn walk(
    image: &mut Image,
    options: &SnapshotOptions,
    accept_torn: bool,
    sink: &mut dyn FnMut(Chunk),
) -> Result<Summary, SnapshotError> {
    let facts = facts(image);
    let symbols = Symbols::new(image.files.clone(), &image.mappings);
    let threads: Vec<StoppedThread> = image
        .threads
        .iter()
        .map(|thread| StoppedThread {
            tid: thread.own_tid.unsigned_abs(),
            name: thread.name.clone(),
            stack_pointer: thread.stack_pointer,
        })
        .collect();
    let source = heapray_snapshot::Source {
        memory: &mut image.memory,
        regions: &image.regions,
        threads: &threads,
        symbol: &|name| symbols.address_of(name),
        name_of: &|address| symbols.name_of(address).map(|name| name.to_string()),
        facts,
        accept_torn,
        values: options.values,
    };
    heapray_snapshot::snapshot(source, sink)
}

/// What is known of the process from outside.
fn facts(image: &Image) -> Vec<Fact> {
    let mut facts = Facts(Vec::new());
    let pid = image.pid;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    facts.int("taken_unix_ns", now.as_nanos().try_into().ok());
    facts.int("pid", Some(u64::from(pid.unsigned_abs())));
    facts.int("own_pid", Some(u64::from(image.own_pid.unsigned_abs())));
    facts.int("pause_us", image.pause.as_micros().try_into().ok());
    facts.int("copy_us", image.fork_cost.as_micros().try_into().ok());
    let kind = match image.kind {
        ImageKind::Copy => "copy",
        ImageKind::InPlace => "in-place",
        ImageKind::Core => "core",
    };
    facts.text("taken_from", kind.to_owned());
    if image.kind == ImageKind::Core {
        return facts.0;
    }
    if let Ok(stat) = heapray_linux::stat(pid) {
        facts.int("ppid", Some(u64::from(stat.parent.unsigned_abs())));
        facts.int("start_ticks", Some(stat.start_ticks));
    }
    if let Ok(boot) = heapray_linux::boot_id() {
        facts.text("boot_id", boot);
    }
    if let Ok(words) = heapray_linux::command_line(pid) {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        facts.text("command", words.join(" "));
    }
    if let Ok(path) = heapray_linux::executable(pid) {
        facts.text("executable", path.to_string_lossy().into_owned());
    }
    memory_facts(&mut facts, pid);
    facts.0
}

fn memory_facts(facts: &mut Facts, pid: i32) {
    if let Ok(status) = heapray_linux::status(pid) {
        facts.int("rss_bytes", Some(status.resident_bytes));
    }
    let cgroup = heapray_linux::cgroup(pid);
    facts.int("cgroup.current_bytes", cgroup.current_bytes);
    facts.int("cgroup.max_bytes", cgroup.max_bytes);
    facts.int("cgroup.anonymous_bytes", cgroup.anonymous_bytes);
    facts.int("cgroup.file_bytes", cgroup.file_bytes);
}

struct Facts(Vec<Fact>);

impl Facts {
    fn int(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value.and_then(|value| i64::try_from(value).ok()) {
            self.0.push(Fact { name: name.to_owned(), value: FactValue::Int(value) });
        }
    }

    fn text(&mut self, name: &str, value: String) {
        self.0.push(Fact { name: name.to_owned(), value: FactValue::Text(value) });
    }
}
