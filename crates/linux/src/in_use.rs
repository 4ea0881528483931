//! How much of some ranges of addresses is in use: in memory, or in swap.
//!
//! `/proc/PID/pagemap` tells it page by page, eight bytes each, used or not (Documentation/admin-guide/mm/pagemap.rst): about a ms a
//! GiB, and the process can change its mappings after every 2 MiB. Of very much `/proc/PID/smaps` does, mapping by mapping: its cost
//! is that of all memory that the process uses, some 10 ms a GiB, and who changes the mappings may wait for the largest. Nobody else
//! waits for either.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::maps::parse_line;
use crate::page_bytes;

const ENTRY: usize = 8;
/// Bit 63 of an entry: in memory; bit 62: in swap.
const USED: u8 = 0xc0;
/// Entries that are read at a time.
const N_ENTRIES: usize = 1 << 13;
/// Address space that is looked at page by page.
const PAGES_MAX: u64 = 16 << 30;

/// Bytes in use of each of these ranges (begin and end) of process `pid`. The shared page of zeros, which reading gives, is among
/// them.
///
/// # Errors
/// No such process, no permission to trace it; `UnexpectedEof` where it ended meanwhile.
pub fn used_bytes(pid: i32, ranges: &[(u64, u64)]) -> io::Result<Vec<u64>> {
    let total: u64 = ranges.iter().map(|(start, end)| end.saturating_sub(*start)).sum();
    if total <= PAGES_MAX { by_page(pid, ranges) } else { by_mapping(pid, ranges) }
}

fn by_page(pid: i32, ranges: &[(u64, u64)]) -> io::Result<Vec<u64>> {
    let file = File::open(format!("/proc/{pid}/pagemap"))?;
    let mut entries = vec![0; N_ENTRIES * ENTRY];
    ranges.iter().map(|range| used_pages(&file, *range, &mut entries).map(|n| n * page_bytes())).collect()
}

fn used_pages(file: &File, (start, end): (u64, u64), entries: &mut [u8]) -> io::Result<u64> {
    let (mut at, last) = (start / page_bytes(), end.div_ceil(page_bytes()));
    let mut n_used = 0;
    while at < last {
        let wanted = usize::try_from(last - at).unwrap_or(N_ENTRIES).min(N_ENTRIES) * ENTRY;
        let n_bytes = file.read_at(&mut entries[..wanted], at * ENTRY as u64)?;
        let read = entries[..n_bytes].as_chunks::<ENTRY>().0;
        if read.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The last byte is the highest.
        n_used += read.iter().filter(|entry| entry[ENTRY - 1] & USED != 0).count() as u64;
        at += read.len() as u64;
    }
    Ok(n_used)
}

fn by_mapping(pid: i32, ranges: &[(u64, u64)]) -> io::Result<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps"))?;
    if text.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(within(&text, ranges))
}

/// What the mappings of `smaps` have in use within ranges. The kernel joins neighbours: of a mapping that several ranges lie in, the
/// one with the smallest part in it is the fullest, and what lies in none comes last.
fn within(smaps: &str, ranges: &[(u64, u64)]) -> Vec<u64> {
    let mut used = vec![0u64; ranges.len()];
    let (mut mapping, mut resident_kb) = ((0, 0), 0u64);
    for line in smaps.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(first), second) = (words.next(), words.next()) else { continue };
        if let Some(begins) = parse_line(line.as_bytes()) {
            mapping = (begins.start, begins.end);
        } else if let ("Rss:" | "Swap:", Some(Ok(kb))) = (first, second.map(str::parse::<u64>)) {
            if first == "Rss:" {
                resident_kb = kb;
                continue;
            }
            // The last of the two.
            let mut left = kb.saturating_add(resident_kb).saturating_mul(1024);
            let overlap =
                |(start, end): &(u64, u64)| mapping.1.min(*end).saturating_sub(mapping.0.max(*start));
            let parts = ranges.iter().map(overlap).zip(0..).filter(|(part, _)| *part > 0);
            let mut parts: Vec<(u64, usize)> = parts.collect();
            parts.sort_unstable();
            for (part, idx) in parts {
                used[idx] += part.min(left);
                left -= part.min(left);
            }
        }
    }
    used
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_used_once_they_are_written() {
        let page = page_bytes();
        let n_pages = 3 * N_ENTRIES as u64 / 2;
        let own = std::process::id().cast_signed();
        // Far larger than what the allocator keeps, so fresh from the kernel.
        let mut memory = vec![0u8; usize::try_from((n_pages + 2) * page).expect("it fits")];
        let start = (memory.as_ptr() as u64).next_multiple_of(page);
        let range = |first: u64, n: u64| (start + first * page, start + (first + n) * page);
        let used = |first, n| used_bytes(own, &[range(first, n)]).expect("it can be read")[0];
        assert!(used(0, n_pages) <= n_pages / 2 * page, "{}", used(0, n_pages));
        memory.fill(1);
        assert_eq!(used(0, n_pages), n_pages * page);
        assert_eq!((used(7, 2), used(7, 0)), (2 * page, 0));
        let by_mapping = by_mapping(own, &[range(0, n_pages)]).expect("it can be read");
        assert_eq!(by_mapping, [n_pages * page]);
        assert_eq!(memory[0], 1);
        assert!(by_page(own, &[(u64::MAX - page, u64::MAX)]).is_err());
    }

    #[test]
    fn mappings_count_as_far_as_they_lie_within() {
        let smaps = "1000-3000 rw-p 00000000 00:00 0\nSize: 8 kB\nRss: 8 kB\nSwap: 0 kB\n\
            3000-9000 ---p 00000000 00:00 0 [anon: x]\nRss: 4 kB\nSwap: 4 kB\nVmFlags: rd nr\nnonsense\n-\nRss: x kB\n";
        assert_eq!(
            within(smaps, &[(0x2000, 0x4000), (0x5000, 0x8000), (0x9000, 0xa000)]),
            [0x2000, 0x1000, 0]
        );
        assert_eq!(within(smaps, &[(0, 0x10_0000)]), [0x4000]);
    }

    #[test]
    fn no_process_is_an_error() {
        assert!(used_bytes(i32::MAX, &[(0, 4096)]).is_err());
        assert!(used_bytes(i32::MAX, &[(0, 1 << 40)]).is_err());
    }
}
