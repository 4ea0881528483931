//! A core file gives the same image as the process, and a damaged one what is left, with a list of what is not.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use heapray_attach::{CopyOptions, Image, ImageKind, copy, core};
use heapray_cpython::Memory;
use support::Target;

/// A core file as the kernel would write it, from an image: notes with threads and mapped files, then memory but for code.
fn write_core(image: &Image) -> Vec<u8> {
    let saved: Vec<_> =
        image.mappings.iter().filter(|mapping| mapping.read && !mapping.is_special()).collect();
    let notes = [prstatus(image), prpsinfo(image), files(image)].concat();
    let headers = 1 + saved.len();
    let mut offset = 64 + 56 * headers as u64;
    let mut out = Vec::new();
    out.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out.extend(words16(&[4, heapray_linux::arch::ELF_MACHINE]));
    out.extend(1u32.to_le_bytes());
    out.extend(words64(&[0, 64, 0]));
    out.extend(0u32.to_le_bytes());
    out.extend(words16(&[64, 56, u16::try_from(headers).expect("few"), 0, 0, 0]));
    let mut header = |kind: u32, flags: u32, rest: [u64; 4]| {
        out.extend(kind.to_le_bytes());
        out.extend(flags.to_le_bytes());
        let [offset, address, file_size, size] = rest;
        out.extend(words64(&[offset, address, address, file_size, size, 1]));
    };
    header(4, 0, [offset, 0, notes.len() as u64, 0]);
    offset += notes.len() as u64;
    for mapping in &saved {
        let flags = 4 | (2 * u32::from(mapping.write)) | u32::from(mapping.exec);
        let len = if is_code(mapping) { 0 } else { mapping.len_bytes() };
        header(1, flags, [offset, mapping.start, len, mapping.len_bytes()]);
        offset += len;
    }
    out.extend(notes);
    for mapping in saved.iter().filter(|mapping| !is_code(mapping)) {
        let mut bytes = vec![0; usize::try_from(mapping.len_bytes()).expect("small")];
        assert!(image.memory.copy(mapping.start, &mut bytes), "{mapping:?}");
        out.extend(bytes);
    }
    out
}

/// Left out of core files: what was never written since it was mapped.
fn is_code(mapping: &heapray_linux::Mapping) -> bool {
    mapping.exec && mapping.is_file()
}

fn words16(words: &[u16]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn words64(words: &[u64]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn note(kind: u32, description: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(5u32.to_le_bytes());
    out.extend(u32::try_from(description.len()).expect("small").to_le_bytes());
    out.extend(kind.to_le_bytes());
    out.extend(b"CORE\0\0\0\0");
    out.extend(description);
    out.resize(out.len().next_multiple_of(4), 0);
    out
}

fn prstatus(image: &Image) -> Vec<u8> {
    let one = |thread: &heapray_attach::StoppedThread| {
        let mut description = vec![0; 32];
        description.extend(thread.tid.to_le_bytes());
        description.resize(112, 0);
        description.extend(words64(&thread.registers));
        description.resize(description.len() + 8, 0);
        note(1, &description)
    };
    image.threads.iter().flat_map(one).collect()
}

fn prpsinfo(image: &Image) -> Vec<u8> {
    let mut description = vec![0; 136];
    description[24..28].copy_from_slice(&image.pid.to_le_bytes());
    description[40..46].copy_from_slice(b"python");
    note(3, &description)
}

fn files(image: &Image) -> Vec<u8> {
    let mapped: Vec<_> = image.mappings.iter().filter(|mapping| mapping.is_file()).collect();
    let mut description = words64(&[mapped.len() as u64, 4096]);
    for mapping in &mapped {
        description.extend(words64(&[mapping.start, mapping.end, mapping.offset / 4096]));
    }
    let mut paths = String::new();
    for mapping in &mapped {
        write!(paths, "{}\0", mapping.path).expect("a string takes all");
    }
    description.extend(paths.into_bytes());
    note(0x4649_4c45, &description)
}

/// A file that is removed again.
struct Temporary(PathBuf);

impl Temporary {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let path = std::env::temp_dir().join(format!("heapray-core-{name}-{}", std::process::id()));
        std::fs::write(&path, bytes).expect("temporary file");
        Self(path)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // Left for the system to remove where that fails.
        let _left = std::fs::remove_file(&self.0);
    }
}

fn image() -> (Target, Image) {
    let target = Target::start(
        "threading.Thread(target=lambda: os.read(0, 1)).start()\nsay('ready')\nos.wait4(-1, 0) if 0 else None",
    );
    let image = copy(target.pid(), CopyOptions::default()).expect("a copy");
    (target, image)
}

#[test]
fn a_core_file_reads_like_the_process() {
    let (_target, image) = image();
    let file = Temporary::new("whole", &write_core(&image));
    let core = core(&file.0, Path::new("/")).expect("a core file");
    assert_eq!((core.kind, core.pid, core.losses.as_slice()), (ImageKind::Core, image.pid, &[][..]));
    assert_eq!(core.threads.len(), image.threads.len());
    for (ours, theirs) in core.threads.iter().zip(&image.threads) {
        assert_eq!(
            (ours.tid, ours.stack_pointer, &ours.registers),
            (theirs.tid, theirs.stack_pointer, &theirs.registers)
        );
    }
    for region in core.regions.iter().filter(|region| region.read) {
        let mut at = region.start;
        while at < region.end {
            let (ours, theirs) = (core.memory.tail(at), image.memory.tail(at));
            let n = ours.len().min(theirs.len());
            let differ = (0..n).find(|k| ours[*k] != theirs[*k]);
            assert!(n > 0 && differ.is_none(), "{at:#x} {n} {differ:?} in {region:?}");
            at += n as u64;
        }
    }
    let named = |image: &Image| {
        image
            .regions
            .iter()
            .map(|region| region.path.clone())
            .filter(|path| path.starts_with('/'))
            .collect::<Vec<_>>()
    };
    assert_eq!(named(&core), named(&image));
}

#[test]
fn a_core_file_cut_short_anywhere_gives_what_is_left() {
    let (_target, image) = image();
    let whole = write_core(&image);
    for percent in [0, 1, 3, 10, 50, 90, 99] {
        let file = Temporary::new(&format!("cut-{percent}"), &whole[..whole.len() * percent / 100]);
        match core(&file.0, Path::new("/")) {
            Ok(core) => assert!(!core.losses.is_empty() && core.threads.len() <= 2, "{percent}"),
            Err(error) => assert!(error.to_string().contains("cannot read core file"), "{error}"),
        }
    }
    for len in (0..4000).step_by(97) {
        let file = Temporary::new(&format!("short-{len}"), &whole[..len]);
        let _no_panic = core(&file.0, Path::new("/nowhere"));
    }
}

#[test]
fn what_is_no_core_file_is_refused() {
    let refuse = |name: &str, bytes: &[u8], reason: &str| {
        let file = Temporary::new(name, bytes);
        let error = core(&file.0, Path::new("/")).expect_err("refused").to_string();
        assert!(error.contains(reason), "{error}");
    };
    refuse("empty", b"", "too short");
    refuse("text", &[b'x'; 100], "not an ELF file");
    let own = std::fs::read("/proc/self/exe").expect("readable");
    refuse("program", &own, "not a core file");
    assert!(core(Path::new("/no/such/file"), Path::new("/")).is_err());
}
