//! What each snapshot says about the process as a whole: which layer of memory has how much.
//!
//! Resident memory is python objects + native blocks + free bytes inside heaps + what no allocator told us. The
//! figures come from the snapshot's facts (docs/capture-format.md) and from sums over nodes; it judges nothing.

use crate::history::{History, Snap};
use crate::steady::Series;
use crate::tree::{slack, weight};
use crate::verdict::Figures;
use heapray_capture::HeapTables;
use heapray_heap::Region;
use heapray_wire::NodeFlags;

/// The figures of all snapshots.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// One per snapshot.
    pub(crate) figures: Vec<Figures>,
    /// Bytes that allocators spend far beyond what live objects asked for, per snapshot.
    pub(crate) slack: Vec<i64>,
}

impl Account {
    /// Adds up each snapshot. O(nodes).
    pub(crate) fn new(history: &History<'_>) -> Self {
        let rows: Vec<(Figures, i64)> = history.snaps.iter().map(of_snap).collect();
        Account {
            figures: rows.iter().map(|row| row.0).collect(),
            slack: rows.iter().map(|row| row.1).collect(),
        }
    }

    /// A figure over time; `None` where a snapshot lacks it.
    pub(crate) fn series(&self, of: impl Fn(&Figures) -> Option<i64>) -> Option<Series> {
        let level: Option<Vec<f64>> =
            self.figures.iter().map(|row| of(row).map(|value| value as f64)).collect();
        Some(Series { seconds: self.seconds(), level: level? })
    }

    /// Free bytes inside heaps, with what is spent beyond requests.
    pub(crate) fn waste(&self) -> Option<Series> {
        let mut free = self.series(|row| row.free_bytes)?;
        for (level, slack) in free.level.iter_mut().zip(&self.slack) {
            *level += *slack as f64;
        }
        Some(free)
    }

    /// All memory that somebody owns.
    pub(crate) fn live(&self) -> Series {
        let live = |row: &Figures| {
            Some(row.held_bytes + row.garbage_bytes + row.lost_bytes + row.native_bytes.unwrap_or(0))
        };
        self.series(live).unwrap_or_default()
    }

    /// What the process grew by: resident memory where it rose, or else live memory. Bytes.
    pub(crate) fn process_gain(&self) -> f64 {
        let resident = self.series(|row| row.rss_bytes).map_or(0.0, |series| series.gain());
        resident.max(self.live().gain()).max(0.0)
    }

    fn seconds(&self) -> Vec<f64> {
        self.figures.iter().map(|row| row.elapsed_seconds).collect()
    }
}

/// Blocks of pymalloc that the interpreter's free lists may hold: up to 2,000 tuples of each size (`PyTuple_MAXFREELIST`,
/// Objects/tupleobject.c of 3.10 to 3.13; some sizes are put there and never taken), fewer of other types.
const FREE_LISTS: i64 = 5_000;

/// Bytes of pymalloc's unowned blocks, less what free lists may hold.
fn beyond_free_lists(tables: &HeapTables) -> i64 {
    let figure = |name: &str| tables.int(name).unwrap_or(0);
    let (blocks, bytes) = (figure("census.pymalloc.orphan_blocks"), figure("census.pymalloc.orphan_bytes"));
    let beyond = (blocks - FREE_LISTS).max(0) as f64 / blocks.max(1) as f64;
    (bytes as f64 * beyond) as i64
}

fn of_snap(snap: &Snap<'_>) -> (Figures, i64) {
    let tables = snap.tables;
    let mut figures = Figures { elapsed_seconds: snap.seconds, ..Figures::default() };
    let mut spent = 0;
    for node in 0..tables.n_nodes() {
        let bytes = weight(tables, node) as i64;
        match snap.heap.region(node) {
            Region::Live => figures.held_bytes += bytes,
            Region::Lost => figures.lost_bytes += bytes,
            Region::Garbage => figures.garbage_bytes += bytes,
        }
        figures.objects += i64::from(!tables.flags[node as usize].has(NodeFlags::SYNTHETIC));
        spent += slack(tables, node) as i64;
    }
    let sum = |names: [&str; 2]| {
        let found: Vec<i64> = names.iter().filter_map(|name| tables.int(name)).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    };
    figures.rss_bytes = tables.int("rss_bytes");
    let of_malloc = tables.int("census.malloc.orphan_bytes");
    figures.native_bytes = of_malloc.map(|bytes| bytes + beyond_free_lists(tables));
    figures.free_bytes = sum(["census.malloc.free_bytes", "census.pymalloc.free_bytes"]);
    (figures, spent)
}
