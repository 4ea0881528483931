//! Names and source lines for native code, from the files of the processes that are recorded.
//!
//! A file is read, by a thread of its own, when code in it first shows on a stack: that can take long, and the rings are not to
//! wait for it. Who needs a name before its file is read waits, and gives the collector's sign of life meanwhile.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use heapray_symbols::{CodeFile, CodePlace};

use crate::{LoadedObject, NativeNames};

/// How often a sign of life is given while a file is waited for.
const BEAT: Duration = Duration::from_millis(50);

/// A file of code that is asked for: the path that processes know it under, and where to look.
type Request = (Box<str>, Vec<(PathBuf, PathBuf)>);
/// What became of it; `None` where there is no file that can be read.
type Answer = (Box<str>, Option<CodeFile>);

/// Files of code, by the path that processes know them under.
#[derive(Default)]
pub(crate) struct CodeFiles {
    /// `None` while they are read.
    files: BTreeMap<Box<str>, Option<Option<CodeFile>>>,
    n_reading: usize,
    reader: Option<Reader>,
}

/// The thread that reads; it ends with this.
struct Reader {
    requests: Sender<Request>,
    answers: Receiver<Answer>,
}

impl Reader {
    /// Without a thread to be had, `None`.
    fn start() -> Option<Self> {
        let (requests, theirs) = channel::<Request>();
        let (answer, answers) = channel();
        let read = move || {
            for (path, candidates) in theirs {
                let file = candidates.into_iter().find_map(|(root, path)| CodeFile::read(&root, &path));
                if answer.send((path, file)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("heapray-reader".into()).spawn(read).ok()?;
        Some(Self { requests, answers })
    }
}

impl CodeFiles {
    /// Begins to read the file of an object in a process with this pid, unless that was begun before.
    pub(crate) fn want(&mut self, pid: Option<i32>, object: &LoadedObject) {
        if self.files.contains_key(&object.path) {
            return;
        }
        if self.reader.is_none() {
            self.reader = Reader::start();
        }
        let request = (object.path.clone(), candidates(pid, object));
        let is_asked = self.reader.as_ref().is_some_and(|reader| reader.requests.send(request).is_ok());
        self.n_reading += usize::from(is_asked);
        self.files.insert(object.path.clone(), if is_asked { None } else { Some(None) });
    }

    /// Whether files are being read.
    pub(crate) fn is_reading(&mut self) -> bool {
        while let Some(answer) = self.reader.as_ref().and_then(|reader| reader.answers.try_recv().ok()) {
            self.take(answer);
        }
        self.n_reading > 0
    }

    fn take(&mut self, (path, file): Answer) {
        self.files.insert(path, Some(file));
        self.n_reading = self.n_reading.saturating_sub(1);
    }

    /// The file of an object that was asked for; waits until it is read.
    fn get(&mut self, object: &LoadedObject, beat: &dyn Fn()) -> Option<&CodeFile> {
        while self.files.get(&object.path).is_some_and(Option::is_none) {
            beat();
            match self.reader.as_ref().map(|reader| reader.answers.recv_timeout(BEAT)) {
                Some(Ok(answer)) => self.take(answer),
                Some(Err(std::sync::mpsc::RecvTimeoutError::Timeout)) => {}
                // The thread is gone: nothing more will be read.
                _ => self.files.values_mut().for_each(|file| _ = file.get_or_insert(None)),
            }
        }
        self.files.get(&object.path)?.as_ref()?.as_ref()
    }
}

/// Names the code of processes by its files.
pub(crate) struct NativeFiles<'a> {
    /// Process number to a pid of ours, to find its root.
    pub(crate) pids: &'a BTreeMap<u32, i32>,
    pub(crate) files: &'a mut CodeFiles,
    /// Says that the collector is alive.
    pub(crate) beat: &'a dyn Fn(),
}

impl NativeNames for NativeFiles<'_> {
    fn places(&mut self, process: u32, object: &LoadedObject, ip: u64) -> Vec<CodePlace> {
        self.files.want(self.pids.get(&process).copied(), object);
        let Some(file) = self.files.get(object, self.beat) else { return vec![CodePlace::default()] };
        // A return address may be the first of the next function: the call lies before it.
        file.places(ip.wrapping_sub(object.load_base).wrapping_sub(1))
    }
}

/// Roots and files below them: by its path in the process's root, then in ours.
fn candidates(pid: Option<i32>, object: &LoadedObject) -> Vec<(PathBuf, PathBuf)> {
    let below = object.path.trim_start_matches('/');
    let root = pid.map(|pid| PathBuf::from(format!("/proc/{pid}/root")));
    let roots = root.into_iter().chain([PathBuf::from("/")]);
    roots.map(|root| (root.clone(), root.join(below))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str) -> LoadedObject {
        LoadedObject { serial: 0, load_base: 0, start: 0, end: 1, path: path.into() }
    }

    #[test]
    fn a_file_is_read_once_and_waited_for() {
        let path = std::env::current_exe().expect("a test has a file");
        let own = object(path.to_str().expect("its path is UTF-8"));
        let missing = object("/there/is/none.so");
        let mut files = CodeFiles::default();
        assert!(!files.is_reading());
        for object in [&own, &missing, &own] {
            files.want(None, object);
        }
        assert_eq!(files.n_reading, 2);
        let beats = std::cell::Cell::new(0);
        let beat = || beats.set(beats.get() + 1);
        assert!(files.get(&missing, &beat).is_none());
        assert!(files.get(&own, &beat).is_some());
        assert!(beats.get() > 0 && !files.is_reading());
        assert!(files.get(&object("/never/asked/for.so"), &beat).is_none());
    }
}
