//! A shared object that needs nobody, loaded by hand: segments, relative relocations, exported symbols.
//!
//! What takes a loader (a needed library, a symbol of somebody else, thread-local storage, constructors) is refused.

use std::io;

use object::elf::{PF_R, PF_W, PF_X, PT_TLS};
use object::read::elf::{ElfFile64, ProgramHeader};
use object::{
    Endianness, Object, ObjectSegment, ObjectSymbol, RelocationFlags, RelocationTarget, SegmentFlags,
};

/// A part of the image with the same protection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageSegment {
    /// Offset of its first page in the loaded image.
    pub start: u64,
    /// Offset behind its last page.
    pub end: u64,
    /// Readable.
    pub read: bool,
    /// Writable.
    pub write: bool,
    /// Executable.
    pub exec: bool,
}

/// A shared object, ready to be placed at any address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadImage {
    /// All its bytes as they lie in memory, not relocated; whole pages.
    bytes: Vec<u8>,
    /// Offsets of words to be relocated, and what is added to the load address.
    relocations: Vec<(usize, u64)>,
    /// Its segments, by offset; they do not share pages.
    pub segments: Vec<ImageSegment>,
    symbols: Vec<(String, u64)>,
}

impl LoadImage {
    /// Reads a shared object.
    ///
    /// # Errors
    /// `InvalidData` where it is damaged or needs a loader, with the reason.
    pub fn parse(data: &[u8]) -> io::Result<Self> {
        let file: ElfFile64<'_, Endianness> =
            ElfFile64::parse(data).map_err(|error| refused(&error.to_string()))?;
        let endian = file.endian();
        if file.elf_program_headers().iter().any(|header| header.p_type(endian) == PT_TLS) {
            return Err(refused("it has thread-local storage"));
        }
        let (segments, bytes) = load(&file)?;
        let relocations = relocations(&file, bytes.len())?;
        let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
        let symbols =
            symbols.filter_map(|symbol| Some((symbol.name().ok()?.to_owned(), symbol.address()))).collect();
        Ok(Self { bytes, relocations, segments, symbols })
    }

    /// Bytes it takes in memory: whole pages.
    pub fn len_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Offset of an exported symbol.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.symbols.iter().find(|(known, _)| known == name).map(|(_, offset)| *offset)
    }

    /// The bytes of the image as they must lie at address `base`.
    pub fn at(&self, base: u64) -> Vec<u8> {
        let mut bytes = self.bytes.clone();
        for (offset, addend) in &self.relocations {
            bytes[*offset..*offset + 8].copy_from_slice(&base.wrapping_add(*addend).to_le_bytes());
        }
        bytes
    }
}

fn refused(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not an image that can be mapped: {reason}"))
}

fn load(file: &ElfFile64<'_, Endianness>) -> io::Result<(Vec<ImageSegment>, Vec<u8>)> {
    let page = crate::page_bytes();
    let mut segments: Vec<ImageSegment> = Vec::new();
    let mut bytes = Vec::new();
    for segment in file.segments() {
        let SegmentFlags::Elf { p_flags } = segment.flags() else { continue };
        let end = segment.address().checked_add(segment.size()).filter(|end| *end < 1 << 30);
        let end = end.ok_or_else(|| refused("a segment lies outside"))?;
        let start = segment.address() / page * page;
        if segments.last().is_some_and(|last| start < last.end) {
            return Err(refused("two segments share a page"));
        }
        let placed = ImageSegment {
            start,
            end: end.next_multiple_of(page),
            read: p_flags & PF_R != 0,
            write: p_flags & PF_W != 0,
            exec: p_flags & PF_X != 0,
        };
        let data = segment.data().map_err(|error| refused(&error.to_string()))?;
        let fit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        bytes.resize(fit(placed.end), 0);
        let at = fit(segment.address());
        let room =
            bytes.get_mut(at..at + data.len()).ok_or_else(|| refused("a segment's file part is too long"))?;
        room.copy_from_slice(data);
        segments.push(placed);
    }
    if segments.is_empty() { Err(refused("it has no segments")) } else { Ok((segments, bytes)) }
}

fn relocations(file: &ElfFile64<'_, Endianness>, len_bytes: usize) -> io::Result<Vec<(usize, u64)>> {
    let mut out = Vec::new();
    for (offset, relocation) in file.dynamic_relocations().into_iter().flatten() {
        let is_relative = matches!(
            relocation.flags(),
            RelocationFlags::Elf { r_type } if r_type == crate::arch::RELATIVE_RELOCATION
        );
        if !is_relative {
            let name = match relocation.target() {
                RelocationTarget::Symbol(index) => file.dynamic_symbol_table().and_then(|table| {
                    use object::ObjectSymbolTable;
                    table.symbol_by_index(index).ok()?.name().ok().map(str::to_owned)
                }),
                _ => None,
            };
            return Err(refused(&format!("it wants {}", name.unwrap_or_else(|| "a loader".to_owned()))));
        }
        let offset = usize::try_from(offset).ok().filter(|offset| offset + 8 <= len_bytes);
        let offset = offset.ok_or_else(|| refused("a relocation lies outside"))?;
        out.push((offset, relocation.addend().cast_unsigned()));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_needs_libraries_is_refused() {
        let own = std::fs::read(std::env::current_exe().expect("own file")).expect("readable");
        let error = LoadImage::parse(&own).expect_err("it needs libc").to_string();
        assert!(error.contains("cannot be mapped") || error.contains("can be mapped"), "{error}");
    }

    #[test]
    fn damaged_files_are_errors() {
        let own = std::fs::read(std::env::current_exe().expect("own file")).expect("readable");
        for len in [0, 5, 64, 300, 4096] {
            assert!(LoadImage::parse(&own[..len]).is_err());
        }
    }
}
