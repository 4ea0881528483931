//! Verdicts over synthetic snapshots: each mechanism is named, and what is no leak is not.

use heapray_diagnose::{Kind, Observation, Verdict, leaks};
use heapray_heap::Heap;
use heapray_heap::synthetic::{Builder, plain};
use heapray_wire::{LabelKind, NodeFlags, TypeKind};

/// Builds one snapshot per level and judges them; snapshots are ten seconds apart.
fn judge(levels: &[u32], build: impl Fn(&mut Builder, u32)) -> Verdict {
    let heaps: Vec<Heap> = levels
        .iter()
        .map(|level| {
            let mut builder = Builder::new();
            builder.fact("gc.enabled", 1);
            builder.fact("gc.threshold0", 700);
            build(&mut builder, *level);
            Heap::load(builder.build())
        })
        .collect();
    let seen: Vec<Observation<'_>> =
        heaps.iter().enumerate().map(|(k, heap)| Observation { heap, at_seconds: k as f64 * 10.0 }).collect();
    leaks(&seen)
}

fn first(verdict: &Verdict) -> (Kind, &str) {
    let found = verdict.findings.first().unwrap_or_else(|| panic!("a finding is expected: {verdict:#?}"));
    (found.kind, found.holder.as_str())
}

fn items(builder: &mut Builder, container: u32, n: u32) {
    for _ in 0..n {
        let item = builder.instance("app.Row");
        builder.bytes(item, 512);
        builder.push(container, item);
    }
}

fn module_list(builder: &mut Builder, n: u32) {
    let list = builder.list(&[]);
    builder.global("app", "buffer", list);
    items(builder, list, n);
}

#[test]
fn module_list_that_grows_is_named() {
    let verdict = judge(&[100, 200, 300], module_list);
    assert_eq!(first(&verdict), (Kind::Reference, "app.buffer"));
    let found = &verdict.findings[0];
    assert_eq!((found.types[0].name.as_str(), found.types[0].count), ("app.Row", 200));
    assert_eq!(found.bytes_per_hour, 100.0 * 512.0 * 360.0);
    assert_eq!(verdict.findings.len(), 1);
}

#[test]
fn list_of_constant_length_is_no_leak() {
    assert_eq!(judge(&[300, 300, 300], module_list).findings, []);
}

#[test]
fn list_that_levels_off_is_no_leak_but_undecided() {
    let verdict = judge(&[100, 400, 480], module_list);
    assert_eq!(verdict.findings, []);
    assert!(verdict.undecided);
}

#[test]
fn attribute_dict_of_an_instance_is_named() {
    let verdict = judge(&[100, 200, 310], |builder, n| {
        let jar = builder.instance("app.Jar");
        let dict = builder.dict();
        builder.attribute(jar, "_cookies", dict);
        builder.global("app", "jar", jar);
        for i in 0..n {
            let value = builder.instance("app.Cookie");
            builder.set_item(dict, &format!("key{i}"), value);
        }
    });
    assert_eq!(first(&verdict), (Kind::Reference, "app.jar._cookies"));
}

#[test]
fn dict_of_dicts_is_named_as_a_whole() {
    let verdict = judge(&[3, 6, 9], |builder, n| {
        let outer = builder.dict();
        builder.global("app", "index", outer);
        let inner: Vec<u32> = (0..50).map(|_| builder.dict()).collect();
        for (i, dict) in inner.iter().enumerate() {
            builder.set_item(outer, &format!("k{i}"), *dict);
        }
        for level in 0..n {
            for dict in &inner {
                let row = builder.instance("app.Row");
                builder.set_item(*dict, &format!("r{level}"), row);
            }
        }
    });
    assert_eq!(first(&verdict), (Kind::Reference, "app.index"));
}

