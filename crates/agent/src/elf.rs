//! Loaded ELF objects as they lie in memory: dynamic tables, symbols, relocations. Read in place, nothing is copied.
//!
//! Unsafe: the tables are reached through addresses that the loader has used before us.
#![allow(unsafe_code)]

use crate::mem::{load, text};
use crate::pages::PAGE_BYTES;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_GNU_RELRO: u32 = 0x6474_e552;

const DT_PLTRELSZ: u64 = 2;
const DT_HASH: u64 = 4;
const DT_STRTAB: u64 = 5;
const DT_SYMTAB: u64 = 6;
const DT_RELA: u64 = 7;
const DT_RELASZ: u64 = 8;
const DT_DEBUG: u64 = 21;
const DT_JMPREL: u64 = 23;
const DT_GNU_HASH: u64 = 0x6fff_fef5;
const DT_VERSYM: u64 = 0x6fff_fff0;

const PHDR_BYTES: usize = 56;
const SYM_BYTES: usize = 24;
const RELA_BYTES: usize = 24;
const VERSYM_HIDDEN: u16 = 0x8000;
const STT_TLS: u8 = 6;
const STT_GNU_IFUNC: u8 = 10;

/// A loaded object, as the loader lists it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Object {
    /// What is added to its addresses.
    pub(crate) base: usize,
    /// Its program headers.
    pub(crate) phdr: usize,
    /// How many.
    pub(crate) n_phdr: usize,
    /// Its name as a C text, 0 none.
    pub(crate) name: usize,
}

/// The tables of an object that symbols and relocations are read from.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tables {
    base: usize,
    strings: usize,
    symbols: usize,
    hash: usize,
    gnu_hash: usize,
    versions: usize,
    plt_rela: usize,
    plt_rela_bytes: usize,
    rela: usize,
    rela_bytes: usize,
    /// The loader's `r_debug`, in the program only.
    pub(crate) r_debug: usize,
    /// First and last address of its segments.
    pub(crate) range: (usize, usize),
    /// First and last address of its executable segment.
    pub(crate) code: (usize, usize),
    /// Whole pages that the loader made read-only after relocation.
    pub(crate) relro: (usize, usize),
}

/// One program header.
#[derive(Clone, Copy)]
#[repr(C)]
struct Phdr {
    kind: u32,
    flags: u32,
    offset: u64,
    vaddr: u64,
    paddr: u64,
    file_bytes: u64,
    mem_bytes: u64,
    align: u64,
}

/// One symbol.
#[derive(Clone, Copy)]
#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: u64,
    size: u64,
}

/// A relocation against a symbol.
#[derive(Clone, Copy)]
pub(crate) struct Relocation {
    /// Address of the slot.
    pub(crate) slot: usize,
    /// The processor's number of its kind.
    pub(crate) kind: u32,
    /// Address of the symbol's name, a C text.
    pub(crate) name: usize,
    /// Whether the object leaves the symbol to others.
    pub(crate) is_undefined: bool,
    /// What is added to the symbol.
    pub(crate) addend: u64,
}

impl Object {
    /// Its tables; `None` for an object without a dynamic segment.
    pub(crate) fn tables(&self) -> Option<Tables> {
        let mut tables = Tables { base: self.base, range: (usize::MAX, 0), ..Tables::default() };
        let mut dynamic = 0;
        for idx in 0..self.n_phdr {
            // SAFETY: the loader mapped and used this many program headers.
            let header = unsafe { load::<Phdr>(self.phdr + idx * PHDR_BYTES) };
            let start = self.base.wrapping_add(header.vaddr as usize);
            let end = start + header.mem_bytes as usize;
            match header.kind {
                PT_LOAD => {
                    tables.range = (tables.range.0.min(start), tables.range.1.max(end));
                    if header.flags & 1 != 0 && tables.code.1 == 0 {
                        tables.code = (start, end);
                    }
                }
                PT_DYNAMIC => dynamic = start,
                // As glibc rounds it (elf/dl-reloc.c, _dl_protect_relro): down at both ends.
                PT_GNU_RELRO => tables.relro = (start & !(PAGE_BYTES - 1), end & !(PAGE_BYTES - 1)),
                _ => (),
            }
        }
        (dynamic != 0).then(|| tables.read_dynamic(dynamic))
    }

