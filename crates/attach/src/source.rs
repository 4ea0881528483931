//! Where the bytes of a chunk come from: a process that stands still, or a core file.
//!
//! Anonymous memory that was never written is not read but known to be zero (`/proc/PID/pagemap`): reading it would make
//! the kernel allocate page tables for it, on the target's account, and 5,000 thread stacks are 40 GB of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use heapray_linux::{CoreFile, FileRoot, Mapping, RemoteMemory};

use crate::chunk::{Bytes, CHUNK_BYTES, Chunk};
use crate::fault::libc_errno;

/// Bits of a pagemap entry: present, swapped (Documentation/admin-guide/mm/pagemap.rst).
const PAGE_EXISTS: u64 = 0b11 << 62;

/// A process that stands still.
#[derive(Debug)]
pub(crate) struct Frozen {
    memory: RemoteMemory,
    pagemap: Option<File>,
    page_bytes: u64,
    gone: AtomicBool,
}

/// A core file, and the files that were mapped when it was written.
#[derive(Debug)]
pub(crate) struct Dump {
    core: CoreFile,
    files: FileRoot,
    /// Mapped files by path, opened when first wanted; `None` where that failed.
    opened: Mutex<BTreeMap<String, Option<Arc<File>>>>,
}

/// Where bytes come from.
#[derive(Debug)]
pub(crate) enum Source {
    /// A process.
    Process(Frozen),
    /// A core file.
    Core(Dump),
}

impl Source {
    /// The memory of process `pid`.
    pub(crate) fn process(pid: i32) -> Self {
        Self::Process(Frozen {
            memory: RemoteMemory::new(pid),
            pagemap: File::open(format!("/proc/{pid}/pagemap")).ok(),
            page_bytes: heapray_linux::page_bytes(),
            gone: AtomicBool::new(false),
        })
    }

    /// The memory in a core file; what it leaves out of mapped files is read from them.
    pub(crate) fn core(core: CoreFile, files: FileRoot) -> Self {
        Self::Core(Dump { core, files, opened: Mutex::default() })
    }

    /// Whether the process has ended under us.
    pub(crate) fn is_gone(&self) -> bool {
        match self {
            Self::Process(frozen) => frozen.gone.load(Ordering::Relaxed),
            Self::Core(_) => false,
        }
    }

    /// The chunk at `start`, which these mappings reach into (in address order), and how many of its mapped bytes could not be read.
    pub(crate) fn load(&self, start: u64, mappings: &[&Mapping]) -> (Chunk, u64) {
        let mut builder = Builder::new(start, mappings);
        for mapping in mappings {
            let (from, to) = (mapping.start.max(start), mapping.end.min(start + CHUNK_BYTES));
            match self {
                Self::Process(frozen) => frozen.fill(&mut builder, from..to, mapping),
                Self::Core(dump) => dump.fill(&mut builder, from..to, mapping),
            }
        }
        builder.finish()
    }
}

impl Frozen {
    fn fill(&self, builder: &mut Builder, range: std::ops::Range<u64>, mapping: &Mapping) {
        let anonymous = mapping.inode == 0 && !mapping.shared;
        let mut at = range.start;
        for run in self.runs(&range, anonymous) {
            builder.zeros(at..run.start);
            builder.read(run.clone(), |addr, buf, gap| {
                let result = self.memory.read_around(addr, buf, gap);
                if result.as_ref().is_err_and(|error| error.raw_os_error() == Some(libc_errno::ESRCH)) {
                    self.gone.store(true, Ordering::Relaxed);
                }
                result.is_ok()
            });
            at = run.end;
        }
        builder.zeros(at..range.end);
    }

    /// The stretches of `range` that exist; all of it where we cannot know.
    fn runs(&self, range: &std::ops::Range<u64>, anonymous: bool) -> Vec<std::ops::Range<u64>> {
        let entries = if anonymous { self.entries(range) } else { None };
        let Some(entries) = entries else { return vec![range.clone()] };
        let mut runs: Vec<std::ops::Range<u64>> = Vec::new();
        for (n, entry) in entries.iter().enumerate() {
            if entry & PAGE_EXISTS == 0 {
                continue;
            }
            let page = range.start + n as u64 * self.page_bytes;
            match runs.last_mut() {
                Some(run) if run.end == page => run.end += self.page_bytes,
                _ => runs.push(page..page + self.page_bytes),
            }
        }
        runs
    }