/// Links from the newest to the oldest: the old links keep their addresses, the new ones come after them.
fn chain_at_head(builder: &mut Builder, n: u32) {
    let error = builder.instance("app.Error");
    builder.global("app", "REFUSED", error);
    let mut older = None;
    for _ in 0..n {
        let link = builder.object("traceback", TypeKind::Traceback);
        if let Some(older) = older {
            builder.field(link, "tb_next", older);
        }
        older = Some(link);
    }
    builder.field(error, "__traceback__", older.expect("links"));
}

#[test]
fn chain_that_grows_at_its_head_is_named_by_its_owner() {
    let verdict = judge(&[50, 100, 150], chain_at_head);
    assert_eq!(first(&verdict), (Kind::Reference, "app.REFUSED.__traceback__"));
}

#[test]
fn chain_that_grows_at_its_tail_is_named_by_its_owner() {
    let verdict = judge(&[50, 100, 150], |builder, n| {
        let head = builder.instance("app.Node");
        builder.global("app", "head", head);
        let mut tail = head;
        for _ in 0..n {
            let link = builder.instance("app.Node");
            builder.attribute(tail, "next", link);
            tail = link;
        }
    });
    let (kind, holder) = first(&verdict);
    assert_eq!(kind, Kind::Reference);
    assert!(holder.starts_with("app.head"), "{holder}");
    assert!(holder.len() < 60, "folded: {holder}");
}

#[test]
fn local_of_a_running_frame_is_named() {
    let verdict = judge(&[100, 200, 300], |builder, n| {
        builder.module("app");
        let frame = builder.frame("thread 1", "main (app.py:12)");
        let list = builder.list(&[]);
        builder.local(frame, "batch", list);
        items(builder, list, n);
    });
    let (kind, holder) = first(&verdict);
    assert_eq!(kind, Kind::Reference);
    assert!(holder.contains("main") && holder.contains("batch"), "{holder}");
    assert_eq!(verdict.findings[0].source.as_deref(), Some("app.py:12"));
}

#[test]
fn garbage_with_the_collector_off_is_a_cycle() {
    let build = |enabled: i64| {
        move |builder: &mut Builder, n: u32| {
            builder.module("app");
            builder.fact("gc.enabled", enabled);
            for _ in 0..n {
                let (a, b) = (builder.instance("app.Node"), builder.instance("app.Node"));
                builder.attribute(a, "other", b);
                builder.attribute(b, "other", a);
            }
        }
    };
    assert_eq!(first(&judge(&[100, 200, 300], build(0))).0, Kind::Cycle);
    assert_eq!(judge(&[100, 200, 300], build(1)).findings, []);
}

#[test]
fn cycles_through_untraversed_objects_are_found_with_the_collector_on() {
    let verdict = judge(&[100, 200, 300], |builder, n| {
        builder.module("app");
        for _ in 0..n {
            let (a, b) = (builder.dict(), builder.instance("rust.Iterator"));
            builder.flag(b, NodeFlags::UNTRAVERSED);
            builder.set_item(a, "elements", b);
            builder.edge(b, plain(LabelKind::Offset), a);
        }
    });
    assert_eq!(first(&verdict).0, Kind::Cycle);
    assert!(verdict.findings[0].root.contains("rust.Iterator"));
}

#[test]
fn orphans_are_lost_references_named_by_the_top() {
    let verdict = judge(&[100, 200, 300], |builder, n| {
        builder.module("app");
        for _ in 0..n {
            let tuple = builder.object("tuple", TypeKind::Tuple);
            let marker = builder.instance("app.Marker");
            builder.push(tuple, marker);
            builder.refcount(tuple, 1);
            builder.flag(tuple, NodeFlags::ORPHAN | NodeFlags::ROOT);
        }
    });
    assert_eq!(first(&verdict), (Kind::LostReference, "no referrer: tuple"));
    assert_eq!(verdict.findings[0].types[0].name, "tuple");
}

#[test]
fn blocks_without_owner_are_native() {
    let verdict = judge(&[1, 2, 3], |builder, n| {
        builder.module("app");
        builder.fact("census.malloc.orphan_bytes", i64::from(n) * 1_000_000);
        builder.fact("rss_bytes", 50_000_000 + i64::from(n) * 1_000_000);
    });
    assert_eq!(first(&verdict).0, Kind::Native);
}

