//! What the agent's tests share: the image, built as `attach` builds it, and a collector that keeps everything.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use heapray_testkit::{Python, find_other_pythons, find_pythons};
use heapray_wire::ring::cells::{Allocator, Cell, Record, decode};
use heapray_wire::ring::*;

/// All Pythons that the agent reads, here and in the other root.
pub(crate) fn pythons() -> Vec<Python> {
    let mut all = find_pythons().to_vec();
    all.extend(find_other_pythons());
    // The agent asks /proc about its process.
    let has_proc = |python: &Python| python.outside(Path::new("/proc/self/stat")).exists();
    all.into_iter().filter(|python| python.is_supported() && has_proc(python)).collect()
}

/// The agent's image. Flags and folder are `attach/build.rs`'s, so that both share one build.
pub(crate) fn image() -> &'static Path {
    static IMAGE: OnceLock<PathBuf> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let folder = root.join("target/agent-image");
        let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
        let flags = [
            "-Clinker=rust-lld",
            "-Clinker-flavor=ld.lld",
            "-Clink-self-contained=no",
            "-Clink-arg=-Bsymbolic",
            "-Clink-arg=-zdefs",
            "-Clink-arg=-znow",
            "-Clink-arg=--hash-style=both",
        ];
        let mut cargo = Command::new(env!("CARGO"));
        for (name, _) in
            std::env::vars().filter(|(name, _)| name.starts_with("CARGO_") && name != "CARGO_HOME")
        {
            cargo.env_remove(name);
        }
        let status = cargo
            .current_dir(&root)
            .args(["build", "--quiet", "--package", "heapray-agent-so", "--profile", "agent"])
            .args(["--target", &triple, "--target-dir"])
            .arg(&folder)
            .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the image builds");
        folder.join(triple).join("agent/libheapray_agent_so.so")
    })
}

/// What is recorded. Rings are large: a test's collector may not be scheduled for a while, and must lose nothing.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) mode: u32,
    pub(crate) level: u32,
    pub(crate) flags: u32,
    pub(crate) interval: u64,
    pub(crate) ring_bytes: usize,
    pub(crate) recording: u32,
}

impl Plan {
    pub(crate) const SAMPLED: Plan = Plan {
        mode: MODE_SAMPLED,
        level: LEVEL_OBJECTS,
        flags: FLAG_FOLLOW_EXEC,
        interval: 65_536,
        ring_bytes: 32 << 20,
        recording: 1,
    };
    pub(crate) const EXACT: Plan = Plan { mode: MODE_EXACT, ..Plan::SAMPLED };
}

/// The shared file and what came out of it.
pub(crate) struct Recorder {
    file: File,
    path: PathBuf,
    slot_bytes: usize,
    cells: BTreeMap<(usize, u32), Vec<Cell>>,
}

const N_SLOTS: usize = 48;

impl Recorder {
    pub(crate) fn new(plan: Plan) -> Recorder {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = PathBuf::from(format!("/dev/shm/heapray-agent-{}-{number}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("a new file");
        let slot_bytes = slot_bytes(plan.ring_bytes);
        file.set_len(file_bytes(N_SLOTS, slot_bytes) as u64).expect("a sparse file");
        let recorder = Recorder { file, path, slot_bytes, cells: BTreeMap::new() };
        recorder.put32(offset_of!(Control, version), RING_VERSION);
        recorder.put32(offset_of!(Control, slot_bytes), slot_bytes as u32);
        recorder.put32(offset_of!(Control, n_slots), N_SLOTS as u32);
        recorder.put32(offset_of!(Control, mode), plan.mode);
        recorder.put32(offset_of!(Control, level), plan.level);
        recorder.put32(offset_of!(Control, flags), plan.flags);
        recorder.put32(offset_of!(Control, recording), plan.recording);
        recorder.put64(offset_of!(Control, sample_interval), plan.interval);
        recorder.put64(offset_of!(Control, magic), RING_MAGIC);
        recorder
    }

    pub(crate) fn put32(&self, offset: usize, value: u32) {
        self.file.write_all_at(&value.to_le_bytes(), offset as u64).expect("inside the file");
    }

    pub(crate) fn put64(&self, offset: usize, value: u64) {
        self.file.write_all_at(&value.to_le_bytes(), offset as u64).expect("inside the file");
    }

    fn get32(&self, offset: usize) -> u32 {
        let mut bytes = [0; 4];
        self.file.read_exact_at(&mut bytes, offset as u64).expect("inside the file");
        u32::from_le_bytes(bytes)
    }

    fn get64(&self, offset: usize) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, offset as u64).expect("inside the file");
        u64::from_le_bytes(bytes)
    }

