//! Where the bytes of a chunk come from: a process that stands still, or a core file.
//!
//! Anonymous memory that was never written is not read but known to be zero (`/proc/PID/pagemap`): reading it would make
//! the kernel allocate page tables for it, on the target's account, and 5,000 thread stacks are 40 GB of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use heapray_linux::{CoreFile, FileRoot, Mapping, RemoteMemory};

use crate::chunk::{Bytes, CHUNK_BYTES, Chunk, Spares, Stretch};
use crate::fault::libc_errno;

/// Bits of a pagemap entry: present, swapped (Documentation/admin-guide/mm/pagemap.rst).
const PAGE_EXISTS: u64 = 0b11 << 62;

/// A process that stands still.
#[derive(Debug)]
pub(crate) struct Frozen {
    /// For mapped files, and memory shared with other processes.
    memory: RemoteMemory,
    /// For what a copy shares with the target, and a target with its own children, until one of them writes.
    private: RemoteMemory,
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
            private: RemoteMemory::leaving_pages_shared(pid),
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
    pub(crate) fn load(&self, start: u64, mappings: &[&Mapping], spares: &Spares) -> (Chunk, u64) {
        let mut builder = Builder::new(start, mappings, spares);
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
    fn fill(&self, builder: &mut Builder<'_>, range: Range<u64>, mapping: &Mapping) {
        let anonymous = mapping.inode == 0 && !mapping.shared;
        let memory = if anonymous { &self.private } else { &self.memory };
        let mut at = range.start;
        for run in self.runs(&range, anonymous) {
            builder.zeros(at..run.start);
            builder.read(run.clone(), |addr, buf, gap| {
                let result = memory.read_around(addr, buf, gap);
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
    fn runs(&self, range: &Range<u64>, anonymous: bool) -> Vec<Range<u64>> {
        let entries = if anonymous { self.entries(range) } else { None };
        let Some(entries) = entries else { return vec![range.clone()] };
        let mut runs: Vec<Range<u64>> = Vec::new();
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

    fn entries(&self, range: &Range<u64>) -> Option<Vec<u64>> {
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
    fn fill(&self, builder: &mut Builder<'_>, range: Range<u64>, mapping: &Mapping) {
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

/// A chunk in the making. Pieces that touch become one stretch.
struct Builder<'a> {
    /// Address of the chunk.
    chunk: u64,
    /// Finished stretches.
    done: Vec<Stretch>,
    /// First address and length of the stretch that may still grow.
    start: u64,
    len: usize,
    /// Its bytes, and anything behind them; empty while all of it is zeros.
    bytes: Vec<u8>,
    /// Where the last mapping ends: no buffer reaches further.
    end: u64,
    unreadable: u64,
    spares: &'a Spares,
}

impl<'a> Builder<'a> {
    fn new(chunk: u64, mappings: &[&Mapping], spares: &'a Spares) -> Self {
        let end = mappings.last().map_or(chunk, |mapping| mapping.end.min(chunk + CHUNK_BYTES));
        Self { chunk, done: Vec::new(), start: chunk, len: 0, bytes: Vec::new(), end, unreadable: 0, spares }
    }

    /// Ends the stretch before `addr` unless it touches it.
    fn go_to(&mut self, addr: u64) {
        if self.start + self.len as u64 != addr {
            self.close();
            self.start = addr;
        }
    }

    fn close(&mut self) {
        let (mut bytes, len) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.len));
        if len == 0 {
            return;
        }
        let small = |n: u64| u32::try_from(n).expect("a chunk is small");
        let start = small(self.start - self.chunk);
        let bytes = if bytes.is_empty() {
            Bytes::Zeros(small(len as u64))
        } else {
            bytes.truncate(len);
            if len < bytes.capacity() / 2 {
                bytes.shrink_to_fit();
            }
            Bytes::Owned(bytes)
        };
        self.done.push(Stretch { start, bytes });
    }

    /// `range` reads as zeros.
    fn zeros(&mut self, range: Range<u64>) {
        if !range.is_empty() {
            self.go_to(range.start);
            let end = self.len + len_of(&range);
            if let Some(rest) = self.bytes.get_mut(self.len..end) {
                rest.fill(0);
            }
            self.len = end;
        }
    }

    /// The buffer for the next `n` bytes of the stretch, with anything in it. It is made large enough for all that may
    /// follow, so that a spare one fits.
    fn room(&mut self, n: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.bytes = self.spares.take(len_of(&(self.start..self.end)));
            self.bytes[..self.len].fill(0);
        }
        &mut self.bytes[self.len..self.len + n]
    }

    /// Reads `range` by `fill`, which answers `false` where nothing more can be read at all.
    fn read(
        &mut self,
        range: Range<u64>,
        fill: impl FnOnce(u64, &mut [u8], &mut dyn FnMut(usize, usize)) -> bool,
    ) {
        self.go_to(range.start);
        let n = len_of(&range);
        let mut gaps = Vec::new();
        let buf = self.room(n);
        if !fill(range.start, buf, &mut |at, len| gaps.push((at, len))) {
            gaps = vec![(0, n)];
        }
        if gaps.is_empty() {
            self.len += n;
        } else {
            let read = buf.to_vec();
            self.append_around(range.start, &read, &gaps);
        }
    }

    /// Appends what is between the gaps (offset, length) of `read`, which is the memory at `start`.
    fn append_around(&mut self, start: u64, read: &[u8], gaps: &[(usize, usize)]) {
        let mut from = 0;
        for (gap, len) in gaps {
            self.append(start + from as u64, &read[from..*gap]);
            self.unreadable += *len as u64;
            from = gap + len;
        }
        self.append(start + from as u64, &read[from..]);
    }

    fn append(&mut self, addr: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.go_to(addr);
            self.room(bytes.len()).copy_from_slice(bytes);
            self.len += bytes.len();
        }
    }

    fn finish(mut self) -> (Chunk, u64) {
        self.close();
        (Chunk::new(self.done), self.unreadable)
    }
}

fn len_of(range: &Range<u64>) -> usize {
    usize::try_from(range.end - range.start).expect("a chunk is small")
}
