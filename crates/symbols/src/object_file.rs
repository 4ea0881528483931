//! One loaded library or executable: its mappings, and its symbols once somebody asks.

use std::cell::OnceCell;

use heapray_linux::{ElfFile, FileRoot, Mapping};

/// A file that is mapped as code or data.
#[derive(Debug)]
pub(crate) struct ObjectFile {
    /// Last component of its path.
    pub(crate) name: String,
    /// Its mappings in address order, with the zero-initialised data behind them.
    pub(crate) mappings: Vec<Mapping>,
    loaded: OnceCell<Option<Loaded>>,
}

/// Its symbols, and where they are.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) elf: ElfFile,
    /// To be added to addresses as linked.
    pub(crate) bias: u64,
}

impl ObjectFile {
    /// A file of which one mapping is known so far.
    pub(crate) fn new(first: Mapping) -> Self {
        let name = first.path.rsplit('/').next().unwrap_or_default().to_owned();
        Self { name, mappings: vec![first], loaded: OnceCell::new() }
    }

    /// One of its mappings holds code: it is a library or an executable, not a data file.
    pub(crate) fn has_code(&self) -> bool {
        self.mappings.iter().any(|mapping| mapping.exec)
    }

    /// Same file as that of `mapping`, loaded once: a mapping of an earlier part of the file starts a second load.
    pub(crate) fn continues_with(&self, mapping: &Mapping) -> bool {
        let same = |known: &Mapping| {
            (known.inode, &known.device, &known.path) == (mapping.inode, &mapping.device, &mapping.path)
        };
        let last = self.mappings.iter().rev().find(|known| known.is_file());
        last.is_some_and(|last| same(last) && last.offset <= mapping.offset)
    }

    /// Its symbols; `None` where its file cannot be read. The first call opens it.
    pub(crate) fn loaded(&self, root: &FileRoot) -> Option<&Loaded> {
        self.loaded.get_or_init(|| self.load(root)).as_ref()
    }

    fn load(&self, root: &FileRoot) -> Option<Loaded> {
        let first = self.mappings.first()?;
        let elf = ElfFile::read(root.open(first).ok()?).ok()?;
        let bias = elf.bias(first.start, first.offset)?;
        Some(Loaded { elf, bias })
    }

    /// The address of a symbol in the process.
    pub(crate) fn address_of(&self, name: &str, root: &FileRoot) -> Option<u64> {
        let loaded = self.loaded(root)?;
        Some(loaded.elf.address_of(name)?.wrapping_add(loaded.bias))
    }

    /// Tried and failed to read its file.
    pub(crate) fn is_unreadable(&self) -> bool {
        matches!(self.loaded.get(), Some(None))
    }
}
