//! The symbols, segments and build id of one ELF file.
//!
//! Reads only the tables, not the code. Both symbol tables are taken: a stripped file still has its dynamic one.

use std::fs::File;
use std::io;

use object::elf::PF_W;
use object::read::ReadRef;
use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SegmentFlags, SymbolKind};

use crate::file_reader::FileReader;

/// A named address of an ELF file, before relocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElfSymbol {
    /// Address as linked.
    pub address: u64,
    /// Size in bytes; 0 where it is not told.
    pub size: u64,
    /// Name, as in the file (mangled).
    pub name: String,
    /// Names data, not code.
    pub is_data: bool,
}

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ElfSegment {
    /// Address as linked.
    pub address: u64,
    /// Size in memory.
    pub size: u64,
    /// Offset in the file.
    pub offset: u64,
    /// Size in the file; the rest is zero.
    pub file_size: u64,
    /// Writable.
    pub write: bool,
}

/// What an ELF file says about itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElfFile {
    /// Symbols, by address, then longest first.
    pub symbols: Vec<ElfSymbol>,
    /// Loadable segments, in file order.
    pub segments: Vec<ElfSegment>,
    /// The linker's build id; empty where there is none.
    pub build_id: Vec<u8>,
    /// Address of the section `.PyRuntime`, where CPython keeps `_PyRuntime` (3.12 and later), as linked.
    pub python_runtime: Option<u64>,
    /// Only the dynamic symbols are left.
    pub stripped: bool,
}

impl ElfFile {
    /// Reads the tables of an open ELF file. Costs a few milliseconds for 20,000 symbols.
    ///
    /// # Errors
    /// `InvalidData` where it is not an ELF file or is damaged.
    pub fn read(file: File) -> io::Result<Self> {
        Self::parse(&FileReader::new(file))
    }

    /// As [`ElfFile::read`], from any bytes.
    ///
    /// # Errors
    /// As [`ElfFile::read`].
    pub fn parse<'a>(data: impl ReadRef<'a>) -> io::Result<Self> {
        let file =
            object::File::parse(data).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self {
            stripped: file.symbols().next().is_none(),
            symbols: in_order(file.symbols().chain(file.dynamic_symbols()).filter_map(symbol).collect()),
            segments: file.segments().filter_map(segment).collect(),
            build_id: file.build_id().ok().flatten().unwrap_or_default().to_vec(),
            python_runtime: file.section_by_name(".PyRuntime").map(|section| section.address()),
        })
    }

    /// Adds the symbols that were stripped off into `debug`, if that is of the same build.
    pub fn add_symbols_of(&mut self, debug: Self) {
        if self.build_id == debug.build_id {
            let own = std::mem::take(&mut self.symbols);
            self.symbols = in_order(own.into_iter().chain(debug.symbols).collect());
            self.stripped &= debug.stripped;
        }
    }

    /// The address of the symbol `name`, as linked.
    pub fn address_of(&self, name: &str) -> Option<u64> {
        let found = self.symbols.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address);
        found.or_else(|| self.python_runtime.filter(|_| name == "_PyRuntime"))
    }

    /// The symbol that `address` (as linked) lies in.
    pub fn symbol_at(&self, address: u64) -> Option<&ElfSymbol> {
        let after = self.symbols.partition_point(|symbol| symbol.address <= address);
        // A large object may contain symbols inside it: look a little further back than the nearest.
        let near = self.symbols[..after].iter().rev().take(16);
        near.into_iter().find(|symbol| address - symbol.address < symbol.size.max(1))
    }

    /// What must be added to linked addresses when the byte at `offset` of the file is loaded at `address`.
    pub fn bias(&self, address: u64, offset: u64) -> Option<u64> {
        let page = crate::page_bytes();
        let holds = |segment: &&ElfSegment| {
            segment.offset / page * page <= offset && offset < segment.offset + segment.file_size.max(1)
        };
        let segment = self.segments.iter().find(holds)?;
        Some(address.wrapping_add(segment.offset).wrapping_sub(offset).wrapping_sub(segment.address))
    }
}

fn in_order(mut symbols: Vec<ElfSymbol>) -> Vec<ElfSymbol> {
    symbols.sort_by(|a, b| (a.address, b.size, &a.name).cmp(&(b.address, a.size, &b.name)));
    symbols.dedup();
    symbols
}

fn symbol<'a>(symbol: impl ObjectSymbol<'a>) -> Option<ElfSymbol> {
    let wanted = matches!(symbol.kind(), SymbolKind::Data | SymbolKind::Text | SymbolKind::Unknown);
    if !wanted || symbol.is_undefined() || symbol.address() == 0 {
        return None;
    }
    let name = symbol.name().ok().filter(|name| !name.is_empty())?;
    let is_data = symbol.kind() == SymbolKind::Data;
    Some(ElfSymbol { address: symbol.address(), size: symbol.size(), name: name.to_owned(), is_data })
}

fn segment<'a>(segment: impl ObjectSegment<'a>) -> Option<ElfSegment> {
    let (offset, file_size) = segment.file_range();
    let SegmentFlags::Elf { p_flags } = segment.flags() else { return None };
    Some(ElfSegment {
        address: segment.address(),
        size: segment.size(),
        offset,
        file_size,
        write: p_flags & PF_W != 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ElfFile {
        let path = std::env::current_exe().expect("a test has a file");
        ElfFile::read(File::open(path).expect("readable")).expect("a test is an ELF file")
    }

    #[test]
    fn our_own_functions_are_found_at_their_addresses() {
        let elf = own();
        let here = our_own_functions_are_found_at_their_addresses as fn() as usize as u64;
        let maps = crate::mappings(std::process::id().cast_signed()).expect("own maps");
        let exe = std::env::current_exe().expect("own file");
        let mapping =
            maps.iter().find(|mapping| mapping.path == exe.to_string_lossy()).expect("it is mapped");
        let bias = elf.bias(mapping.start, mapping.offset).expect("its first segment");
        let symbol = elf.symbol_at(here - bias).expect("it has a symbol");
        assert!(symbol.name.contains("our_own_functions_are_found"), "{}", symbol.name);
        assert!(!symbol.is_data && !elf.stripped);
    }

    #[test]
    fn every_prefix_of_a_file_is_an_error_or_an_answer() {
        let path = std::env::current_exe().expect("a test has a file");
        let bytes = std::fs::read(path).expect("readable");
        for len in [0, 3, 16, 63, 64, 100, 4096, bytes.len() / 2] {
            let _no_panic = ElfFile::parse(&bytes[..len]);
        }
    }
}
