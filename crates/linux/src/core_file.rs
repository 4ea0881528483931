//! A core file: the memory, threads and mapped files of a process at its death (ELF `ET_CORE`, elf(5), core(5)).
//!
//! Only headers and notes are read here; memory is read on demand. A file that was cut short gives what is there and a
//! list of what is not. Every size in it is untrusted.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::Mapping;
use crate::arch::{ELF_MACHINE, REGISTER_COUNT, Registers};

const PT_LOAD: u32 = 1;
const PT_NOTE: u32 = 4;
const ET_CORE: u16 = 4;
const NT_PRSTATUS: u32 = 1;
const NT_PRPSINFO: u32 = 3;
const NT_FILE: u32 = 0x4649_4c45;
const PF_X: u32 = 1;
const PF_W: u32 = 2;
const PF_R: u32 = 4;
/// More notes than this are not read: 100,000 threads need about 100 MiB.
const MAX_NOTE_BYTES: u64 = 512 << 20;
/// Program headers beyond 65,535 are counted in the first section header (`PN_XNUM`).
const PN_XNUM: u16 = 0xffff;

/// A piece of memory that the core file has (or had, before it was cut short).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreLoad {
    /// First address.
    pub start: u64,
    /// Size in memory.
    pub size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Bytes in the file: the rest was left out when it was written (file mappings, filtered) or cut off since.
    pub file_size: u64,
    /// `PF_R`, `PF_W`, `PF_X`.
    flags: u32,
}

/// A thread in a core file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CoreThread {
    /// Its id.
    pub tid: i32,
    /// Its registers.
    pub registers: Registers,
}

/// A core file, open.
#[derive(Debug)]
pub struct CoreFile {
    file: File,
    /// Memory, in address order.
    pub loads: Vec<CoreLoad>,
    /// Threads, in file order: the one that caused the dump is first.
    pub threads: Vec<CoreThread>,
    /// Mappings: the loads, with the paths and offsets that `NT_FILE` gives them.
    pub mappings: Vec<Mapping>,
    /// The process.
    pub pid: i32,
    /// Its name, at most 15 bytes.
    pub name: String,
    /// The start of its command line, at most 79 bytes.
    pub arguments: String,
    /// What is missing because the file is damaged, a sentence each.
    pub losses: Vec<String>,
}

impl CoreFile {
    /// Opens a core file and reads its headers and notes.
    ///
    /// # Errors
    /// `InvalidData` with a sentence where it is not a 64-bit little-endian core file of this architecture, or cut off
    /// inside its headers; those of reading.
    pub fn open(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        let headers = program_headers(&file)?;
        let mut core = Self {
            file,
            loads: Vec::new(),
            threads: Vec::new(),
            mappings: Vec::new(),
            pid: 0,
            name: String::new(),
            arguments: String::new(),
            losses: Vec::new(),
        };
        let mut files = Vec::new();
        for header in &headers {
            match header.kind {
                PT_LOAD => core.add_load(header, len),
                PT_NOTE => core.add_notes(header, len, &mut files),
                _ => {}
            }
        }
        core.loads.sort_by_key(|load| load.start);
        core.add_files(&files);
        core.mappings = core.loads.iter().map(|load| mapping(load, &files)).collect();
        if core.threads.is_empty() {
            core.losses.push("no thread's registers".to_owned());
        }
        Ok(core)
    }

    fn add_load(&mut self, header: &Header, len: u64) {
        let Some(end) = header.address.checked_add(header.size) else { return };
        if header.size == 0 {
            return;
        }
        let there = len.saturating_sub(header.offset).min(header.file_size).min(header.size);
        if there < header.file_size.min(header.size) {
            let lost = header.file_size - there;
            self.losses.push(format!("{lost} bytes of memory at {:#x}–{end:#x} (cut off)", header.address));
        }
        self.loads.push(CoreLoad {
            start: header.address,
            size: header.size,
            offset: header.offset,
            file_size: there,
            flags: header.flags,
        });
    }

