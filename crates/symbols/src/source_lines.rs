//! Where native code stands in its source: the debug information (DWARF) of an ELF file.
//!
//! Read, not mapped: a file that shrinks while it is mapped ends its reader. The lines of a unit are decoded when the first
//! address in it is asked for.

use std::fs::File;
use std::io;
use std::sync::Arc;

use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, RunTimeEndian, SectionId};
use object::read::{ReadCache, ReadRef};
use object::{Object, ObjectSection};

/// Most bytes of debug information that are read of one file: some of the largest libraries have gigabytes.
const MAX_BYTES: u64 = 128 << 20;

type Section = EndianArcSlice<RunTimeEndian>;

/// The source lines of one ELF file.
pub(crate) struct SourceLines(Context<Section>);

impl SourceLines {
    /// Reads the debug information of an open ELF file; `None` where it has none, or more than 128 MiB.
    /// Costs a copy of it and a pass over its units.
    ///
    /// # Errors
    /// `InvalidData` where it is not an ELF file or is damaged.
    pub(crate) fn read(file: File) -> io::Result<Option<Self>> {
        Self::parse(&ReadCache::new(file))
    }

    /// As [`SourceLines::read`], from any bytes.
    ///
    /// # Errors
    /// As [`SourceLines::read`].
    pub(crate) fn parse<'a>(data: impl ReadRef<'a>) -> io::Result<Option<Self>> {
        let file = object::File::parse(data).map_err(invalid)?;
        let sizes =
            file.sections().filter(|section| section.name().is_ok_and(|name| name.starts_with(".debug_")));
        let n_bytes = sizes.fold(0_u64, |sum, section| sum.saturating_add(unpacked_bytes(&section)));
        if n_bytes > MAX_BYTES || file.section_by_name(".debug_line").is_none() {
            return Ok(None);
        }
        let endian = if file.is_little_endian() { RunTimeEndian::Little } else { RunTimeEndian::Big };
        let dwarf = Dwarf::load(|id: SectionId| {
            let section = file.section_by_name(id.name());
            let bytes =
                section.map_or(Ok(Vec::new()), |section| Ok(section.uncompressed_data()?.into_owned()));
            bytes.map(|bytes| Section::new(Arc::from(bytes), endian))
        });
        let dwarf = dwarf.map_err(|error: object::Error| invalid(error))?;
        Context::from_dwarf(dwarf).map(|context| Some(Self(context))).map_err(invalid)
    }

    /// Source file and line (0 unknown) of the code at `address` (as linked), in the function that the symbol table
    /// names: of code that was inlined into it, the line that calls it.
    pub(crate) fn at(&self, address: u64) -> Option<(String, u32)> {
        let mut frames = self.0.find_frames(address).skip_all_loads().ok()?;
        let mut outermost = None;
        while let Ok(Some(frame)) = frames.next() {
            outermost = frame.location;
        }
        let place = outermost?;
        Some((place.file?.to_owned(), place.line.unwrap_or(0)))
    }
}

/// What a section takes once it is read.
fn unpacked_bytes<'a>(section: &impl ObjectSection<'a>) -> u64 {
    section.compressed_data().map_or(0, |data| data.uncompressed_size)
}

fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own_file() -> File {
        File::open(std::env::current_exe().expect("a test has a file")).expect("readable")
    }

    #[test]
    fn our_own_functions_stand_in_our_own_source() {
        let lines = SourceLines::read(own_file()).expect("a test is an ELF file").expect("and has lines");
        let elf = heapray_linux::ElfFile::read(own_file()).expect("a test is an ELF file");
        let of_test =
            |symbol: &&heapray_linux::ElfSymbol| symbol.name.contains("our_own_functions_stand_in_our_own");
        let symbol = elf.symbols.iter().find(of_test).expect("it has a symbol");
        let place = lines.at(symbol.address).expect("it has a line");
        assert!(place.0.ends_with("symbols/src/source_lines.rs") && place.1 > 70, "{place:?}");
        assert_eq!(lines.at(u64::MAX - 1), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_or_an_answer() {
        let path = std::env::current_exe().expect("a test has a file");
        let bytes = std::fs::read(path).expect("readable");
        for len in [0, 3, 64, 4096, bytes.len() / 2] {
            let _no_panic = SourceLines::parse(&bytes[..len]);
        }
        assert!(SourceLines::parse(&b"no ELF file"[..]).is_err());
    }
}