#[test]
fn resident_growth_that_is_free_memory_is_fragmentation() {
    let verdict = judge(&[1, 2, 3], |builder, n| {
        module_list(builder, n * 100);
        builder.fact("census.malloc.free_bytes", i64::from(n) * 10_000_000);
        builder.fact("rss_bytes", 50_000_000 + i64::from(n) * 11_000_000);
    });
    assert_eq!(first(&verdict).0, Kind::Fragmentation);
}

#[test]
fn two_leaks_are_two_findings() {
    let verdict = judge(&[100, 200, 300], |builder, n| {
        let (a, b) = (builder.list(&[]), builder.list(&[]));
        builder.global("app", "first", a);
        builder.global("app", "second", b);
        for i in 0..n {
            items(builder, if i % 3 == 2 { b } else { a }, 1);
        }
    });
    let holders: Vec<&str> = verdict.findings.iter().map(|found| found.holder.as_str()).collect();
    assert_eq!(holders, ["app.first", "app.second"]);
}

#[test]
fn cache_in_balance_is_no_leak() {
    let verdict = judge(&[0, 1, 2], |builder, turn| {
        let dict = builder.dict();
        builder.global("app", "cache", dict);
        builder.gap(u64::from(turn) * 2000);
        for i in 0..(1000 + turn * 8) {
            let value = builder.instance("app.Session");
            builder.set_item(dict, &format!("k{i}"), value);
        }
    });
    assert_eq!(verdict.findings, []);
}

#[test]
fn callbacks_of_the_interpreter_under_one_name_are_one_place() {
    let verdict = judge(&[50, 100, 150], |builder, n| {
        builder.module("app");
        let interpreter = builder.synthetic(TypeKind::Interpreter, "interpreter 1");
        for _ in 0..n {
            let method = builder.object("method", TypeKind::Method);
            let client = builder.instance("app.Client");
            builder.bytes(client, 4000);
            builder.field(method, "im_self", client);
            builder.field(interpreter, "atexit callback", method);
        }
    });
    let (kind, holder) = first(&verdict);
    assert_eq!(kind, Kind::Reference);
    assert!(holder.contains("atexit"), "{holder}");
    assert_eq!(verdict.findings[0].types[0].name, "app.Client");
    assert_eq!(verdict.findings[0].types[0].count, 100);
}

#[test]
fn blocks_in_free_lists_are_no_leak() {
    let verdict = judge(&[1, 2, 3], |builder, n| {
        builder.module("app");
        builder.fact("census.malloc.orphan_bytes", 700_000);
        builder.fact("census.pymalloc.orphan_blocks", i64::from(n) * 1000);
        builder.fact("census.pymalloc.orphan_bytes", i64::from(n) * 208_000);
        builder.fact("rss_bytes", 50_000_000 + i64::from(n) * 100_000);
    });
    assert_eq!(verdict.findings, []);
}

#[test]
fn fragmentation_that_slows_down_but_goes_on_is_found() {
    let build = |last: i64| {
        move |builder: &mut Builder, n: u32| {
            let waste = [0, 300_000_000, 300_000_000 + last][n as usize];
            builder.module("app");
            builder.fact("census.malloc.free_bytes", waste);
            builder.fact("rss_bytes", 50_000_000 + waste * 11 / 10);
        }
    };
    assert_eq!(first(&judge(&[0, 1, 2], build(20_000_000))).0, Kind::Fragmentation);
    let settled = judge(&[0, 1, 2], build(1_000_000));
    assert_eq!(settled.findings, []);
    assert!(settled.undecided);
}

