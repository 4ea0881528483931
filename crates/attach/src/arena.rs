//! What attaching maps into a target: one range with a header, the agent image and a stack for our calls.
//!
//! ```text
//! | header, landing, Start (r-x) | image: constants and code (r-x), data (rw-) | guard (r-x) | stack (rw-) |
//! ```
//!
//! The header says where everything is, so that anybody who may trace the process can take it out again, also where the
//! heapray that put it in is gone. It lies in an anonymous page of unusual protection and begins with a magic number:
//! that is how it is found. A process that is forked inherits all of it, at the same addresses.

use std::ops::Range;

use heapray_linux::{LoadImage, Mapping, RemoteMemory};

/// First word of a header: `hrayimag` as a little-endian number.
const MAGIC: u64 = u64::from_le_bytes(*b"hrayimag");
/// Version of the header: another heapray's arena may be found.
const VERSION: u64 = 1;
/// Stack of the functions that we call.
const STACK_BYTES: u64 = 256 << 10;
/// Where the code lies in the first page to which called functions return.
const LANDING_OFFSET: u64 = 0x800;
/// Where the name of the memory file lies in the first page.
const NAME_OFFSET: u64 = 0x880;
/// Where `Start` lies in the first page.
const START_OFFSET: u64 = 0x900;
/// Words of the header.
const N_WORDS: usize = 14;
/// No arena is longer than this: a header that says so is none.
const MAX_BYTES: u64 = 1 << 28;

/// How far an agent has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Stage {
    /// Mapped; its code was never called.
    Mapped = 1,
    /// Its start was about to be called, or has been.
    Started = 2,
    /// Its stop has been called.
    Stopped = 3,
}

/// An arena in a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Arena {
    pub(crate) base: u64,
    pub(crate) len_bytes: u64,
    pub(crate) stage: Stage,
    /// The image's executable pages.
    pub(crate) text: Range<u64>,
    /// `heapray_start` and `heapray_stop`.
    pub(crate) start: u64,
    pub(crate) stop: u64,
    /// Control area and slot; empty ranges before they are mapped.
    pub(crate) control: Range<u64>,
    pub(crate) slot: Range<u64>,
    /// The agent's table of pages that it has mapped: pairs of address and bytes; empty where it keeps none.
    pub(crate) pages: Range<u64>,
}

impl Arena {
    /// How long an arena for this image is, in bytes.
    pub(crate) fn bytes_for(image: &LoadImage) -> u64 {
        // Header and guard are a page each.
        2 * heapray_linux::page_bytes() + image.len_bytes() + STACK_BYTES
    }

    /// The arena for `image` at `base`; `None` where the image does not export what it must.
    pub(crate) fn at(base: u64, image: &LoadImage) -> Option<Self> {
        let image_base = base + heapray_linux::page_bytes();
        let exec: Vec<_> = image.segments.iter().filter(|segment| segment.exec).collect();
        let text = image_base + exec.first()?.start..image_base + exec.last()?.end;
        let symbol = |name| image.symbol(name).map(|offset| image_base + offset);
        let pages = symbol("HEAPRAY_PAGES").map_or(0..0, |at| at..at + PAGES_BYTES);
        Some(Self {
            base,
            len_bytes: Self::bytes_for(image),
            stage: Stage::Mapped,
            text,
            start: symbol("heapray_start")?,
            stop: symbol("heapray_stop")?,
            control: 0..0,
            slot: 0..0,
            pages,
        })
    }

    /// Where the image begins.
    pub(crate) fn image_base(&self) -> u64 {
        self.base + heapray_linux::page_bytes()
    }

    /// All of it.
    pub(crate) fn range(&self) -> Range<u64> {
        self.base..self.base + self.len_bytes
    }

    /// One past the highest address of the stack for our calls.
    pub(crate) fn stack_top(&self) -> u64 {
        self.base + self.len_bytes
    }

    /// The stack for our calls. The page below it cannot be written.
    pub(crate) fn stack(&self) -> Range<u64> {
        self.stack_top() - STACK_BYTES..self.stack_top()
    }

    /// Where called functions return to.
    pub(crate) fn landing(&self) -> u64 {
        self.base + LANDING_OFFSET
    }

    /// Where the name of the memory file lies.
    pub(crate) fn name(&self) -> u64 {
        self.base + NAME_OFFSET
    }

    /// Where the argument of `heapray_start` lies.
    pub(crate) fn argument(&self) -> u64 {
        self.base + START_OFFSET
    }

    /// The first page: header, landing code, name of the memory file, the argument of `heapray_start`.
    pub(crate) fn first_page(&self, start: &[u8]) -> Vec<u8> {
        let mut page = vec![0; usize::try_from(heapray_linux::page_bytes()).unwrap_or(4096)];
        let mut put = |offset: u64, bytes: &[u8]| {
            let at = usize::try_from(offset).unwrap_or(0);
            page[at..at + bytes.len()].copy_from_slice(bytes);
        };
        put(0, &self.header());
        put(LANDING_OFFSET, &heapray_linux::arch::LANDING_CODE);
        put(NAME_OFFSET, crate::SHARED_NAME.to_bytes_with_nul());
        put(START_OFFSET, start);
        page
    }