    /// The program's name, or the object's path.
    pub(crate) fn path(&self) -> &'static [u8] {
        // SAFETY: the loader's C text; it lives as long as the object.
        unsafe { text(self.name) }
    }
}

/// The object whose ELF header lies at `base`; `None` where there is none.
pub(crate) fn object_at(base: usize, name: usize) -> Option<Object> {
    if !crate::kernel::is_mapped(base) {
        return None;
    }
    // SAFETY: a mapped page.
    if unsafe { load::<u32>(base) } != u32::from_le_bytes(*b"\x7fELF") {
        return None;
    }
    // SAFETY: an ELF header is 64 bytes, in one page.
    let phdr = base + unsafe { load::<u64>(base + 32) } as usize;
    // SAFETY: as above.
    let n_phdr = usize::from(unsafe { load::<u16>(base + 56) });
    Some(Object { base, phdr, n_phdr, name })
}

impl Tables {
    fn read_dynamic(mut self, mut at: usize) -> Tables {
        loop {
            // SAFETY: the dynamic segment ends with an entry of zeros, which ends the loop.
            let [tag, value] = unsafe { load::<[u64; 2]>(at) };
            // glibc has added the base to pointers already, musl has not.
            let value = value as usize;
            let addr = if value < self.base { self.base + value } else { value };
            match tag {
                0 => return self,
                DT_HASH => self.hash = addr,
                DT_GNU_HASH => self.gnu_hash = addr,
                DT_STRTAB => self.strings = addr,
                DT_SYMTAB => self.symbols = addr,
                DT_VERSYM => self.versions = addr,
                DT_JMPREL => self.plt_rela = addr,
                DT_PLTRELSZ => self.plt_rela_bytes = value,
                DT_RELA => self.rela = addr,
                DT_RELASZ => self.rela_bytes = value,
                DT_DEBUG => self.r_debug = value,
                _ => (),
            }
            at += 16;
        }
    }

    fn symbol(&self, idx: usize) -> Symbol {
        // SAFETY: indices come from the object's own hash tables and relocations.
        unsafe { load(self.symbols + idx * SYM_BYTES) }
    }

    /// Where the object defines `name`, in the version that the loader takes by default.
    pub(crate) fn find(&self, name: &[u8]) -> Option<usize> {
        if self.symbols == 0 || self.strings == 0 {
            return None;
        }
        let idx = if self.gnu_hash != 0 { self.find_gnu(name) } else { self.find_sysv(name) }?;
        Some(self.base.wrapping_add(self.symbol(idx).value as usize))
    }

    fn is_definition(&self, idx: usize, name: &[u8]) -> bool {
        let symbol = self.symbol(idx);
        let kind = symbol.info & 15;
        if symbol.section == 0 || symbol.value == 0 || kind == STT_TLS || kind == STT_GNU_IFUNC {
            return false;
        }
        if !is_text(self.strings + symbol.name as usize, name) {
            return false;
        }
        // SAFETY: the version table is as long as the symbol table.
        self.versions == 0 || unsafe { load::<u16>(self.versions + 2 * idx) } & VERSYM_HIDDEN == 0
    }

    fn word(&self, table: usize, idx: usize) -> u32 {
        // SAFETY: callers index a hash table by its own counts.
        unsafe { load(table + 4 * idx) }
    }