#[test]
fn garbage_that_holds_code_waits_for_the_collector() {
    let verdict = judge(&[100, 200, 300], |builder, n| {
        builder.module("app");
        for _ in 0..n {
            let (a, b) = (builder.dict(), builder.object("function", TypeKind::Function));
            let (code, names) =
                (builder.object("code", TypeKind::Code), builder.object("tuple", TypeKind::Tuple));
            builder.flag(code, NodeFlags::UNTRAVERSED);
            builder.set_item(a, "run", b);
            builder.field(b, "__globals__", a);
            builder.field(b, "__code__", code);
            builder.field(code, "co_names", names);
        }
    });
    assert_eq!(verdict.findings, []);
}

/// A module variable that holds another list after each flush, with new rows.
fn flushed(builder: &mut Builder, flush: u32, n: u32) {
    builder.module("app");
    builder.gap(u64::from(flush) * 10_000);
    module_list(builder, n);
}

#[test]
fn buffer_replaced_at_flush_and_seen_rising_is_undecided() {
    let verdict = judge(&[0, 1, 2], |builder, k| flushed(builder, k, [10, 40, 90][k as usize]));
    assert_eq!(verdict.findings, []);
    assert!(verdict.undecided);
}

#[test]
fn flushes_in_step_with_snapshots_are_undecided() {
    let verdict = judge(&[0, 1, 2], |builder, k| {
        flushed(builder, k, [20, 50, 80][k as usize]);
        builder.fact("rss_bytes", 50_000_000);
    });
    assert_eq!(verdict.findings, []);
    assert!(verdict.undecided);
}

#[test]
fn flushed_buffer_that_fell_once_is_no_leak() {
    let verdict = judge(&[0, 1, 2, 3], |builder, k| flushed(builder, k, [10, 40, 90, 30][k as usize]));
    assert_eq!(verdict.findings, []);
    assert!(!verdict.undecided);
}

#[test]
fn batches_that_grow_from_flush_to_flush_are_named_after_five_snapshots() {
    let verdict = judge(&[0, 1, 2, 3, 4], |builder, k| flushed(builder, k, 100 + 50 * k));
    assert_eq!(first(&verdict), (Kind::Reference, "app.buffer"));
}

#[test]
fn drained_backlog_that_resident_memory_shows_is_named_after_three() {
    let verdict = judge(&[0, 1, 2], |builder, k| {
        flushed(builder, k, 100 + 50 * k);
        builder.fact("rss_bytes", 50_000_000 + i64::from(k) * 40_000);
    });
    assert_eq!(first(&verdict), (Kind::Reference, "app.buffer"));
}

/// `lines = lines + [line]`: the rows stay, the list is another one at an address of its own.
fn rebuilt(builder: &mut Builder, k: u32, n: u32) {
    builder.module("app");
    let rows: Vec<u32> = (0..n).map(|_| builder.instance("app.Row")).collect();
    builder.gap(10_000 + u64::from(k) * 1_000);
    let list = builder.list(&[]);
    for row in rows {
        builder.push(list, row);
    }
    builder.global("app", "buffer", list);
}

#[test]
fn list_rebuilt_by_concatenation_is_named() {
    for levels in [[100, 200, 300], [100, 180, 330]] {
        let verdict = judge(&[0, 1, 2], |builder, k| rebuilt(builder, k, levels[k as usize]));
        assert_eq!(first(&verdict), (Kind::Reference, "app.buffer"));
    }
}

#[test]
fn uneven_growth_of_a_list_that_loses_nothing_is_named() {
    assert_eq!(first(&judge(&[100, 150, 300], module_list)), (Kind::Reference, "app.buffer"));
}

#[test]
fn refill_in_the_same_memory_is_told_by_resident_memory() {
    let build = |builder: &mut Builder, n: u32| {
        module_list(builder, n);
        builder.fact("rss_bytes", 50_000_000);
    };
    let few = judge(&[1000, 2000, 3000], build);
    assert_eq!(few.findings, []);
    assert!(few.undecided);
    assert_eq!(first(&judge(&[1000, 2000, 3000, 4000, 5000], build)), (Kind::Reference, "app.buffer"));
}
