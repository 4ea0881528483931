//! Where native code stands in its source: the debug information (DWARF) of an ELF file.
//!
//! Read, not mapped: a file that shrinks while it is mapped ends its reader. The lines of a unit are decoded when the first
//! address in it is asked for.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use addr2line::Context;
use gimli::{Dwarf, EndianArcSlice, RunTimeEndian, SectionId};
use object::read::ReadRef;
use object::{Object, ObjectSection};

use crate::code_file::CodePlace;

/// Most bytes of debug information that are read of one file: some of the largest libraries have gigabytes.
const MAX_BYTES: u64 = 128 << 20;

type Section = EndianArcSlice<RunTimeEndian>;

/// The source lines of one ELF file.
pub(crate) struct SourceLines(Context<Section>);

impl SourceLines {
    /// Reads the debug information of an ELF file; `None` where it has none, or more than 128 MiB.
    /// Costs a copy of it and a pass over its units.
    ///
    /// # Errors
    /// `InvalidData` where it is not an ELF file or is damaged.
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
            let section = file.section_by_name(id.name()).filter(|_| is_needed(id));
            let bytes =
                section.map_or(Ok(Arc::default()), |section| section.uncompressed_data().map(Arc::from));
            bytes.map(|bytes| Section::new(bytes, endian))
        });
        let dwarf = dwarf.map_err(|error: object::Error| invalid(error))?;
        Context::from_dwarf(dwarf).map(|context| Some(Self(context))).map_err(invalid)
    }

    /// The places of the code at `address` (as linked), outermost first: that in the function that was compiled, then those in
    /// functions that were inlined there. Empty where nothing is known.
    pub(crate) fn at(&self, address: u64) -> Vec<CodePlace> {
        let mut places = Vec::new();
        if let Ok(mut frames) = self.0.find_frames(address).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let function = frame.function.and_then(|name| name.demangle().map(Cow::into_owned).ok());
                let (file, line) = frame.location.map_or((None, None), |place| (place.file, place.line));
                places.push(CodePlace { function, file: file.map(str::to_owned), line: line.unwrap_or(0) });
            }
        }
        places.reverse();
        places
    }
}

/// Whether functions and lines are in it; what else there is says where variables are, a fifth of what a CPython has.
fn is_needed(id: SectionId) -> bool {
    use SectionId::*;
    matches!(
        id,
        DebugAbbrev
            | DebugAddr
            | DebugAranges
            | DebugInfo
            | DebugLine
            | DebugLineStr
            | DebugRanges
            | DebugRngLists
            | DebugStr
            | DebugStrOffsets
    )
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
    use heapray_linux::FileReader;

    use super::*;

    fn own_file() -> FileReader {
        let path = std::env::current_exe().expect("a test has a file");
        FileReader::new(std::fs::File::open(path).expect("readable"))
    }

    #[test]
    fn our_own_functions_stand_in_our_own_source() {
        let lines = SourceLines::parse(&own_file()).expect("a test is an ELF file").expect("and has lines");
        let elf = heapray_linux::ElfFile::parse(&own_file()).expect("a test is an ELF file");
        let of_test =
            |symbol: &&heapray_linux::ElfSymbol| symbol.name.contains("our_own_functions_stand_in_our_own");
        let symbol = elf.symbols.iter().find(of_test).expect("it has a symbol");
        let places = lines.at(symbol.address);
        let place = places.first().expect("it has a line");
        let file = place.file.as_deref().unwrap_or_default();
        assert!(file.ends_with("symbols/src/source_lines.rs") && place.line > 70, "{place:?}");
        let function = place.function.as_deref().unwrap_or_default();
        assert!(function.contains("our_own_functions_stand_in_our_own"), "{place:?}");
        assert_eq!(lines.at(u64::MAX - 1), []);
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
