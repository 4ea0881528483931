//! What the loader of a process keeps for debuggers.

use std::io;

use crate::RemoteMemory;

const AT_PHDR: u64 = 3;
const AT_PHNUM: u64 = 5;
const AT_BASE: u64 = 7;
const PT_DYNAMIC: u32 = 2;
const PT_PHDR: u32 = 6;
const DT_NULL: u64 = 0;
const DT_DEBUG: u64 = 21;
/// Bytes of a program header and of an entry of the dynamic section (elf.h, 64 bits).
const HEADER_BYTES: usize = 56;
const ENTRY_BYTES: usize = 16;
/// No program has more of either.
const MAX_ENTRIES: u64 = 4096;

/// Where a process's program and loader lie. Addresses are the process's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loader {
    /// The program's headers (`AT_PHDR`).
    pub program_headers: u64,
    /// Their number (`AT_PHNUM`).
    pub n_program_headers: u64,
    /// The loader's first byte (`AT_BASE`); 0 in a static program.
    pub base: u64,
    /// The loader's `r_debug`, from which its list of objects goes; 0 in a static program.
    pub r_debug: u64,
}

/// What the kernel and the loader tell of a process's program.
///
/// # Errors
/// Those of reading `/proc/PID/auxv` and the program's headers in its memory.
pub fn loader(pid: i32) -> io::Result<Loader> {
    let auxv = std::fs::read(format!("/proc/{pid}/auxv"))?;
    let of =
        |kind: u64| auxv.chunks_exact(16).find(|pair| word(pair, 0) == kind).map_or(0, |pair| word(pair, 8));
    let loader = Loader {
        program_headers: of(AT_PHDR),
        n_program_headers: of(AT_PHNUM),
        base: of(AT_BASE),
        r_debug: 0,
    };
    let r_debug = r_debug(pid, loader.program_headers, loader.n_program_headers)?;
    Ok(Loader { r_debug: r_debug.unwrap_or(0), ..loader })
}

fn r_debug(pid: i32, headers: u64, n: u64) -> io::Result<Option<u64>> {
    let memory = RemoteMemory::new(pid);
    let table = read(&memory, headers, n, HEADER_BYTES)?;
    let address = |kind: u32| {
        let found = table.chunks_exact(HEADER_BYTES).find(|header| word(header, 0) as u32 == kind);
        found.map(|header| (word(header, 16), word(header, 40)))
    };
    let Some((dynamic, len_bytes)) = address(PT_DYNAMIC) else { return Ok(None) };
    // A program that is not relocated has its headers where it says.
    let bias = address(PT_PHDR).map_or(0, |(linked, _)| headers.wrapping_sub(linked));
    let entries = read(&memory, bias.wrapping_add(dynamic), len_bytes / ENTRY_BYTES as u64, ENTRY_BYTES)?;
    let debug = entries
        .chunks_exact(ENTRY_BYTES)
        .take_while(|entry| word(entry, 0) != DT_NULL)
        .find(|entry| word(entry, 0) == DT_DEBUG);
    Ok(debug.map(|entry| word(entry, 8)).filter(|address| *address != 0))
}

fn word(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn read(memory: &RemoteMemory, addr: u64, n: u64, bytes_each: usize) -> io::Result<Vec<u8>> {
    let n = usize::try_from(n.min(MAX_ENTRIES)).unwrap_or(0);
    let mut bytes = vec![0; n * bytes_each];
    let got = memory.read(addr, &mut bytes)?;
    bytes.truncate(got);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_loader_keeps_a_list() {
        let pid = std::process::id().cast_signed();
        let found = loader(pid).expect("own memory");
        assert!(found.program_headers != 0 && found.n_program_headers > 1 && found.base != 0, "{found:?}");
        let mut bytes = [0; 16];
        assert_eq!(RemoteMemory::new(pid).read(found.r_debug, &mut bytes).expect("own memory"), 16);
        // struct r_debug (link.h): version, then the first of the list, which is not empty.
        assert!(word(&bytes, 0) as u32 >= 1 && word(&bytes, 8) != 0);
        assert!(loader(i32::MAX).is_err());
    }
}
