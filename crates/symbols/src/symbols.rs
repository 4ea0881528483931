//! All libraries of a process, by address.

use std::fmt;

use heapray_linux::{FileRoot, Mapping};

use crate::object_file::ObjectFile;
use crate::plain::plain;

/// The libraries and executables that a process has mapped.
#[derive(Debug)]
pub struct Symbols {
    root: FileRoot,
    /// In the order of their first address.
    objects: Vec<ObjectFile>,
    /// Start, end and object of every mapping, in address order.
    ranges: Vec<(u64, u64, usize)>,
}

/// A name for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SymbolName {
    /// Last component of the library's path.
    pub object_file: String,
    /// The symbol; `None` where the file has none there (stripped) or cannot be read.
    pub symbol: Option<String>,
    /// Bytes from the symbol's start, or from the library's first address where there is no symbol.
    pub offset: u64,
    /// The address is data that the library can write: a C static.
    pub is_data: bool,
}

impl fmt::Display for SymbolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_data { "static" } else { "code" };
        match &self.symbol {
            Some(symbol) if self.is_data => write!(f, "static {symbol} in {}", self.object_file),
            Some(symbol) => write!(f, "{symbol} in {}", self.object_file),
            None if self.is_data => write!(f, "{kind} data of {} +{:#x}", self.object_file, self.offset),
            None => write!(f, "{kind} of {} +{:#x}", self.object_file, self.offset),
        }
    }
}

/// Data of a library that it can write: where C statics are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRange {
    /// Last component of the library's path.
    pub object_file: String,
    /// First address.
    pub start: u64,
    /// One past the last address.
    pub end: u64,
}

impl Symbols {
    /// The libraries among `mappings` (in address order); their files are looked for under `root`. Opens nothing yet.
    pub fn new(root: FileRoot, mappings: &[Mapping]) -> Self {
        let mut objects: Vec<ObjectFile> = Vec::new();
        let mut end = 0;
        for mapping in mappings {
            let follows = mapping.start == end;
            match objects.last_mut() {
                Some(last) if mapping.is_file() && last.continues_with(mapping) => {
                    last.mappings.push(mapping.clone())
                }
                // Zero-initialised data is anonymous memory right behind the file's own.
                Some(last) if follows && mapping.write && mapping.path.is_empty() && is_data_of(last) => {
                    last.mappings.push(mapping.clone());
                }
                _ if mapping.is_file() => objects.push(ObjectFile::new(mapping.clone())),
                // Anything else between the parts of a library does not end it.
                _ => continue,
            }
            end = mapping.end;
        }
        objects.retain(ObjectFile::has_code);
        let of = |(n, object): (usize, &ObjectFile)| {
            object.mappings.iter().map(move |mapping| (mapping.start, mapping.end, n)).collect::<Vec<_>>()
        };
        let mut ranges: Vec<(u64, u64, usize)> = objects.iter().enumerate().flat_map(of).collect();
        ranges.sort_unstable();
        Self { root, objects, ranges }
    }

    /// The address of the symbol `name`: in the files with "python" in their names first, then in the executable and the
    /// libraries in address order. Opens files until it is found.
    pub fn address_of(&self, name: &str) -> Option<u64> {
        let (pythons, others): (Vec<_>, Vec<_>) =
            self.objects.iter().partition(|object| is_python(&object.name));
        pythons.into_iter().chain(others).find_map(|object| object.address_of(name, &self.root))
    }

    /// A name for `addr`; `None` outside libraries. Opens at most one file.
    pub fn name_of(&self, addr: u64) -> Option<SymbolName> {
        let after = self.ranges.partition_point(|(start, _, _)| *start <= addr);
        let (_, end, n) = *self.ranges.get(after.checked_sub(1)?)?;
        if addr >= end {
            return None;
        }
        let object = &self.objects[n];
        let is_data = object
            .mappings
            .iter()
            .any(|mapping| mapping.write && mapping.start <= addr && addr < mapping.end);
        let named = object.loaded(&self.root).and_then(|loaded| {
            let linked = addr.wrapping_sub(loaded.bias);
            loaded.elf.symbol_at(linked).map(|symbol| (plain(&symbol.name), linked - symbol.address))
        });
        let (symbol, offset) = match named {
            Some((symbol, offset)) => (Some(symbol), offset),
            None => (None, addr - object.mappings[0].start),
        };
        Some(SymbolName { object_file: object.name.clone(), symbol, offset, is_data })
    }

