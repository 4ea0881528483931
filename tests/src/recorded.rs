//! A Python program run under `heapray run`, and what its recording says about the program's lines.
//!
//! Sums are made from the file's own tables, so that they are of the whole recording and of chosen allocators; what
//! `heapray top --json` says must be made of the same (see `tests/allocations/reports.rs`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use heapray_capture::{Recording, Task, read_recording};
use heapray_testkit::Python;
use heapray_wire::{FrameKind, LiveRow, NO_NODE};

use crate::heapray::binary;
use crate::{Answer, Scratch, heapray};

/// What the program lies in, beside the file that is recorded to.
const PROGRAM: &str = "program.py";

/// A run to be: a program on an interpreter, with options for `heapray run`.
pub struct Program<'a> {
    python: &'a Python,
    scratch: Scratch,
    output: Option<String>,
    options: Vec<String>,
    variables: Vec<(String, String)>,
}

/// Blocks and bytes of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sum {
    /// Blocks.
    pub count: f64,
    /// Bytes.
    pub bytes: f64,
    /// Variance of `bytes`.
    pub bytes_variance: f64,
    /// Records that it stands on.
    pub n_records: u64,
}

/// A run that has ended.
pub struct Recorded {
    /// What heapray and the program said, and the exit status.
    pub answer: Answer,
    /// The recording; empty where the file could not be read.
    pub tables: Recording,
    scratch: Scratch,
}

impl<'a> Program<'a> {
    /// `text` on `python`; hashes of strings are the same in every run.
    pub fn new(python: &'a Python, text: &str) -> Program<'a> {
        let scratch = Scratch::new();
        fs::write(scratch.file(PROGRAM), text).expect("the scratch folder takes files");
        let variables =
            vec![("PYTHONHASHSEED".into(), "0".into()), ("PYTHONDONTWRITEBYTECODE".into(), "1".into())];
        Program { python, scratch, output: None, options: Vec::new(), variables }
    }

    /// With these options of `heapray run`.
    pub fn options(mut self, words: &[&str]) -> Self {
        self.options.extend(words.iter().map(|word| (*word).to_owned()));
        self
    }

    /// With another file to record to.
    pub fn output(mut self, path: &str) -> Self {
        self.output = Some(path.to_owned());
        self
    }

    /// With every event at the level of objects.
    pub fn exact(self) -> Self {
        self.options(&["--mode", "exact", "--level", "objects"])
    }

    /// With every event at the level of malloc.
    pub fn exact_malloc(self) -> Self {
        self.options(&["--mode", "exact", "--level", "malloc"])
    }

    /// With an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.into(), value.into()));
        self
    }

    /// The folder that the program lies in; it runs there.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// A command that runs the program without heapray.
    pub fn plain_command(&self) -> Command {
        self.command(&self.python_words())
    }

    /// A command that runs the program under heapray, its outputs piped.
    pub fn command_recorded(&self) -> Command {
        let binary = match self.python.root {
            Some(_) => "/mnt/heapray".into(),
            None => binary().into_os_string().into_string().expect("paths of a build are UTF-8"),
        };
        let file = self.file();
        let file = file.to_str().expect("the temporary folder is UTF-8");
        let file = self.output.as_deref().unwrap_or(file);
        let mut words = vec![binary, "run".into(), "-o".into(), file.into()];
        words.extend(self.options.iter().cloned());
        words.push("--".into());
        words.extend(self.python_words());
        self.command(&words)
    }

    /// Runs the program without heapray.
    pub fn plain(&self) -> Answer {
        self.plain_command().into()
    }

    /// Runs the program under heapray and reads the file.
    pub fn record(self) -> Recorded {
        let answer = self.command_recorded().into();
        self.recorded(answer)
    }

    /// [`Program::record`], panicking where the program does not end with status 0.
    pub fn record_well(self) -> Recorded {
        let name = self.python.version();
        let recorded = self.record();
        assert_eq!(recorded.answer.status, Some(0), "{name}: {:?}", recorded.answer);
        recorded
    }

    /// Ends the recording by `detach` when the program has said `ready` and its pid, and lets it go on: the last look at it is of
    /// that moment. As [`Program::record_meanwhile`].
    pub fn record_until_ready(self) -> Recorded {
        let name = self.python.version();
        let recorded = self.record_meanwhile(|pid| {
            let detached = heapray(["detach", pid]);
            assert_eq!(detached.status, Some(0), "{detached:?}");
        });
        assert_eq!(recorded.answer.status, Some(0), "{name}: {:?}", recorded.answer);
        recorded
    }