    /// A word of a slot's header.
    pub(crate) fn header(&self, slot: usize, offset: usize) -> u64 {
        self.get64(slot_offset(slot, self.slot_bytes) + offset)
    }

    /// A half word of a slot's header.
    pub(crate) fn header32(&self, slot: usize, offset: usize) -> u32 {
        self.get32(slot_offset(slot, self.slot_bytes) + offset)
    }

    pub(crate) fn beat(&self) {
        let offset = offset_of!(Control, heartbeat);
        self.put64(offset, self.get64(offset) + 1);
    }

    /// Slots that were ever taken, with their generation.
    pub(crate) fn slots(&self) -> Vec<(usize, u32)> {
        (0..N_SLOTS)
            .map(|idx| (idx, self.get32(claim_offset(idx)), self.get32(claim_offset(idx) + 4)))
            .filter(|(_, state, _)| *state >= SLOT_LIVE)
            .map(|(idx, _, generation)| (idx, generation))
            .collect()
    }

    fn read_cells(&self, offset: usize, n: usize) -> Vec<Cell> {
        let mut bytes = vec![0; n * CELL_BYTES];
        self.file.read_exact_at(&mut bytes, offset as u64).expect("inside the file");
        let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
        bytes.chunks_exact(16).map(|cell| Cell { a: word(&cell[..8]), b: word(&cell[8..]) }).collect()
    }

    /// Takes what is in the rings.
    pub(crate) fn drain(&mut self) {
        for (idx, generation) in self.slots() {
            let slot = slot_offset(idx, self.slot_bytes);
            let head = self.get64(slot + offset_of!(SlotHeader, head));
            let tail = self.get64(slot + offset_of!(SlotHeader, tail));
            let n_cells = ring_cells(self.slot_bytes);
            let start = tail % n_cells;
            let first = (head - tail).min(n_cells - start);
            let at = |cell: u64| slot + RING_OFFSET + cell as usize * CELL_BYTES;
            let mut cells = self.read_cells(at(start), first as usize);
            cells.extend(self.read_cells(at(0), (head - tail - first) as usize));
            self.put64(slot + offset_of!(SlotHeader, tail), head);
            self.cells.entry((idx, generation)).or_default().extend(cells);
        }
    }

    /// Takes what processes that have ended left in their windows.
    fn drain_windows(&mut self) {
        for (idx, generation) in self.slots() {
            let slot = slot_offset(idx, self.slot_bytes);
            let window = self.read_cells(slot + WINDOW_OFFSET, WINDOW_CELLS);
            let temporaries = self.read_cells(slot + TEMPORARIES_OFFSET, 2 * MAX_TEMPORARIES);
            let cells = self.cells.entry((idx, generation)).or_default();
            cells.extend(window.into_iter().filter(|cell| cell.a != 0));
            cells.extend(temporaries.chunks_exact(2).filter(|pair| pair[0].a != 0).flatten());
        }
    }

    /// A command for `python` with the agent preloaded.
    pub(crate) fn command(&self, python: &Python) -> Command {
        let mut command = match &python.root {
            None => {
                let mut command = python.command();
                command.env("LD_PRELOAD", image()).env(CONTROL_VARIABLE, &self.path);
                command
            }
            Some(root) => {
                let name = format!("tmp/heapray-agent-{}.so", std::process::id());
                std::fs::copy(image(), root.join(&name)).expect("the root is writable");
                let control = format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd());
                let mut command = Command::new("chroot");
                command.arg(root).arg("env").arg(format!("LD_PRELOAD=/{name}"));
                command.arg(format!("{CONTROL_VARIABLE}={control}")).arg(&python.exe);
                command
            }
        };
        command.env("PYTHONHASHSEED", "0").env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// Runs a command to its end and records it; its status and its output.
    pub(crate) fn run(&mut self, mut command: Command) -> (ExitStatus, String) {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let mut stdout = child.stdout.take().expect("piped");
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut stdout, &mut text).map(|_| text)
        });
        let status = loop {
            self.drain();
            self.beat();
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                break status;
            }
            std::thread::yield_now();
        };
        self.finish();
        (status, reader.join().expect("the reader ends").expect("output is text"))
    }

    /// Takes the rest, once all processes have ended.
    pub(crate) fn finish(&mut self) {
        self.drain();
        self.drain_windows();
    }

    /// What the process in the `number`th slot that was taken did.
    pub(crate) fn process(&self, number: usize) -> Process {
        let cells = self.cells.values().nth(number).expect("so many processes");
        Process::new(cells)
    }

    pub(crate) fn n_processes(&self) -> usize {
        self.cells.len()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A block that lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Block {
    pub(crate) node: u32,
    pub(crate) allocator: Allocator,
    pub(crate) size: u64,
    /// Mean distance of samples, 0 in exact mode.
    pub(crate) interval: u64,
}

impl Block {
    /// Bytes that the block stands for.
    pub(crate) fn weight(&self) -> f64 {
        match self.interval {
            0 => self.size as f64,
            interval => self.size as f64 / (1.0 - (-(self.size as f64) / interval as f64).exp()),
        }
    }
}

/// A process's records, followed.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) live: BTreeMap<u64, Block>,
    pub(crate) nodes: BTreeMap<u32, (u32, u64, i32)>,
    pub(crate) codes: BTreeMap<u64, String>,
    /// Bytes and blocks that were ever given, by node and allocator (exact mode).
    pub(crate) given: BTreeMap<(u32, u8), (u64, u64)>,
    pub(crate) n_unknown_frees: u64,
    pub(crate) n_lost: u64,
    pub(crate) marks: Vec<u64>,
    pub(crate) states: Vec<u64>,
}

