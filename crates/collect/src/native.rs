//! Names and source lines for native code, from the files of the processes that are recorded.
//!
//! A file is read when the first address inside it is named. That can take long, so the collector's sign of life is given
//! between the steps.

use std::collections::BTreeMap;
use std::path::PathBuf;

use heapray_symbols::{CodeFile, CodePlace};

use crate::{LoadedObject, NativeNames};

/// Files of code, by the path that processes know them under.
pub(crate) struct NativeFiles<'a> {
    /// Process number to a pid of ours, to find its root.
    pub(crate) pids: &'a BTreeMap<u32, i32>,
    pub(crate) files: &'a mut BTreeMap<Box<str>, Option<CodeFile>>,
    /// Says that the collector is alive.
    pub(crate) beat: &'a dyn Fn(),
}

impl NativeNames for NativeFiles<'_> {
    fn place(&mut self, process: u32, object: &LoadedObject, ip: u64) -> CodePlace {
        let pid = self.pids.get(&process).copied();
        if !self.files.contains_key(&object.path) {
            let mut candidates = candidates(pid, object).into_iter();
            let file = candidates.find_map(|(root, path)| CodeFile::read(&root, &path, self.beat));
            self.files.insert(object.path.clone(), file);
        }
        let Some(Some(file)) = self.files.get(&object.path) else { return CodePlace::default() };
        // A return address may be the first of the next function: the call lies before it.
        file.place(ip.wrapping_sub(object.load_base).wrapping_sub(1))
    }
}

/// Roots and files below them: by its path in the process's root, then in ours.
fn candidates(pid: Option<i32>, object: &LoadedObject) -> Vec<(PathBuf, PathBuf)> {
    let below = object.path.trim_start_matches('/');
    let root = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
    let roots = root.into_iter().chain([PathBuf::from("/")]);
    roots.map(|root| (root.clone(), root.join(below))).collect()
}
