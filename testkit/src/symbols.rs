//! Addresses of global symbols in a live process, from the ELF files that it maps.

use std::collections::BTreeSet;

use heapray_cpython::Region;
use object::{Object, ObjectSegment, ObjectSymbol};

/// The address of the defined symbol `name` in process `pid`, from the first mapped file that has it
/// (symbol table or dynamic symbol table); `None` where no file does.
pub fn symbol(pid: u32, regions: &[Region], name: &str) -> Option<u64> {
    let mut seen = BTreeSet::new();
    regions
        .iter()
        .filter(|region| region.offset == 0 && region.path.starts_with('/'))
        .filter(|region| seen.insert(region.path.clone()))
        .find_map(|region| in_file(pid, region, name))
}

fn in_file(pid: u32, region: &Region, name: &str) -> Option<u64> {
    // The mapping itself where we may open it; else its path, which the kernel gives as seen from our root.
    let mapping = format!("/proc/{pid}/map_files/{:x}-{:x}", region.start, region.end);
    let bytes = std::fs::read(mapping).or_else(|_| std::fs::read(&region.path)).ok()?;
    let file = object::File::parse(&*bytes).ok()?;
    let symbol = file
        .dynamic_symbols()
        .chain(file.symbols())
        .find(|symbol| symbol.is_definition() && symbol.name() == Ok(name))?;
    let first = file.segments().next()?.address() & !0xfff;
    Some(region.start.wrapping_sub(first).wrapping_add(symbol.address()))
}
