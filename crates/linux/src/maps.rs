//! The mappings of a process, from `/proc/PID/maps`.
//!
//! Parsing only: no opinion on which mappings are worth reading. A line that does not parse is skipped.

use std::io;

/// One line of `/proc/PID/maps` (proc_pid_maps(5)), or a load segment of a core file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub exec: bool,
    /// Shared with other processes (`s`), else private.
    pub shared: bool,
    /// Offset in the mapped file, in bytes.
    pub offset: u64,
    /// Device of the mapped file as `major:minor` in hexadecimal, `00:00` where there is none.
    pub device: String,
    /// Inode of the mapped file, 0 where there is none.
    pub inode: u64,
    /// Path as the process sees it in its own mount namespace, without ` (deleted)`; `[heap]`, `[stack]`; or empty.
    pub path: String,
    /// The file was unlinked or replaced since it was mapped.
    pub deleted: bool,
}

impl Mapping {
    /// Length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.end - self.start
    }

    /// Backed by a file (an inode), as opposed to anonymous memory.
    pub fn is_file(&self) -> bool {
        self.inode != 0 && self.path.starts_with('/')
    }

    /// Memory that only the kernel can read sensibly, or whose reading has effects: devices, `[vvar]`, `[vsyscall]`.
    pub fn is_special(&self) -> bool {
        self.path.starts_with("[vvar")
            || self.path == "[vsyscall]"
            || (self.path.starts_with("/dev/")
                && !self.path.starts_with("/dev/shm/")
                && !self.path.starts_with("/dev/zero"))
    }
}

/// The mappings of process `pid`, in address order.
///
/// # Errors
/// Those of opening and reading `/proc/PID/maps`: no such process, or no permission to trace it.
pub fn mappings(pid: i32) -> io::Result<Vec<Mapping>> {
    Ok(parse_mappings(&std::fs::read(format!("/proc/{pid}/maps"))?))
}

/// Parses the text of a `maps` file. Paths are decoded from the kernel's octal escapes, lossily to UTF-8.
pub fn parse_mappings(text: &[u8]) -> Vec<Mapping> {
    text.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// One line; `None` where it is none of a mapping.
pub(crate) fn parse_line(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let range = std::str::from_utf8(fields.next()?).ok()?;
    let (start, end) = range.split_once('-')?;
    let perms = fields.next()?;
    let offset = std::str::from_utf8(fields.next()?).ok()?;
    let device = std::str::from_utf8(fields.next()?).ok()?;
    let inode = std::str::from_utf8(fields.next()?).ok()?;
    let path = unescape(fields.next().unwrap_or_default().trim_ascii_start());
    let (path, deleted) = match path.strip_suffix(" (deleted)") {
        Some(stem) => (stem.to_owned(), true),
        None => (path, false),
    };
    let mapping = Mapping {
        start: u64::from_str_radix(start, 16).ok()?,
        end: u64::from_str_radix(end, 16).ok()?,
        read: perms.first() == Some(&b'r'),
        write: perms.get(1) == Some(&b'w'),
        exec: perms.get(2) == Some(&b'x'),
        shared: perms.get(3) == Some(&b's'),
        offset: u64::from_str_radix(offset, 16).ok()?,
        device: device.to_owned(),
        inode: inode.parse().ok()?,
        path,
        deleted,
    };
    (mapping.start < mapping.end).then_some(mapping)
}

/// The kernel writes a newline in a path as `\012` (`seq_path`, fs/seq_file.c); a backslash stands for itself.
fn unescape(path: &[u8]) -> String {
    let path = String::from_utf8_lossy(path);
    if path.contains("\\012") { path.replace("\\012", "\n") } else { path.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deleted_file_with_spaces_keeps_its_path() {
        let text = b"7f00-7f10 r-xp 00001000 fe:01 42    /a b/lib (x).so (deleted)\n";
        let parsed = parse_mappings(text);
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].path, "/a b/lib (x).so");
        assert!(parsed[0].deleted && parsed[0].exec && parsed[0].read && !parsed[0].write);
        assert_eq!(
            (parsed[0].start, parsed[0].end, parsed[0].offset, parsed[0].inode),
            (0x7f00, 0x7f10, 0x1000, 42)
        );
    }

    #[test]
    fn anonymous_memory_has_no_path() {
        let parsed = parse_mappings(b"10-20 rw-p 00000000 00:00 0 \n20-30 ---p 00000000 00:00 0");
        assert_eq!(parsed.len(), 2);
        assert!(parsed[0].path.is_empty() && !parsed[0].is_file());
        assert!(!parsed[1].read);
    }

    #[test]
    fn damaged_lines_are_skipped() {
        let text = b"zz-10 r--p 0 0:0 0\n10\n\n20-10 r--p 0 0:0 0\n10-20 r--p 0 0:0 0 [stack]\n";
        let parsed = parse_mappings(text);
        assert_eq!(parsed.len(), 1);
        assert_eq!(parsed[0].path, "[stack]");
    }

    #[test]
    fn our_own_mappings_contain_this_function() {
        let here = our_own_mappings_contain_this_function as fn() as usize as u64;
        let maps = mappings(std::process::id().cast_signed()).expect("own maps are readable");
        assert!(maps.iter().any(|mapping| mapping.exec && mapping.start <= here && here < mapping.end));
        assert!(maps.is_sorted_by_key(|mapping| mapping.start));
    }
}
