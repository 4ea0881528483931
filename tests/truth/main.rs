//! Snapshots against oracles: what the interpreter itself says of its objects, on every interpreter found.

mod facts;
mod heaps;
mod held;
mod image;
mod packages;

use std::path::PathBuf;

use heapray_testkit::Python;

/// A folder that targets write into, in their own root file system; gone with the value.
pub(crate) struct Scratch {
    folder: PathBuf,
    made: std::cell::RefCell<Vec<PathBuf>>,
}

impl Scratch {
    pub(crate) fn new(name: &str) -> Self {
        let folder = PathBuf::from(format!("/tmp/heapray-truth-{}-{name}", std::process::id()));
        Self { folder, made: std::cell::RefCell::default() }
    }

    /// A file's path as the interpreter sees it, and as we do.
    pub(crate) fn path(&self, python: &Python, name: &str) -> (PathBuf, PathBuf) {
        let outside = python.outside(&self.folder);
        std::fs::create_dir_all(&outside).expect("a folder for scratch files");
        let file = outside.join(name);
        self.made.borrow_mut().push(outside);
        (self.folder.join(name), file)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for folder in self.made.borrow().iter() {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}
