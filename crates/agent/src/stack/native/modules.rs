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
    modules: Array<Listed>,
    round: u32,
}

#[derive(Clone, Copy)]
struct Listed {
    module: Module,
    /// The last round that it was seen in.
    round: u32,
}

impl Modules {
    /// None.
    pub(crate) const fn new() -> Modules {
        Modules { modules: Array::new(), round: 0 }
    }

    /// Begins to go through all loaded objects; those known stay until the end.
    pub(crate) fn begin_round(&mut self) {
        self.round = self.round.wrapping_add(1);
    }

    /// Forgets objects that were not seen since the round began; whether there were any.
    pub(crate) fn end_round(&mut self) -> bool {
        let round = self.round;
        self.retain(|listed| listed.round == round)
    }

    /// Sees an object. Whether another one lay there before. Without memory it stays unknown.
    pub(crate) fn see(&mut self, module: Module) -> bool {
        let round = self.round;
        let known = self.modules.as_mut_slice().iter_mut().find(|listed| listed.module == module);
        if let Some(listed) = known {
            listed.round = round;
            return false;
        }
        if module.start >= module.end {
            return false;
        }
        let apart = |listed: &Listed| listed.module.end <= module.start || module.end <= listed.module.start;
        let is_replaced = self.retain(apart);
        self.modules.push(Listed { module, round });
        self.modules.as_mut_slice().sort_unstable_by_key(|listed| listed.module.start);
        is_replaced
    }

    /// Whether any was not kept.
    fn retain(&mut self, is_kept: impl Fn(&Listed) -> bool) -> bool {
        let modules = self.modules.as_mut_slice();
        let mut n_kept = 0;
        for idx in 0..modules.len() {
            if is_kept(&modules[idx]) {
                modules[n_kept] = modules[idx];
                n_kept += 1;
            }
        }
        let is_any_gone = n_kept < modules.len();
        self.modules.truncate(n_kept);
        is_any_gone
    }

    /// The object that `pc` lies in.
    pub(crate) fn find(&self, pc: u64) -> Option<Module> {
        let modules = self.modules.as_slice();
        let idx = modules.partition_point(|listed| listed.module.start <= pc).checked_sub(1)?;
        modules.get(idx).map(|listed| listed.module).filter(|module| pc < module.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_come_and_go_by_rounds() {
        let module = |start| Module { start, end: start + 100, header: start + 1 };
        let mut modules = Modules::new();
        modules.begin_round();
        assert!(![300, 100, 200].into_iter().any(|start| modules.see(module(start))));
        assert!(!modules.end_round());
        assert_eq!(
            [99, 100, 299, 400].map(|pc| modules.find(pc).map(|module| module.start)),
            [None, Some(100), Some(200), None]
        );
        modules.begin_round();
        assert!(!modules.see(module(100)));
        // Another object lies where one was.
        assert!(modules.see(module(250)));
        assert!(modules.find(210).is_none() && modules.find(310).is_some_and(|module| module.start == 250));
        assert!(!modules.end_round());
        modules.begin_round();
        modules.see(module(250));
        assert!(modules.end_round());
        assert!(modules.find(150).is_none());
    }
}