    /// Records the program; when it has said `ready` and its pid, does something with that, then closes the program's input. For
    /// interpreters that have no root of their own.
    pub fn record_meanwhile(self, act: impl FnOnce(&str)) -> Recorded {
        let name = self.python.version();
        let mut child = self.command_recorded().stdin(Stdio::piped()).spawn().expect("heapray starts");
        let mut line = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut line).expect("the program writes");
        let pid = line.trim().strip_prefix("ready ").unwrap_or_else(|| panic!("{name}: {line:?}"));
        act(pid);
        drop(child.stdin.take());
        let output = child.wait_with_output().expect("our child");
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        self.recorded(Answer { status: output.status.code(), stdout: line, stderr })
    }

    /// Reads the file after a run made with [`Program::command_recorded`].
    pub fn recorded(self, answer: Answer) -> Recorded {
        let bytes = fs::read(self.file()).unwrap_or_default();
        let tables = read_recording("recording.hr", &bytes).unwrap_or_default();
        Recorded { answer, tables, scratch: self.scratch }
    }

    /// Where the recording goes.
    pub fn file(&self) -> PathBuf {
        self.scratch.file("recording.hr")
    }

    fn python_words(&self) -> Vec<String> {
        let exe = self.python.exe.to_str().expect("interpreters have UTF-8 paths");
        vec![exe.into(), PROGRAM.into()]
    }

    /// For an interpreter in another root the whole command runs there, with `/proc`, our temporary folder and the
    /// build in a mount namespace of its own.
    fn command(&self, words: &[String]) -> Command {
        const INSIDE: &str = "set -e; root=$1 build=$2; shift 2; mount -t proc proc \"$root/proc\"; \
            mount --bind /dev \"$root/dev\"; mount --bind \"$build\" \"$root/mnt\"; mount --bind \"$TMPDIR\" \"$root/tmp\"; \
            cd \"$root\"; here=$1; shift; exec chroot \"$root\" sh -c 'cd \"$0\"; exec \"$@\"' \"$here\" \"$@\"";
        let mut command = match &self.python.root {
            None => {
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]);
                command
            }
            Some(root) => {
                let binary = binary();
                let build = binary.parent().expect("a binary lies in a folder");
                let mut command = Command::new("unshare");
                command.args(["--mount", "bash", "-c", INSIDE, "inside"]).arg(root).arg(build);
                command.arg(self.scratch.path()).args(words).env("TMPDIR", std::env::temp_dir());
                command
            }
        };
        command.current_dir(self.scratch.path()).envs(self.variables.iter().cloned());
        command.env("NO_COLOR", "1").env("RUST_BACKTRACE", "0");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

impl Recorded {
    /// What went wrong while it was recorded, as far as it says so itself: for the messages of claims that fail.
    pub fn troubles(&self) -> String {
        const NAMES: [&str; 7] = [
            "lost_events",
            "lost_frees",
            "reentered",
            "contended",
            "unknown_frees",
            "missed_frees",
            "damaged_cells",
        ];
        let of = |task: &Task| {
            let told = NAMES.iter().map(|name| (*name, task.int(name).unwrap_or(0)));
            told.filter(|(_, n)| *n != 0).collect::<Vec<_>>()
        };
        format!("{:?}", self.tables.tasks.iter().map(of).collect::<Vec<_>>())
    }

    /// The recording's file.
    pub fn file(&self) -> PathBuf {
        self.scratch.file("recording.hr")
    }

    /// The last line that the program printed.
    pub fn last_line(&self) -> &str {
        self.answer.stdout.lines().last().unwrap_or_else(|| panic!("the program prints: {:?}", self.answer))
    }

    /// The first process.
    pub fn task(&self) -> &Task {
        self.tables.tasks.first().unwrap_or_else(|| panic!("a process is recorded: {:?}", self.answer))
    }

    /// The process with this pid; the last one where an `exec` made several of it.
    pub fn task_of(&self, pid: u32) -> &Task {
        let found = self.tables.tasks.iter().rfind(|task| task.pid() == Some(pid));
        found.unwrap_or_else(|| panic!("process {pid} is recorded: {:?}", self.answer))
    }

    /// What each line of the program allocated in `task`, by the allocators wanted (all but arenas where empty).
    pub fn allocated(&self, task: &Task, allocators: &[u8]) -> BTreeMap<u32, Sum> {
        self.allocated_until(task, allocators, u32::MAX)
    }

    fn allocated_until(&self, task: &Task, allocators: &[u8], last: u32) -> BTreeMap<u32, Sum> {
        let mut lines = Lines::new(&self.tables, allocators);
        let slices = task.slices.iter().filter(|slice| slice.index <= last);
        for row in slices.flat_map(|slice| slice.allocs) {
            let sum = Sum {
                count: row.count,
                bytes: row.bytes,
                bytes_variance: row.bytes_variance,
                n_records: row.n_records,
            };
            lines.add((row.node, row.allocator), sum);
        }
        lines.sums
    }

