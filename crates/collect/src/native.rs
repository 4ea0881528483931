//! Names for native code, from the files of the processes that are recorded.
//!
//! A file is read when the first address inside it is named. That can take long, so the collector's sign of life is given
//! before each.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use heapray_linux::ElfFile;

use crate::{LoadedObject, NativeNames, NativePlace};

/// Symbols of files, by the path that processes know them under.
pub(crate) struct NativeFiles<'a> {
    /// Process number to a pid of ours, to find its root.
    pub(crate) pids: &'a BTreeMap<u32, i32>,
    pub(crate) files: &'a mut BTreeMap<Box<str>, Option<ElfFile>>,
    /// Says that the collector is alive.
    pub(crate) beat: &'a dyn Fn(),
}

impl NativeNames for NativeFiles<'_> {
    fn place(&mut self, process: u32, object: &LoadedObject, ip: u64) -> NativePlace {
        let pid = self.pids.get(&process).copied();
        if !self.files.contains_key(&object.path) {
            (self.beat)();
            self.files.insert(object.path.clone(), read(pid, object));
        }
        let elf = self.files.get(&object.path).and_then(Option::as_ref);
        // A return address may be the first of the next function: the call lies before it.
        let linked = ip.wrapping_sub(object.load_base).wrapping_sub(1);
        let symbol = elf.and_then(|elf| elf.symbol_at(linked));
        NativePlace { function: symbol.map(|symbol| symbol.name.clone()), ..NativePlace::default() }
    }
}

/// By its path in the process's root, then in ours; the program itself has no path.
fn read(pid: Option<i32>, object: &LoadedObject) -> Option<ElfFile> {
    let root = pid.map(|pid| PathBuf::from(format!("/proc/{pid}")));
    let mut candidates = Vec::new();
    if object.path.is_empty() {
        candidates.extend(root.as_deref().map(|root| root.join("exe")));
    } else {
        let below = object.path.trim_start_matches('/');
        candidates.extend(root.as_deref().map(|root| root.join("root").join(below)));
        candidates.push(Path::new(&*object.path).to_owned());
    }
    candidates.into_iter().find_map(|path| ElfFile::read(File::open(path).ok()?).ok())
}
