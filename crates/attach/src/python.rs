//! Whether a running process is a Python that the agent can follow, found out without stopping it where that can be.

use std::time::Duration;

use heapray_cpython::{Runtime, Unsupported};
use heapray_linux::{ElfFile, FileRoot, Mapping};

use crate::AttachError;
use crate::image::CopyOptions;
use crate::memory::ImageMemory;
use crate::source::Source;

/// Memory kept while looking: some pieces of a MiB.
const CACHE_BYTES: u64 = 16 << 20;
/// A process that runs changes what is looked at (the collector's lists with every object), so it is looked at again, after this pause.
const MAX_TRIES: usize = 10;
const PAUSE: Duration = Duration::from_micros(500);
/// One that changes faster than it can be looked at is stopped for the look, so often at most.
const MAX_STOPS: u32 = 5;

/// The version of the Python that process `pid` runs (`sys.hexversion`).
pub(crate) fn version(pid: i32) -> Result<u32, AttachError> {
    let missing = |_| AttachError::NoSuchProcess { pid };
    let mut mappings = heapray_linux::mappings(pid).map_err(missing)?;
    let files = candidates(pid, &mappings);
    let symbol = |name: &str| {
        files.iter().find_map(|(elf, bias)| elf.address_of(name).map(|linked| linked.wrapping_add(*bias)))
    };
    let find = |memory: &ImageMemory| Runtime::find(memory, &symbol).map(|runtime| runtime.version_hex);
    for _ in 0..MAX_TRIES {
        match find(&ImageMemory::new(Source::process(pid), &mappings, CACHE_BYTES)) {
            Ok(version) => return Ok(version),
            // What no change of memory can have made of it.
            Err(unsupported) if symbol("_PyRuntime").is_none() => return Err(refusal(pid, unsupported)),
            Err(_) => std::thread::sleep(PAUSE),
        }
        mappings = heapray_linux::mappings(pid).map_err(missing)?;
    }
    let mut tries = 1;
    loop {
        // Some ms of standing still; in the middle of a collection its lists are no lists even then.
        let image = crate::in_place(pid, CopyOptions::default())?;
        match find(&image.memory) {
            Ok(version) => return Ok(version),
            Err(unsupported) if tries == MAX_STOPS => return Err(refusal(pid, unsupported)),
            Err(_) => tries += 1,
        }
        drop(image);
        std::thread::sleep(tries * PAUSE);
    }
}

/// Whether process `pid` has a CPython in it, of any version: a look at its files, the process itself is not touched.
pub(crate) fn is_likely(pid: i32) -> bool {
    let mappings = heapray_linux::mappings(pid).unwrap_or_default();
    candidates(pid, &mappings).iter().any(|(elf, _)| elf.address_of("_PyRuntime").is_some())
}

fn refusal(pid: i32, Unsupported { found, supported }: Unsupported) -> AttachError {
    AttachError::NotPython { pid, found, supported }
}

/// The files that may contain the interpreter, with what is added to their addresses: those with "python" in their names,
/// and the executable.
fn candidates(pid: i32, mappings: &[Mapping]) -> Vec<(ElfFile, u64)> {
    let executable = heapray_linux::executable(pid).unwrap_or_default();
    let root = FileRoot::Processes(vec![pid]);
    let mut seen: Vec<&str> = Vec::new();
    let mut out = Vec::new();
    for mapping in mappings.iter().filter(|mapping| mapping.is_file()) {
        let name = mapping.path.rsplit('/').next().unwrap_or_default();
        let is_wanted = mapping.offset == 0
            && ((name.contains("python") && !name.ends_with(".pyc"))
                || executable.as_os_str() == mapping.path.as_str())
            && !seen.contains(&mapping.path.as_str());
        if !is_wanted {
            continue;
        }
        seen.push(&mapping.path);
        let elf = root.open(mapping).and_then(ElfFile::read);
        if let Ok(elf) = elf
            && let Some(bias) = elf.bias(mapping.start, mapping.offset)
        {
            out.push((elf, bias));
        }
    }
    out
}
