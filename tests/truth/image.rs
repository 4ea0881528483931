//! A snapshot of a waiting target, through the same bytes as a file.

use heapray_capture::{HeapTables, SnapshotWriter};
use heapray_snapshot::{Source, StoppedThread, Summary, snapshot};
use heapray_testkit::Target;

/// Reads the target, encodes, decodes.
pub(crate) fn take(target: &Target) -> (HeapTables, Summary) {
    let mut memory = target.memory();
    let regions = memory.regions().to_vec();
    let oracle = target.memory();
    let threads: Vec<StoppedThread> = Vec::new();
    let mut bytes = Vec::new();
    let mut writer = SnapshotWriter::new(|more: &[u8]| bytes.extend_from_slice(more));
    let source = Source {
        memory: &mut memory,
        regions: &regions,
        threads: &threads,
        symbol: &|name| oracle.symbol(name),
        name_of: &|_| None,
        facts: Vec::new(),
        accept_torn: false,
        values: false,
    };
    let summary = snapshot(source, &mut |chunk| writer.chunk(&chunk)).expect("a snapshot");
    writer.finish();
    let file = heapray_capture::read("test", &bytes).expect("what was just written");
    assert!(file.losses.is_empty(), "{:?}", file.losses);
    let tables = file.processes.into_iter().next().expect("one process");
    (tables, summary)
}
