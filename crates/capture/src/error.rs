//! Why a file cannot be read at all. Damage inside a capture is no error: it gives data plus [`crate::Loss`]es.

/// Why there is nothing to read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptureError {
    /// The first bytes are not those of a capture.
    #[error("cannot read {file} as a capture: it {looks_like}; {advice}")]
    Foreign {
        /// What was read.
        file: String,
        /// What the first bytes look like, as the end of a sentence: "is gzip data".
        looks_like: &'static str,
        /// What to try.
        advice: &'static str,
    },
    /// The file asks for a newer reader.
    #[error(
        "cannot read {file}: it is a capture of format version {version} and needs a reader of version {needs} \
         or later, this heapray reads up to version {reads}; update heapray"
    )]
    Newer {
        /// What was read.
        file: String,
        /// Version of the file.
        version: u16,
        /// Oldest reader that the file allows.
        needs: u16,
        /// Newest version that this reader knows.
        reads: u16,
    },
    /// The file is a capture of another kind.
    #[error("cannot read {file} as {wanted}: it holds {holds}; {advice}")]
    OtherKind {
        /// What was read.
        file: String,
        /// What the reader reads.
        wanted: &'static str,
        /// What the file holds.
        holds: &'static str,
        /// Which commands read it.
        advice: &'static str,
    },
    /// Nothing of any process is left.
    #[error(
        "cannot read {file}: it begins as a capture but holds nothing readable ({why}); \
         make it again, and check that the disk was not full"
    )]
    NothingLeft {
        /// What was read.
        file: String,
        /// What was lost, the first loss.
        why: String,
    },
}

impl CaptureError {
    /// A snapshot was asked for, and `file` is a recording.
    pub(crate) fn recording(file: &str) -> Self {
        Self::OtherKind {
            file: file.to_owned(),
            wanted: "a snapshot",
            holds: "a recording of allocations",
            advice: "heapray top, tree, flamegraph, timeline, stats, peak, temporary, diff, watch, export and leaks read it",
        }
    }

    /// A recording was asked for, and `file` holds snapshots.
    pub(crate) fn snapshot(file: &str) -> Self {
        Self::OtherKind {
            file: file.to_owned(),
            wanted: "a recording of allocations",
            holds: "a snapshot of objects",
            advice: "heapray why, refs, chain, cycles, find and types read it",
        }
    }
}
