//! Loaded objects, as far as unwinding needs them: where they lie and where their call frame information is.

use crate::stack::array::Array;
use crate::stack::peek::Peek;

/// A loaded object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Module {
    /// First address.
    pub(crate) start: u64,
    /// One past the last address.
    pub(crate) end: u64,
    /// Address of `.eh_frame_hdr`, 0 none.
    pub(crate) header: u64,
}

const PT_LOAD: u32 = 1;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const PHDR_BYTES: u64 = 56;

impl Module {
    /// The object whose ELF header is at `header`, in memory that starts with it.
    pub(crate) fn at(peek: Peek, header: u64) -> Module {
        // Elf64_Ehdr: e_phoff, e_phnum.
        let (phdr, n_phdr) = (header + peek.word(header + 32), u64::from(peek.int(header + 56) & 0xffff));
        // The first segment is the one that the header is in; what it says of itself is relative to the base.
        let load = (0..n_phdr).map(|idx| phdr + idx * PHDR_BYTES).find(|at| peek.int(*at) == PT_LOAD);
        let base = load.map_or(header, |at| header.wrapping_sub(peek.word(at + 16)));
        Module::read(peek, base, phdr, n_phdr)
    }

    /// The object with `n_phdr` program headers at `phdr`, loaded at `base`.
    pub(crate) fn read(peek: Peek, base: u64, phdr: u64, n_phdr: u64) -> Module {
        let mut module = Module { start: u64::MAX, end: 0, header: 0 };
        for at in (0..n_phdr).map(|idx| phdr + idx * PHDR_BYTES) {
            // Elf64_Phdr: type, flags, offset, vaddr, paddr, bytes in file, bytes in memory.
            let start = base.wrapping_add(peek.word(at + 16));
            match peek.int(at) {
                PT_LOAD => {
                    module.start = module.start.min(start);
                    module.end = module.end.max(start.wrapping_add(peek.word(at + 32)));
                }
                PT_GNU_EH_FRAME => module.header = start,
                _ => {}
            }
        }
        module
    }
}

/// The objects of the process, in order of address.
pub(crate) struct Modules {
    modules: Array<Module>,
}

impl Modules {
    /// None.
    pub(crate) const fn new() -> Modules {
        Modules { modules: Array::new() }
    }

    /// Forgets all.
    pub(crate) fn clear(&mut self) {
        self.modules.truncate(0);
    }

    /// Adds one, unless there is no memory or it is empty.
    pub(crate) fn add(&mut self, module: Module) {
        if module.start < module.end && self.modules.push(module) {
            self.modules.as_mut_slice().sort_unstable_by_key(|module| module.start);
        }
    }

    /// The object that `pc` lies in.
    pub(crate) fn find(&self, pc: u64) -> Option<Module> {
        let modules = self.modules.as_slice();
        let idx = modules.partition_point(|module| module.start <= pc).checked_sub(1)?;
        modules.get(idx).copied().filter(|module| pc < module.end)
    }
}
