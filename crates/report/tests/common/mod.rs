//! Synthetic snapshots: the story, hostile names, nothing at all.

use heapray_capture::SnapshotFile;
use heapray_heap::synthetic::Builder;
use heapray_query::Session;
use heapray_wire::{NodeFlags, TypeKind};

/// The story at a moment when `buffer` holds this many arrays; a frame and a signal handler hold some more.
pub(crate) fn story(n_arrays: u32) -> SnapshotFile {
    let mut b = Builder::new();
    b.fact("pid", 4242);
    b.fact("rss_bytes", 100_000_000 + i64::from(n_arrays) * 8_064);
    b.fact("pause_us", 12_340);
    b.fact("taken_unix_ns", 1_760_000_000_000_000_000 + i64::from(n_arrays) * 300_000_000);
    b.fact("coverage.references", 100_000);
    b.fact("coverage.explained_references", 99_950);
    b.fact("gc.enabled", 0);
    let module = b.module_node("data_pipeline");
    let config = b.dict();
    b.global("data_pipeline", "config", config);
    let text = b.str("threshold");
    b.set_item(config, "limit", text);
    let buffer = b.list(&[]);
    b.global("data_pipeline", "buffer", buffer);
    let handler = b.object("function", TypeKind::Function);
    b.name(handler, "data_pipeline.flush");
    b.global("data_pipeline", "flush", handler);
    let handlers = b.synthetic(TypeKind::NativeStatic, "static Handlers in libpython3.12.so");
    b.push(handlers, handler);
    let frame = b.frame("thread 4242", "normalize_vectors (data_pipeline.py:14)");
    let batch = b.list(&[]);
    b.local(frame, "batch", batch);
    for _ in 0..3 {
        let array = array(&mut b);
        b.push(batch, array);
    }
    let (left, right) = (b.instance("app.Node"), b.instance("app.Node"));
    b.attribute(left, "next", right);
    b.attribute(right, "back", left);
    for _ in 0..n_arrays {
        let array = array(&mut b);
        b.push(buffer, array);
    }
    let _ = module;
    SnapshotFile { processes: vec![b.build()], losses: Vec::new() }
}

fn array(b: &mut Builder) -> u32 {
    let array = b.object("numpy.ndarray", TypeKind::Other);
    b.bytes(array, 8_064);
    array
}

/// Names as an attacker would choose them, and figures at the end of their range.
pub(crate) fn hostile() -> SnapshotFile {
    let mut b = Builder::new();
    b.fact("pid", i64::MIN);
    b.fact("rss_bytes", i64::MAX);
    let evil = "x\"]; <script>alert('1')</script> & \x1b[31mred\x1b[0m\nline\u{202e}txet\u{0}";
    let holder = b.list(&[]);
    b.global(evil, evil, holder);
    let object = b.object(evil, TypeKind::Instance);
    b.bytes(object, u64::MAX / 4);
    b.flag(object, NodeFlags::FINALIZER);
    b.name(object, evil);
    b.push(holder, object);
    b.attribute(object, evil, object);
    SnapshotFile { processes: vec![b.build()], losses: Vec::new() }
}

/// A process without any object.
pub(crate) fn empty() -> SnapshotFile {
    SnapshotFile { processes: vec![Builder::new().build()], losses: Vec::new() }
}

/// A session over the only process.
pub(crate) fn session(file: SnapshotFile) -> Session {
    Session::new(file, None).expect("one process")
}