    /// Data that libraries can write, in address order. Opens nothing.
    pub fn data_ranges(&self) -> Vec<DataRange> {
        let writable = |object: &ObjectFile| {
            let range = |mapping: &Mapping| DataRange {
                object_file: object.name.clone(),
                start: mapping.start,
                end: mapping.end,
            };
            object.mappings.iter().filter(|mapping| mapping.write).map(range).collect::<Vec<_>>()
        };
        let mut out: Vec<DataRange> = self.objects.iter().flat_map(writable).collect();
        out.sort_by_key(|range| range.start);
        out
    }

    /// Libraries whose files were asked for and could not be read (deleted, another machine's), in address order.
    pub fn unreadable(&self) -> Vec<String> {
        self.objects
            .iter()
            .filter(|object| object.is_unreadable())
            .map(|object| object.name.clone())
            .collect()
    }
}

fn is_python(name: &str) -> bool {
    // An extension module is called `x.cpython-312-x86_64-linux-gnu.so`; it does not hold the runtime.
    name.contains("python") && !name.contains(".cpython-")
}

fn is_data_of(object: &ObjectFile) -> bool {
    object.mappings.last().is_some_and(|last| last.write && last.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    static SOMEWHERE: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(7);

    fn own() -> Symbols {
        let pid = std::process::id().cast_signed();
        Symbols::new(FileRoot::Processes(vec![pid]), &heapray_linux::mappings(pid).expect("own maps"))
    }

    #[test]
    fn a_static_of_ours_is_named() {
        let addr = &raw const SOMEWHERE as u64;
        let name = own().name_of(addr + 4).expect("it is in our file");
        assert!(name.is_data && name.offset == 4);
        assert!(name.symbol.as_deref().is_some_and(|symbol| symbol.contains("SOMEWHERE")), "{name}");
        assert!(name.to_string().starts_with("static "), "{name}");
    }

    #[test]
    fn a_symbol_leads_to_its_address() {
        let symbols = own();
        let addr = symbols.address_of("malloc").expect("the C library is mapped");
        let name = symbols.name_of(addr).expect("it is in the C library");
        assert_eq!((name.offset, name.is_data), (0, false));
        assert!(symbols.address_of("no such symbol").is_none());
    }

    #[test]
    fn writable_data_is_listed_and_stacks_are_not() {
        let symbols = own();
        let inside =
            |addr: u64| symbols.data_ranges().iter().any(|range| range.start <= addr && addr < range.end);
        let local = 1u64;
        assert!(inside(&raw const SOMEWHERE as u64));
        assert!(!inside(&raw const local as u64));
        assert!(symbols.name_of(&raw const local as u64).is_none());
    }

    #[test]
    fn without_its_file_a_static_still_has_a_library() {
        let mapping = |start: u64, offset: u64, write: bool, path: &str| Mapping {
            start,
            end: start + 0x1000,
            read: true,
            write,
            exec: offset == 0x1000,
            offset,
            inode: u64::from(!path.is_empty()),
            path: path.to_owned(),
            ..Mapping::default()
        };
        let path = "/gone/libx.so.1";
        let mappings = [
            mapping(0x1_0000, 0, false, path),
            mapping(0x1_1000, 0x1000, false, path),
            mapping(0x1_2000, 0x2000, true, path),
            mapping(0x1_3000, 0, true, ""),
            mapping(0x9_0000, 0, true, ""),
        ];
        let symbols = Symbols::new(FileRoot::Folder("/nowhere".into()), &mappings);
        let name = symbols.name_of(0x1_3010).expect("zero-initialised data of the library");
        assert_eq!(name.to_string(), "static data of libx.so.1 +0x3010");
        assert_eq!(symbols.name_of(0x9_0000), None);
        assert_eq!(symbols.unreadable(), ["libx.so.1"]);
        assert_eq!(symbols.data_ranges().len(), 2);
    }
}