    /// What each line holds at the end of the recording of `task`, what it inherited among it; lines that hold
    /// nothing are left out.
    pub fn live(&self, task: &Task, allocators: &[u8]) -> BTreeMap<u32, Sum> {
        self.live_after(task, allocators, u32::MAX)
    }

    /// The same at the end of slice `last`.
    pub fn live_after(&self, task: &Task, allocators: &[u8], last: u32) -> BTreeMap<u32, Sum> {
        let mut lines = Lines::new(&self.tables, allocators);
        let inherited = task.inherited.iter().flat_map(|inherited| &inherited.rows);
        inherited.for_each(|row| lines.add((row.node, row.allocator), sum_of(row)));
        lines.sums.iter_mut().for_each(|(_, sum)| sum.n_records = 0);
        for (line, sum) in self.allocated_until(task, allocators, last) {
            *lines.sums.entry(line).or_default() += sum;
        }
        let slices = task.slices.iter().filter(|slice| slice.index <= last);
        for row in slices.flat_map(|slice| slice.frees) {
            let sum = sum_of(&row);
            lines.add(
                (row.node, row.allocator),
                Sum { count: -sum.count, bytes: -sum.bytes, ..Sum::default() },
            );
        }
        lines.sums.retain(|_, sum| sum.count.abs() > 1e-6 || sum.bytes.abs() > 1e-3);
        lines.sums
    }

    /// The outermost to innermost frames of every site that allocated in `task`, with what it allocated.
    pub fn stacks(&self, task: &Task) -> Vec<(Vec<String>, u8, Sum)> {
        let rows = task.slices.iter().flat_map(|slice| slice.allocs);
        rows.map(|row| {
            let sum = Sum { count: row.count, bytes: row.bytes, ..Sum::default() };
            (self.words(row.node), row.allocator, sum)
        })
        .collect()
    }

    fn words(&self, node: u32) -> Vec<String> {
        let mut words: Vec<String> = self.tables.stack(node).map(|node| self.word(node)).collect();
        words.reverse();
        words
    }

    fn word(&self, node: u32) -> String {
        let frame = self.tables.frame(node);
        format!("{:?} {} {}", frame.kind, self.tables.text(frame.function), frame.line)
    }

    /// What `heapray WORDS… FILE --json` says.
    pub fn ask(&self, words: &[&str]) -> serde_json::Value {
        let mut command = Command::new(binary());
        command.args(words).arg(self.file()).arg("--json").env("NO_COLOR", "1");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let answer = Answer::from(command);
        assert_eq!(answer.status, Some(0), "{words:?}: {answer:?}");
        answer.json()
    }
}

fn sum_of(row: &LiveRow) -> Sum {
    Sum { count: row.count, bytes: row.bytes, bytes_variance: row.bytes_variance, n_records: row.n_records }
}

impl std::ops::AddAssign for Sum {
    fn add_assign(&mut self, more: Sum) {
        self.count += more.count;
        self.bytes += more.bytes;
        self.bytes_variance += more.bytes_variance;
        self.n_records += more.n_records;
    }
}

/// Adds rows up by the line of the program that they are charged to: that of the innermost Python frame, as
/// tracemalloc does; rows whose innermost Python frame is of another file, or cut off, go nowhere.
struct Lines<'a> {
    tables: &'a Recording,
    allocators: &'a [u8],
    sums: BTreeMap<u32, Sum>,
}

impl<'a> Lines<'a> {
    fn new(tables: &'a Recording, allocators: &'a [u8]) -> Lines<'a> {
        Lines { tables, allocators, sums: BTreeMap::new() }
    }

    fn add(&mut self, (node, allocator): (u32, u8), sum: Sum) {
        let wanted = match self.allocators {
            [] => allocator != heapray_wire::allocator::ARENA,
            some => some.contains(&allocator),
        };
        if let Some(line) = self.line(node).filter(|_| wanted) {
            *self.sums.entry(line).or_default() += sum;
        }
    }

    fn line(&self, node: u32) -> Option<u32> {
        if node == NO_NODE {
            return None;
        }
        let innermost =
            self.tables.stack(node).find(|node| self.tables.frame(*node).kind != FrameKind::Native)?;
        let frame = self.tables.frame(innermost);
        let of_program = frame.kind == FrameKind::Python && self.tables.text(frame.file).ends_with(PROGRAM);
        of_program.then_some(frame.line)
    }
}