    /// Adds the mapped files that no load tells of: gdb's gcore leaves them out, the kernel writes a load without bytes.
    fn add_files(&mut self, files: &[MappedFile]) {
        let is_told = |file: &&MappedFile| {
            let before = self.loads.partition_point(|load| load.start < file.end);
            before
                .checked_sub(1)
                .is_some_and(|n| self.loads[n].start.saturating_add(self.loads[n].size) > file.start)
        };
        let untold = files.iter().filter(|file| file.start < file.end && !is_told(file));
        let loads: Vec<CoreLoad> = untold
            .map(|file| CoreLoad {
                start: file.start,
                size: file.end - file.start,
                offset: 0,
                file_size: 0,
                flags: PF_R | PF_X, // what was not written to: constants and code
            })
            .collect();
        self.loads.extend(loads);
        self.loads.sort_by_key(|load| load.start);
    }

    fn add_notes(&mut self, header: &Header, len: u64, files: &mut Vec<MappedFile>) {
        let there = len.saturating_sub(header.offset).min(header.file_size);
        if there < header.file_size {
            self.losses.push(format!("{} bytes of notes (threads, mapped files)", header.file_size - there));
        }
        let mut bytes = vec![0; usize::try_from(there.min(MAX_NOTE_BYTES)).unwrap_or(0)];
        if self.file.read_exact_at(&mut bytes, header.offset).is_err() {
            self.losses.push("the notes (threads, mapped files)".to_owned());
            return;
        }
        let mut rest = bytes.as_slice();
        while let Some((kind, description, next)) = note(rest) {
            self.add_note(kind, description, files);
            rest = next;
        }
    }

    fn add_note(&mut self, kind: u32, description: &[u8], files: &mut Vec<MappedFile>) {
        match kind {
            NT_PRSTATUS => self.threads.extend(thread(description)),
            NT_PRPSINFO => {
                // struct elf_prpsinfo: pr_pid at 24, pr_fname[16] at 40, pr_psargs[80] at 56 (include/linux/elfcore.h, 64-bit).
                self.pid = i32_at(description, 24).unwrap_or(0);
                self.name = text_at(description, 40, 16);
                self.arguments = text_at(description, 56, 80).trim_end().to_owned();
            }
            NT_FILE => files.extend(mapped_files(description)),
            _ => {}
        }
    }

    /// Reads memory at `addr` into `buf`, as far as one load has it; 0 where the file has nothing there.
    ///
    /// # Errors
    /// Those of reading the file.
    pub fn read(&self, addr: u64, buf: &mut [u8]) -> io::Result<usize> {
        let after = self.loads.partition_point(|load| load.start <= addr);
        let Some(load) = after.checked_sub(1).map(|n| &self.loads[n]) else { return Ok(0) };
        let into = addr - load.start;
        let len = usize::try_from(load.file_size.saturating_sub(into)).unwrap_or(usize::MAX).min(buf.len());
        self.file.read_at(&mut buf[..len], load.offset + into)
    }
}

/// A program header.
struct Header {
    kind: u32,
    flags: u32,
    offset: u64,
    address: u64,
    file_size: u64,
    size: u64,
}

/// A line of `NT_FILE`.
struct MappedFile {
    start: u64,
    end: u64,
    offset: u64,
    path: String,
}

fn refuse(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason.to_owned())
}

fn program_headers(file: &File) -> io::Result<Vec<Header>> {
    let mut head = [0; 64];
    file.read_exact_at(&mut head, 0).map_err(|_| refuse("it is too short for an ELF header"))?;
    if head[..4] != *b"\x7fELF" {
        return Err(refuse("it is not an ELF file"));
    }
    if head[4] != 2 || head[5] != 1 {
        return Err(refuse("it is not a 64-bit little-endian ELF file"));
    }
    if u16_at(&head, 16) != Some(ET_CORE) {
        return Err(refuse("it is an ELF file but not a core file"));
    }
    if u16_at(&head, 18) != Some(ELF_MACHINE) {
        return Err(refuse("it comes from a machine of another architecture"));
    }
    let offset = u64_at(&head, 32).unwrap_or(0);
    let (entry, few) = (u16_at(&head, 54).unwrap_or(0), u16_at(&head, 56).unwrap_or(0));
    if entry != 56 {
        return Err(refuse("its program headers have an unknown size"));
    }
    let n = if few == PN_XNUM { extended_count(file, &head)? } else { u32::from(few) };
    let mut bytes = vec![0; 56 * n.min(1 << 20) as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|_| refuse("it is cut off inside its program headers"))?;
    Ok(bytes.chunks_exact(56).filter_map(header).collect())
}

