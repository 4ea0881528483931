//! A live process's memory through `/proc/PID/mem`, in chunks that are read once and kept.
//!
//! No consistency: the tests keep their target waiting while they look.

use std::cell::OnceCell;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use heapray_cpython::{Memory, Region};

const CHUNK: u64 = 1 << 20;

/// See the module. Unreadable pages read as empty.
pub struct ProcMemory {
    pid: u32,
    file: File,
    regions: Vec<Region>,
    chunks: Vec<Vec<OnceCell<Box<[u8]>>>>,
}

impl ProcMemory {
    /// Opens the memory of `pid` with its mappings as they are now; panics where that is not permitted.
    pub fn open(pid: u32) -> ProcMemory {
        let file = File::open(format!("/proc/{pid}/mem")).expect("target lives and is ours");
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("target lives and is ours");
        let regions: Vec<Region> = maps.lines().filter_map(parse_region).collect();
        let chunks = regions.iter().map(empty_chunks).collect();
        ProcMemory { pid, file, regions, chunks }
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Its mappings in address order.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The address of a global symbol, as [`crate::symbol`].
    pub fn symbol(&self, name: &str) -> Option<u64> {
        crate::symbol(self.pid, &self.regions, name)
    }

    fn read(&self, start: u64, len: u64) -> Box<[u8]> {
        let mut bytes = vec![0; len as usize];
        let mut done = 0;
        while done < bytes.len() {
            match self.file.read_at(&mut bytes[done..], start + done as u64) {
                Ok(n) if n > 0 => done += n,
                _ => break,
            }
        }
        bytes.truncate(done);
        bytes.into_boxed_slice()
    }
}

impl Memory for ProcMemory {
    fn tail(&self, addr: u64) -> &[u8] {
        let after = self.regions.partition_point(|region| region.start <= addr);
        let Some(idx) = after.checked_sub(1) else { return &[] };
        let region = &self.regions[idx];
        let offset = addr - region.start;
        let Some(cell) = self.chunks[idx].get((offset / CHUNK) as usize).filter(|_| addr < region.end) else {
            return &[];
        };
        let start = addr - offset % CHUNK;
        let chunk = cell.get_or_init(|| self.read(start, CHUNK.min(region.end - start)));
        chunk.get((offset % CHUNK) as usize..).unwrap_or(&[])
    }
}

fn empty_chunks(region: &Region) -> Vec<OnceCell<Box<[u8]>>> {
    let n = if region.read { (region.end - region.start).div_ceil(CHUNK) } else { 0 };
    (0..n).map(|_| OnceCell::new()).collect()
}

fn parse_region(line: &str) -> Option<Region> {
    let mut fields = line.splitn(6, ' ');
    let (start, end) = fields.next()?.split_once('-')?;
    let perms = fields.next()?.as_bytes();
    let offset = fields.next()?;
    let path = fields.nth(2).unwrap_or("").trim_start();
    Some(Region {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        read: perms.first() == Some(&b'r'),
        write: perms.get(1) == Some(&b'w'),
        exec: perms.get(2) == Some(&b'x'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        path: path.to_owned(),
    })
}