    fn entries(&self, range: &std::ops::Range<u64>) -> Option<Vec<u64>> {
        let n = usize::try_from((range.end - range.start) / self.page_bytes).ok()?;
        let mut bytes = vec![0; 8 * n];
        self.pagemap.as_ref()?.read_exact_at(&mut bytes, range.start / self.page_bytes * 8).ok()?;
        Some(
            bytes
                .chunks_exact(8)
                .map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight")))
                .collect(),
        )
    }
}

impl Dump {
    fn fill(&self, builder: &mut Builder, range: std::ops::Range<u64>, mapping: &Mapping) {
        builder.read(range, |addr, buf, gap| {
            let mut at = 0;
            while at < buf.len() {
                match self.read(addr + at as u64, &mut buf[at..], mapping) {
                    0 => break,
                    n => at += n,
                }
            }
            if at < buf.len() {
                gap(at, buf.len() - at);
            }
            true
        });
    }

    /// From the core file, else from the mapped file (code and constants, which a core leaves out by default).
    fn read(&self, addr: u64, buf: &mut [u8], mapping: &Mapping) -> usize {
        match self.core.read(addr, buf) {
            Ok(n) if n > 0 => n,
            _ if mapping.is_file() && !mapping.write => {
                let offset = mapping.offset + (addr - mapping.start);
                self.open(mapping).and_then(|file| file.read_at(buf, offset).ok()).unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn open(&self, mapping: &Mapping) -> Option<Arc<File>> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let open = || self.files.open(mapping).ok().map(Arc::new);
        opened.entry(mapping.path.clone()).or_insert_with(open).clone()
    }
}

/// A chunk in the making.
struct Builder {
    /// Address of the first mapped byte.
    base: u64,
    /// Offset of that byte in the chunk.
    skip: u64,
    len: usize,
    /// Allocated when something that is not zero comes.
    bytes: Option<Vec<u8>>,
    /// Readable stretches as offsets in the chunk.
    stretches: Vec<(u32, u32)>,
    unreadable: u64,
}

impl Builder {
    fn new(start: u64, mappings: &[&Mapping]) -> Self {
        let base = mappings.first().map_or(start, |mapping| mapping.start.max(start));
        let end = mappings.last().map_or(start, |mapping| mapping.end.min(start + CHUNK_BYTES));
        let len = usize::try_from(end.saturating_sub(base)).expect("a chunk is small");
        Self { base, skip: base - start, len, bytes: None, stretches: Vec::new(), unreadable: 0 }
    }

    /// `range` is readable; joins it to the stretch before where they touch.
    fn readable(&mut self, range: std::ops::Range<u64>) {
        if range.is_empty() {
            return;
        }
        let offset = |addr: u64| u32::try_from(addr - self.base + self.skip).expect("a chunk is small");
        let (start, end) = (offset(range.start), offset(range.end));
        match self.stretches.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => self.stretches.push((start, end)),
        }
    }

    /// `range` reads as zeros.
    fn zeros(&mut self, range: std::ops::Range<u64>) {
        self.readable(range);
    }

    /// Reads `range` by `fill`, which answers `false` where nothing more can be read at all.
    fn read(
        &mut self,
        range: std::ops::Range<u64>,
        fill: impl FnOnce(u64, &mut [u8], &mut dyn FnMut(usize, usize)) -> bool,
    ) {
        let len = self.len;
        let bytes = self.bytes.get_or_insert_with(|| vec![0; len]);
        let at = usize::try_from(range.start - self.base).expect("a chunk is small");
        let n = usize::try_from(range.end - range.start).expect("a chunk is small");
        let mut gaps = Vec::new();
        if !fill(range.start, &mut bytes[at..at + n], &mut |at, len| gaps.push((at as u64, len as u64))) {
            gaps = vec![(0, n as u64)];
        }
        let mut from = range.start;
        for (at, len) in gaps {
            self.readable(from..range.start + at);
            self.unreadable += len;
            from = range.start + at + len;
        }
        self.readable(from..range.end);
    }

    fn finish(mut self) -> (Chunk, u64) {
        let unreadable = self.unreadable;
        let (Some(first), Some(last)) = (self.stretches.first(), self.stretches.last()) else {
            return (Chunk::empty(), unreadable);
        };
        let (start, end) = (first.0, last.1);
        let bytes = match self.bytes.take() {
            Some(mut bytes) => {
                let skip = usize::try_from(u64::from(start) - self.skip).expect("a chunk is small");
                bytes.truncate(skip + (end - start) as usize);
                bytes.drain(..skip);
                Bytes::Owned(bytes.into_boxed_slice())
            }
            None => Bytes::Zeros(end - start),
        };
        (Chunk::new(bytes, &self.stretches), unreadable)
    }
}