/// `sh_info` of the first section header.
fn extended_count(file: &File, head: &[u8]) -> io::Result<u32> {
    let mut section = [0; 64];
    let offset = u64_at(head, 40).unwrap_or(0);
    file.read_exact_at(&mut section, offset)
        .map_err(|_| refuse("it is cut off inside its section headers"))?;
    Ok(i32_at(&section, 44).unwrap_or(0).cast_unsigned())
}

fn header(bytes: &[u8]) -> Option<Header> {
    Some(Header {
        kind: i32_at(bytes, 0)?.cast_unsigned(),
        flags: i32_at(bytes, 4)?.cast_unsigned(),
        offset: u64_at(bytes, 8)?,
        address: u64_at(bytes, 16)?,
        file_size: u64_at(bytes, 32)?,
        size: u64_at(bytes, 40)?,
    })
}

/// The first note: its kind, its description, and what follows. Names and descriptions are padded to 4 bytes.
fn note(bytes: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let name_len = usize::try_from(i32_at(bytes, 0)?).ok()?;
    let len = usize::try_from(i32_at(bytes, 4)?).ok()?;
    let kind = i32_at(bytes, 8)?.cast_unsigned();
    let start = 12usize.checked_add(name_len.checked_next_multiple_of(4)?)?;
    let end = start.checked_add(len)?;
    let description = bytes.get(start..end)?;
    Some((kind, description, bytes.get(end.checked_next_multiple_of(4)?..).unwrap_or_default()))
}

/// struct elf_prstatus: pr_pid at 32, pr_reg at 112 (include/linux/elfcore.h, 64-bit).
fn thread(description: &[u8]) -> Option<CoreThread> {
    let mut words = [0; REGISTER_COUNT];
    for (n, word) in words.iter_mut().enumerate() {
        *word = u64_at(description, 112 + 8 * n)?;
    }
    Some(CoreThread { tid: i32_at(description, 32)?, registers: Registers(words) })
}

/// `NT_FILE`: count and page size, then start, end and offset (in pages) of each, then the paths (fs/binfmt_elf.c).
fn mapped_files(description: &[u8]) -> Vec<MappedFile> {
    let (Some(n), Some(page)) = (u64_at(description, 0), u64_at(description, 8)) else { return Vec::new() };
    let n = usize::try_from(n).unwrap_or(usize::MAX).min(description.len() / 24);
    let names = description.get(16 + 24 * n..).unwrap_or_default();
    let paths = names.split(|byte| *byte == 0);
    let line = |(k, path): (usize, &[u8])| {
        Some(MappedFile {
            start: u64_at(description, 16 + 24 * k)?,
            end: u64_at(description, 24 + 24 * k)?,
            offset: u64_at(description, 32 + 24 * k)?.wrapping_mul(page),
            path: String::from_utf8_lossy(path).into_owned(),
        })
    };
    paths.take(n).enumerate().filter_map(line).collect()
}

fn mapping(load: &CoreLoad, files: &[MappedFile]) -> Mapping {
    let file = files.iter().find(|file| file.start <= load.start && load.start < file.end);
    let mut mapping = Mapping {
        start: load.start,
        end: load.start + load.size,
        read: load.flags & PF_R != 0,
        write: load.flags & PF_W != 0,
        exec: load.flags & PF_X != 0,
        ..Mapping::default()
    };
    if let Some(file) = file {
        mapping.offset = file.offset.wrapping_add(load.start - file.start);
        mapping.path = file.path.strip_suffix(" (deleted)").unwrap_or(&file.path).to_owned();
        mapping.deleted = mapping.path.len() != file.path.len();
        // Core files do not tell inodes; any number says "a file".
        mapping.inode = 1;
    }
    mapping
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn text_at(bytes: &[u8], at: usize, len: usize) -> String {
    let field = bytes.get(at..at + len).unwrap_or_default();
    let text = field.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
