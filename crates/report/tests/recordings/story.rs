//! A made-up service: imports, then requests under a leak, a cache that fills, temporaries, a thread pool, a tag, a
//! stack that was cut, and a worker that is forked with what the master has.

use heapray_capture::Recording;
use heapray_capture::synthetic::{Block, RecordingBuilder, Site};
use heapray_query::{AllocationOptions, Allocations};
use heapray_wire::allocator::{MALLOC, PYTHON_OBJECT, PYTHON_RAW};
use heapray_wire::{Fact, FactValue};

const SECOND: u64 = 1_000_000_000;
/// Mean bytes between samples.
const INTERVAL: u64 = 65_536;

/// The places of the service.
struct Places {
    import: Site,
    leak: Site,
    cache: Site,
    parse: Site,
    pool: Site,
    deep: Site,
    native: Site,
}

impl Places {
    fn new(b: &mut RecordingBuilder) -> Self {
        const SERVE: [&str; 3] = [
            "<module> /srv/env/bin/gunicorn:8",
            "Flask.wsgi_app /srv/env/lib/python3.12/site-packages/flask/app.py:1511",
            "normalize /srv/shop/app.py:12",
        ];
        let mut stack = |before: &[&str], after: &[&str]| b.stack(&[before, after].concat());
        let main = &["thread:MainThread"][..];
        let tagged = &["thread:MainThread", "tag:/normalize"][..];
        let find = "import_module /usr/lib/python3.12/importlib/__init__.py:90";
        let leak = [&SERVE[..], &["normalize_vectors /srv/shop/data_pipeline.py:17"]].concat();
        let cache = [&SERVE[..], &["lookup /srv/shop/cache.py:30"]].concat();
        let parse = [&SERVE[..], &["loads /usr/lib/python3.12/json/__init__.py:346"]].concat();
        let native = [&leak[..], &["native:gemm libblas.so:0"]].concat();
        Self {
            import: (stack(main, &["<module> /srv/shop/app.py:3", find]), PYTHON_OBJECT),
            leak: (stack(tagged, &leak), PYTHON_OBJECT),
            cache: (stack(tagged, &cache), PYTHON_OBJECT),
            parse: (stack(tagged, &parse), PYTHON_RAW),
            pool: (stack(&["thread:pool-1"], &["work /srv/shop/jobs/pool.py:9"]), PYTHON_OBJECT),
            deep: (stack(main, &["cut:too deep", "recurse /srv/shop/app.py:40"]), PYTHON_OBJECT),
            native: (stack(tagged, &native), MALLOC),
        }
    }
}

/// Takes a block, sampled or not.
type Take<'a> = &'a dyn Fn(&mut RecordingBuilder, u16, Site, u64) -> Block;

/// 24 seconds of the service; the worker is forked after two.
fn run(mut b: RecordingBuilder, take: Take<'_>) -> Recording {
    b.fact("start_unix_ns", FactValue::Int(1_760_000_000 * SECOND as i64));
    let places = Places::new(&mut b);
    let master = b.task(4242, None);
    let imported: Vec<Block> = (0..40).map(|_| take(&mut b, master, places.import, 50_000)).collect();
    let _outermost = take(&mut b, master, places.deep, 30_000);
    b.reading(master, 20_000_000);
    b.advance(SECOND);
    b.advance(SECOND);
    let worker = b.task(4243, Some(master));
    let mut pooled: Vec<Block> = Vec::new();
    for second in 0..21_u64 {
        for _ in 0..10 {
            let _kept = take(&mut b, worker, places.leak, 8_064);
            b.temporary(worker, places.parse, (20, 4_000));
        }
        if second < 4 {
            let _cached = take(&mut b, worker, places.cache, 300_000);
        }
        pooled.drain(..).for_each(|block| b.free(block));
        pooled.push(take(&mut b, worker, places.pool, 400_000));
        let _packed = take(&mut b, worker, places.native, 1_000 + second);
        b.reading(master, 20_000_000);
        b.reading(worker, 22_000_000 + second * 300_000);
        b.advance(SECOND);
    }
    // A worker that ends tears its objects down first.
    imported.iter().for_each(|block| b.free_in(worker, *block));
    b.end(worker, "exited", 0);
    b.advance(SECOND);
    b.recording()
}

/// The recording, exact.
pub(crate) fn recording() -> Recording {
    with_status(run(RecordingBuilder::exact(), &|b, task, site, size| b.alloc(task, site, size)))
}

fn with_status(mut recording: Recording) -> Recording {
    let fact = |name: &str, value| Fact { name: name.into(), value: FactValue::Int(value) };
    for task in &mut recording.tasks {
        task.status = vec![
            fact("events", 1_000),
            fact("hook_ns", 12_000_000),
            fact("ring_bytes", 1_048_576),
            fact("agent_bytes", 262_144),
        ];
    }
    recording
}

/// The service, every block recorded.
pub(crate) fn exact(options: AllocationOptions) -> Allocations {
    Allocations::new(recording(), options).expect("it has processes")
}

/// The recording, sampled.
pub(crate) fn sampled_recording() -> Recording {
    let take =
        |b: &mut RecordingBuilder, task: u16, site: Site, size: u64| b.sample(task, site, (size, INTERVAL));
    with_status(run(RecordingBuilder::sampled(INTERVAL), &take))
}

/// The service, as its samples would stand for it.
pub(crate) fn sampled(options: AllocationOptions) -> Allocations {
    Allocations::new(sampled_recording(), options).expect("it has processes")
}

/// Names as an attacker would choose them.
pub(crate) fn hostile() -> Recording {
    let mut b = RecordingBuilder::exact();
    let evil = "=x\"]; <script>alert('1')</script> & \x1b[31mred\x1b[0m\u{202e}txet\u{0}, a;b\nline";
    b.fact("command", FactValue::Text(evil.into()));
    let task = b.task(u32::MAX, None);
    let frames = [format!("thread:{evil}"), format!("tag:{evil}"), format!("{evil} /srv/{evil}:7")];
    let node = b.stack(&[&frames[0], &frames[1], &frames[2]]);
    for _ in 0..12 {
        b.alloc(task, (node, 255), u64::MAX / 1_000);
        b.temporary(task, (node, 0), (1, 100));
        b.advance(SECOND);
    }
    let mut recording = b.recording();
    recording.tasks[0].status = vec![Fact { name: evil.into(), value: FactValue::Text(evil.into()) }];
    recording
}

/// A process that holds blocks of no bytes beside others, some of them alone at their place.
pub(crate) fn with_empty_blocks() -> Allocations {
    let mut b = RecordingBuilder::exact();
    let task = b.task(7, None);
    let of = |b: &mut RecordingBuilder, frame: &str| (b.stack(&[frame]), MALLOC);
    let (mixed, empty) = (of(&mut b, "mixed /srv/x.py:1"), of(&mut b, "empty /srv/x.py:2"));
    for size in [0, 0, 100, 200, 300] {
        b.alloc(task, mixed, size);
    }
    for _ in 0..3 {
        b.alloc(task, empty, 0);
    }
    b.advance(SECOND);
    Allocations::new(b.recording(), AllocationOptions::default()).expect("it has a process")
}

/// A process that did nothing.
pub(crate) fn empty() -> Recording {
    let mut b = RecordingBuilder::exact();
    b.task(7, None);
    b.recording()
}
