//! Measures loading and asking: CPU seconds of each phase, peak bytes a node, and `why` at its two hard cases.
//!
//! `cargo run --release -p heapray-heap --example bench [nodes] [runs]`; results are in `benches/results/heap.md`.
//! CPU time is this thread's, from `/proc/thread-self/schedstat`; memory is the process's peak resident set.
#![expect(clippy::print_stdout, reason = "a benchmark prints")]

use std::hint::black_box;

use heapray_capture::HeapTables;
use heapray_heap::synthetic::{Builder, Dice};
use heapray_heap::{
    CycleOptions, Find, GrowthOptions, Heap, HolderOptions, PictureOptions, TypeOrder, WhyOptions, cycles,
    growth, holders, subgraph, types, why,
};
use heapray_wire::{LabelKind, NodeFlags, ShapeRow, Tail, TypeKind};

/// Nodes of one record: instance, int, str, list, dict, str.
const GROUP: u32 = 6;

/// How records refer to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// All in a list; five references of each to shared objects.
    Plain,
    /// All in a list; references to the record before, to three records nearby, and from one in ten to any record.
    Tangled,
    /// As `Tangled`, but only the last record is in the list: all others hang in the tangle.
    Knotted,
}

fn main() {
    let mut arguments = std::env::args().skip(1).filter_map(|text| text.parse::<u32>().ok());
    let n_nodes = arguments.next().unwrap_or(10_000_000);
    let runs = arguments.next().unwrap_or(5);
    for form in [Form::Plain, Form::Tangled, Form::Knotted] {
        println!("{form:?} heap");
        for run in 0..runs {
            bench_load(n_nodes, form, run == 0);
        }
    }
    for _ in 0..runs {
        bench_referrers();
        bench_linked_list();
    }
}

/// CPU seconds of this thread.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