    /// The header's bytes.
    pub(crate) fn header(&self) -> Vec<u8> {
        let words: [u64; N_WORDS] = [
            MAGIC,
            VERSION,
            self.len_bytes,
            self.stage as u64,
            self.text.start,
            self.text.end,
            self.start,
            self.stop,
            self.control.start,
            self.control.end,
            self.slot.start,
            self.slot.end,
            self.pages.start,
            self.pages.end,
        ];
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The arena whose header lies at `base`. What it says is checked for sense, not believed.
    pub(crate) fn read(memory: &RemoteMemory, base: u64) -> Option<Self> {
        let mut bytes = [0; 8 * N_WORDS];
        memory.read(base, &mut bytes).ok().filter(|n| *n == bytes.len())?;
        let mut words = [0u64; N_WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        }
        let [magic, version, len_bytes, stage, text, text_end, start, stop, rest @ ..] = words;
        let [control, control_end, slot, slot_end, pages, pages_end] = rest;
        let all = base..base.checked_add(len_bytes)?;
        let stage =
            [Stage::Mapped, Stage::Started, Stage::Stopped].into_iter().find(|one| *one as u64 == stage)?;
        let sensible = magic == MAGIC
            && version == VERSION
            && len_bytes <= MAX_BYTES
            && [text, start, stop].iter().all(|addr| all.contains(addr))
            && text < text_end
            && text_end <= all.end
            && control <= control_end
            && slot <= slot_end
            && (pages == pages_end || all.contains(&pages) && pages < pages_end && pages_end <= all.end);
        sensible.then_some(Self {
            base,
            len_bytes,
            stage,
            text: text..text_end,
            start,
            stop,
            control: control..control_end,
            slot: slot..slot_end,
            pages: pages..pages_end,
        })
    }

    /// The arenas of a process.
    pub(crate) fn find(pid: i32, mappings: &[Mapping]) -> Vec<Self> {
        let memory = RemoteMemory::new(pid);
        let is_candidate = |mapping: &&Mapping| {
            mapping.inode == 0 && mapping.path.is_empty() && mapping.read && mapping.exec && !mapping.write
        };
        mappings
            .iter()
            .filter(is_candidate)
            .filter_map(|mapping| Self::read(&memory, mapping.start))
            .collect()
    }

    /// Every range that belongs to the agent: the arena, control area and slot, the pages that it has mapped itself.
    pub(crate) fn ranges(&self, memory: &RemoteMemory) -> Vec<Range<u64>> {
        let mut out = vec![self.range()];
        if self.control.end == self.slot.start {
            out.push(self.control.start..self.slot.end);
        } else {
            out.extend([self.control.clone(), self.slot.clone()]);
        }
        let len = usize::try_from(self.pages.end - self.pages.start).unwrap_or(0);
        let mut table = vec![0; len.min(1 << 20)];
        if memory.read(self.pages.start, &mut table).is_ok_and(|n| n == table.len()) {
            let word = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
            out.extend(table.chunks_exact(16).map(|pair| {
                let start = word(&pair[..8]);
                start..start.saturating_add(word(&pair[8..]))
            }));
        }
        let page = heapray_linux::page_bytes();
        out.retain(|range| range.start != 0 && range.start < range.end && range.start.is_multiple_of(page));
        out
    }
}

/// Bytes of the agent's table of pages.
const PAGES_BYTES: u64 = 128 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn arena(base: u64) -> Arena {
        Arena {
            base,
            len_bytes: 1 << 20,
            stage: Stage::Started,
            text: base + 0x2000..base + 0x4000,
            start: base + 0x2010,
            stop: base + 0x2020,
            control: 0x10000..0x12000,
            slot: 0x20000..0x60000,
            pages: 0..0,
        }
    }

    #[test]
    fn a_header_reads_back_and_nonsense_does_not() {
        let memory = RemoteMemory::new(std::process::id().cast_signed());
        let mut page = vec![0; 4096];
        let base = page.as_ptr() as u64;
        let ours = arena(base);
        page.copy_from_slice(&ours.first_page(&[1, 2, 3]));
        assert_eq!(Arena::read(&memory, base), Some(ours.clone()));
        assert_eq!(page[usize::try_from(START_OFFSET).expect("small")..][..3], [1, 2, 3]);
        for damage in [0, 8, 16, 24, 32, 48] {
            let mut damaged = page.clone();
            damaged[damage..damage + 8].fill(0xff);
            assert_eq!(Arena::read(&memory, damaged.as_ptr() as u64), None, "at {damage}");
        }
    }

    #[test]
    fn ranges_that_are_not_there_are_left_out() {
        let memory = RemoteMemory::new(std::process::id().cast_signed());
        let mut ours = arena(0x7f00_0000_0000);
        assert_eq!(ours.ranges(&memory), [ours.range(), 0x10000..0x12000, 0x20000..0x60000]);
        ours.slot = 0..0;
        let table: [u64; 6] = [0x30000, 0x2000, 0, 0, 0x31234, 5];
        ours.pages = table.as_ptr() as u64..table.as_ptr() as u64 + 48;
        assert_eq!(ours.ranges(&memory), [ours.range(), 0x10000..0x12000, 0x30000..0x32000]);
    }
}