    fn find_gnu(&self, name: &[u8]) -> Option<usize> {
        let hash =
            name.iter().fold(5381_u32, |hash, byte| hash.wrapping_mul(33).wrapping_add((*byte).into()));
        let [n_buckets, first, n_bloom, shift] = core::array::from_fn(|idx| self.word(self.gnu_hash, idx));
        let bloom = self.gnu_hash + 16;
        let at = bloom + 8 * ((hash / 64) & (n_bloom - 1)) as usize;
        // SAFETY: the filter has `n_bloom` words, a power of two.
        let filter = unsafe { load::<u64>(at) };
        if filter >> (hash & 63) & filter >> (hash >> shift & 63) & 1 == 0 || n_buckets == 0 {
            return None;
        }
        let buckets = bloom + 8 * n_bloom as usize;
        let chains = buckets + 4 * n_buckets as usize;
        let mut idx = self.word(buckets, (hash % n_buckets) as usize);
        if idx < first {
            return None;
        }
        loop {
            let chained = self.word(chains, (idx - first) as usize);
            if chained | 1 == hash | 1 && self.is_definition(idx as usize, name) {
                return Some(idx as usize);
            }
            if chained & 1 != 0 {
                return None;
            }
            idx += 1;
        }
    }

    fn find_sysv(&self, name: &[u8]) -> Option<usize> {
        if self.hash == 0 {
            return None;
        }
        let hash = name.iter().fold(0_u32, |hash, byte| {
            let hash = (hash << 4).wrapping_add((*byte).into());
            (hash ^ (hash >> 24 & 0xf0)) & 0x0fff_ffff
        });
        let (n_buckets, n_chains) = (self.word(self.hash, 0), self.word(self.hash, 1));
        let mut idx = self.word(self.hash, 2 + hash.checked_rem(n_buckets)? as usize);
        while idx != 0 && idx < n_chains {
            if self.is_definition(idx as usize, name) {
                return Some(idx as usize);
            }
            idx = self.word(self.hash, (2 + n_buckets + idx) as usize);
        }
        None
    }

    /// All relocations against symbols: of calls first, then of data.
    pub(crate) fn relocations(&self) -> impl Iterator<Item = Relocation> {
        let tables = *self;
        let plt = (self.plt_rela, self.plt_rela_bytes);
        // Some linkers count the calls among the rest.
        let overlaps = self.plt_rela >= self.rela && self.plt_rela < self.rela + self.rela_bytes;
        let rest = if overlaps { self.plt_rela - self.rela } else { self.rela_bytes };
        [plt, (self.rela, rest)].into_iter().flat_map(move |(start, n_bytes)| {
            (0..n_bytes / RELA_BYTES).filter_map(move |idx| tables.relocation(start + idx * RELA_BYTES))
        })
    }

    fn relocation(&self, at: usize) -> Option<Relocation> {
        // SAFETY: inside the table that the loader went through.
        let [offset, info, addend] = unsafe { load::<[u64; 3]>(at) };
        let idx = (info >> 32) as usize;
        if idx == 0 {
            return None;
        }
        let symbol = self.symbol(idx);
        Some(Relocation {
            slot: self.base.wrapping_add(offset as usize),
            kind: info as u32,
            name: self.strings + symbol.name as usize,
            is_undefined: symbol.section == 0,
            addend,
        })
    }
}

/// Whether the C text at `addr` is `expected`.
pub(crate) fn is_text(addr: usize, expected: &[u8]) -> bool {
    // SAFETY: a C text; reading stops at the first difference, at the latest at its end.
    let byte = |idx| unsafe { load::<u8>(addr + idx) };
    expected.iter().enumerate().all(|(idx, wanted)| byte(idx) == *wanted) && byte(expected.len()) == 0
}

#[cfg(test)]
mod tests {
    use crate::objects;

    #[test]
    fn symbols_are_found_as_the_loader_finds_them() {
        let list = objects::list().expect("this program was loaded");
        for name in ["malloc", "free", "posix_memalign", "dlsym", "dl_iterate_phdr", "realloc"] {
            let c_name = std::ffi::CString::new(name).expect("no zero inside");
            // SAFETY: a C text.
            let expected = unsafe { libc::dlsym(libc::RTLD_DEFAULT, c_name.as_ptr()) } as usize;
            assert_eq!(objects::find(list, name.as_bytes()), Some(expected), "{name}");
        }
        assert_eq!(objects::find(list, b"heapray_has_no_such_symbol"), None);
    }
}