impl Process {
    fn new(mut cells: &[Cell]) -> Process {
        let mut process = Process::default();
        while !cells.is_empty() {
            let (record, n) = decode(cells).expect("the agent writes whole records");
            cells = &cells[n..];
            process.take(record);
        }
        process
    }

    fn take(&mut self, record: Record) {
        match record {
            Record::Alloc { allocator, ptr, node, size } => {
                self.live.insert(ptr, Block { node, allocator, size, interval: 0 });
                self.count(node, allocator, size, 1);
            }
            Record::Sample { allocator, ptr, node, size, interval } => {
                self.live.insert(ptr, Block { node, allocator, size, interval });
            }
            Record::Free { ptr, .. } => {
                self.n_unknown_frees += u64::from(self.live.remove(&ptr).is_none());
            }
            Record::Unmap { addr, len } => {
                self.live.retain(|ptr, block| {
                    let is_mapping = matches!(block.allocator, Allocator::Mmap | Allocator::Arena);
                    !is_mapping || !(addr..addr + len).contains(ptr)
                });
            }
            Record::Temporary { node, allocator, n_pairs, bytes } => {
                self.count(node, allocator, bytes, n_pairs);
            }
            Record::Node { id, parent, a, b, kind } => {
                let is_python = kind == heapray_wire::ring::cells::NodeKind::Python;
                self.nodes.insert(id, (parent, if is_python { a } else { 0 }, b as i32));
            }
            Record::Code { id, name, .. } => {
                self.codes.insert(id, String::from_utf8_lossy(&name).into_owned());
            }
            Record::Forking { mark } => self.marks.push(mark),
            Record::State { recording } => self.states.push(recording),
            Record::Lost { n_events, n_frees } => self.n_lost += n_events + n_frees,
            Record::Text { .. } | Record::Object { .. } | Record::Ending { .. } | Record::Border { .. } => (),
        }
    }

    fn count(&mut self, node: u32, allocator: Allocator, bytes: u64, n: u64) {
        let entry = self.given.entry((node, allocator as u8)).or_default();
        *entry = (entry.0 + bytes, entry.1 + n);
    }

    /// Names of the functions at a node, innermost first.
    pub(crate) fn functions(&self, mut node: u32) -> Vec<&str> {
        let mut names = Vec::new();
        while let Some((parent, code, _)) = self.nodes.get(&node) {
            names.extend(self.codes.get(code).map(String::as_str));
            node = *parent;
        }
        names
    }

    /// Bytes that live and were given under `function`, arenas apart.
    pub(crate) fn live_under(&self, function: &str) -> f64 {
        let blocks = self.live.values().filter(|block| block.allocator != Allocator::Arena);
        blocks
            .filter(|block| self.functions(block.node).contains(&function))
            .map(Block::weight)
            .fold(0.0, |sum, weight| sum + weight)
    }

    /// Bytes and blocks that were ever given under `function`, arenas apart.
    pub(crate) fn given_under(&self, function: &str) -> (u64, u64) {
        self.given
            .iter()
            .filter(|((_, allocator), _)| *allocator != Allocator::Arena as u8)
            .filter(|((node, _), _)| self.functions(*node).contains(&function))
            .fold((0, 0), |sum, (_, given)| (sum.0 + given.0, sum.1 + given.1))
    }
}