fn status_kib(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap_or("");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn timed<T>(what: &str, f: impl FnOnce() -> T) -> T {
    let start = cpu();
    let answer = black_box(f());
    println!("{what:<40} {:>8.3} s", cpu() - start);
    answer
}

fn bench_load(n_nodes: u32, form: Form, with_questions: bool) {
    let before = status_kib("VmRSS");
    let tables = records(n_nodes, form);
    let (n, m) = (tables.n_nodes(), tables.edges.len());
    // Peak from here on.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
    let start = cpu();
    let mut last = (start, "");
    let mut phases = Vec::new();
    let heap = Heap::load_with(tables, &mut |name| {
        let now = cpu();
        phases.push((last.1, now - last.0));
        last = (now, name);
    });
    let total = cpu() - start;
    let peak = (status_kib("VmHWM") - before) as f64 * 1024.0 / f64::from(n);
    let kept = (status_kib("VmRSS") - before) as f64 * 1024.0 / f64::from(n);
    let phases: Vec<String> =
        phases[1..].iter().map(|(name, seconds)| format!("{name} {seconds:.2}")).collect();
    println!(
        "load {n} nodes {m} stored edges {} with types: {total:.2} s ({}), peak {peak:.1} B/node, kept {kept:.1}",
        heap.graph().n_edges(),
        phases.join(", ")
    );
    if with_questions {
        ask(&heap);
    }
}

fn ask(heap: &Heap) {
    timed("types", || types(heap, TypeOrder::Retained).len());
    timed("holders", || holders(heap, &HolderOptions::default()).len());
    let found = timed("find type=bench.Record and bytes>50", || {
        Find::parse("type=bench.Record and bytes>50").map(|find| find.eval(heap)).unwrap_or_default()
    });
    timed("find elem=str", || Find::parse("elem=str").map_or(0, |find| find.eval(heap).len()));
    let target = found[found.len() / 2];
    timed("why of one record", || why(heap, &[target], &WhyOptions::default()).independent.len());
    timed("why of all records", || why(heap, &found, &WhyOptions::default()).groups.len());
    timed("picture of one record", || subgraph(heap, &[target], &PictureOptions::default()).nodes.len());
    timed("cycles, retained ones too", || cycles(heap, &CycleOptions::default()).retained.len());
    timed("growth against itself", || growth(heap, heap, &GrowthOptions::default()).born.count);
}

fn bench_referrers() {
    let mut b = Builder::new();
    let target = b.instance("bench.Target");
    let all = b.list(&[]);
    b.global("bench", "all", all);
    for _ in 0..300_000 {
        let holder = b.instance("bench.Holder");
        b.attribute(holder, "target", target);
        b.push(all, holder);
    }
    let heap = Heap::load(b.build());
    timed("why: 300,000 referrers", || why(&heap, &[target], &WhyOptions::default()));
    timed("picture: 300,000 referrers", || subgraph(&heap, &[target], &PictureOptions::default()));
}

fn bench_linked_list() {
    for is_double in [false, true] {
        let mut b = Builder::new();
        let head = b.instance("bench.Node");
        b.global("bench", "head", head);
        let mut last = head;
        for _ in 0..1_000_000 {
            let next = b.instance("bench.Node");
            b.attribute(last, "next", next);
            if is_double {
                b.attribute(next, "previous", last);
            }
            last = next;
        }
        let heap = Heap::load(b.build());
        let what =
            if is_double { "why: end of a doubly linked million" } else { "why: end of a linked million" };
        let answer = timed(what, || why(&heap, &[last], &WhyOptions::default()));
        assert_eq!(answer.independent.len(), 1, "one trail leads there");
    }
}

/// Records, each an instance with an int, a str, a list, a dict and its value. Two stored edges a node, and the edge of
/// each instance to its class.
fn records(n_nodes: u32, form: Form) -> HeapTables {
    let mut b = Builder::new();
    let buffer = b.list(&[]);
    b.global("bench", "buffer", buffer);
    let class = b.object("type", TypeKind::Type);
    b.global("bench", "Record", class);
    let tag = b.str("tag");
    let list = b.list(&[tag]);
    let (dict, int) = (b.dict(), b.object("int", TypeKind::Int));
    b.push(dict, tag);
    b.push(dict, tag);
    let first = b.instance("bench.Record");
    for (name, value) in
        [("id", int), ("name", tag), ("tags", list), ("meta", dict), ("previous", first), ("other", first)]
    {
        b.named(first, LabelKind::Attribute, name, value);
    }
    b.heap_type("bench.Record", class);
    b.global("bench", "first", first);
    let small = b.build();
    grow(small, (n_nodes, form), [first, int, tag, list, dict, buffer])
}

/// Puts the records before the nodes of `small`, so that synthetic nodes stay last.
fn grow(
    small: HeapTables,
    (n_nodes, form): (u32, Form),
    [first, int, text, list, dict, buffer]: [u32; 6],
) -> HeapTables {
    let is_tangled = form != Form::Plain;
    let n_groups = n_nodes / GROUP;
    let first_listed = if form == Form::Knotted { n_groups - 1 } else { 0 };
    let base = n_groups * GROUP;
    let n = (base + small.n_nodes()) as usize;
    let shape = |node: u32| small.shape[node as usize];
    let shapes = [shape(first), shape(int), shape(text), shape(list), shape(dict), shape(text)];
    let mut dice = Dice::new(1);
    let mut t = room_for(n);
    for group in 0..n_groups {
        let at = group * GROUP;
        let near = |dice: &mut Dice| match is_tangled {
            true => group.saturating_sub(dice.below(1000) as u32) * GROUP,
            false => base + text,
        };
        let other = if is_tangled && group.is_multiple_of(10) {
            dice.below(u64::from(n_groups)) as u32 * GROUP
        } else {
            near(&mut dice)
        };
        let previous = if is_tangled { group.saturating_sub(1) * GROUP } else { base + list };
        let edges: [&[u32]; GROUP as usize] = [
            &[at + 1, at + 2, at + 3, at + 4, previous, other],
            &[],
            &[],
            &[at + 2, near(&mut dice), near(&mut dice)],
            &[base + text, at + 5],
            &[],
        ];
        for (i, edges) in (0u32..).zip(edges) {
            t.edge_start.push(t.edges.len() as u32);
            t.edges.extend_from_slice(edges);
            t.address_offset.push((at + i) * 8);
            t.shape.push(shapes[i as usize]);
            t.shallow_bytes.push(56);
            t.block_bytes.push(64);
            t.flags.push(NodeFlags(NodeFlags::TRACKED));
        }
    }
    for node in 0..small.n_nodes() {
        t.edge_start.push(t.edges.len() as u32);
        t.edges.extend(small.targets(node).iter().map(|target| target + base));
        if node == buffer {
            t.edges.extend((first_listed..n_groups).map(|group| group * GROUP));
        }
        t.address_offset.push((base + node) * 8);
        t.shape.push(small.shape[node as usize]);
        t.shallow_bytes.push(56);
        t.block_bytes.push(64);
        t.flags.push(small.flags[node as usize]);
    }
    t.edge_start.push(t.edges.len() as u32);
    t.names = small.names;
    t.names.iter_mut().for_each(|name| name.node += base);
    t.types = small.types;
    t.types.iter_mut().filter(|row| row.counted).for_each(|row| row.node += base);
    t.strings = small.strings;
    t.shapes = small.shapes;
    debug_assert!(t.shapes.iter().all(|shape: &ShapeRow| shape.tail != Tail::Items), "no sets here");
    t
}

/// Empty columns with room for `n` nodes at two edges a node.
fn room_for(n: usize) -> HeapTables {
    HeapTables {
        address_base: vec![(0, 0)],
        address_offset: Vec::with_capacity(n),
        shape: Vec::with_capacity(n),
        refcount: vec![1; n],
        shallow_bytes: Vec::with_capacity(n),
        block_bytes: Vec::with_capacity(n),
        flags: Vec::with_capacity(n),
        edge_start: Vec::with_capacity(n + 1),
        edges: Vec::with_capacity(n * 2),
        ..HeapTables::default()
    }
}
