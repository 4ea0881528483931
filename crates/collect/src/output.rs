//! The file of a recording, written by a thread of its own: compressing and a slow disk do not keep the rings waiting.

use std::fs::File;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use heapray_capture::RecordingWriter;
use heapray_wire::{Fact, RecordingChunk};

use crate::Numbered;

/// Batches that may wait to be written; then the collector waits too.
const WAITING_MAX: usize = 64;

/// A recording that is being written.
#[derive(Debug)]
pub(crate) struct Output {
    sender: Option<SyncSender<Vec<Numbered>>>,
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    n_bytes: AtomicU64,
    failure: Mutex<Option<io::Error>>,
}

impl Output {
    /// Starts to write into `file`; `facts` are those of the recording.
    pub(crate) fn start(file: File, facts: Vec<Fact>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (sender, receiver) = sync_channel(WAITING_MAX);
        let theirs = Arc::clone(&shared);
        let (began, has_begun) = sync_channel(1);
        let thread = std::thread::Builder::new()
            .name("heapray-writer".into())
            .spawn(move || write_all(file, facts, (&receiver, &began), &theirs))?;
        // From here on the file can be read, whatever becomes of us; a thread that failed at once has gone.
        let _gone = has_begun.recv();
        Ok(Self { sender: Some(sender), thread: Some(thread), shared })
    }

    /// Writes these chunks, in order, and hands them to the system before any later ones.
    pub(crate) fn write(&self, chunks: Vec<Numbered>) {
        if let Some(sender) = self.sender.as_ref().filter(|_| !chunks.is_empty()) {
            // The thread is gone only after a failure, which is told elsewhere.
            let _gone = sender.send(chunks);
        }
    }

    /// Bytes written so far.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.shared.n_bytes.load(Ordering::Relaxed)
    }

    /// Why nothing is written any more, asked once.
    pub(crate) fn take_failure(&self) -> Option<io::Error> {
        self.shared.failure.lock().ok()?.take()
    }

    /// Waits until all is written, and marks the file as whole.
    pub(crate) fn finish(&mut self) {
        drop(self.sender.take());
        if let Some(thread) = self.thread.take() {
            // It does not panic; if it did, the file would end without its mark.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.finish();
    }
}

fn write_all(
    mut file: File,
    facts: Vec<Fact>,
    (receiver, began): (&Receiver<Vec<Numbered>>, &SyncSender<()>),
    shared: &Shared,
) {
    let pending = std::cell::RefCell::new(Vec::new());
    let mut writer = RecordingWriter::new(|bytes: &[u8]| pending.borrow_mut().extend_from_slice(bytes));
    writer.chunk(&RecordingChunk::Recording(facts), 0);
    let mut flush = |n_bytes| {
        let result = file.write_all(&pending.borrow());
        pending.borrow_mut().clear();
        match result {
            Ok(()) => {
                shared.n_bytes.store(n_bytes, Ordering::Relaxed);
                true
            }
            Err(error) => {
                if let Ok(mut failure) = shared.failure.lock() {
                    *failure = Some(error);
                }
                false
            }
        }
    };
    let is_written = flush(writer.n_bytes());
    // Somebody waits for it, once.
    let _told = began.send(());
    if !is_written {
        return;
    }
    while let Ok(chunks) = receiver.recv() {
        for (process, chunk) in chunks {
            writer.chunk(&chunk, process);
        }
        if !flush(writer.n_bytes()) {
            return;
        }
    }
    let n_bytes = writer.finish();
    flush(n_bytes);
}
