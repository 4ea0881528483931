//! Readers of objects against the interpreter itself: `gc.get_referents`, `sys.getsizeof`, reference counts.

#[path = "objects/heap.rs"]
mod heap;

use std::collections::{BTreeMap, HashMap};

use heap::Heap;
use heapray_cpython::{Label, Strength, object};
use heapray_testkit::{ProcMemory, Target, find_pythons};

/// Over all interpreters.
const DIED_MAX: u64 = 8;
const ZOO: &str = include_str!("objects/zoo.py");

/// What Python says of one object.
struct Said {
    id: u64,
    size: u64,
    referents: Vec<u64>,
}

struct Zoo {
    said: Vec<Said>,
    keep: u64,
    /// Holds the target still.
    _target: Target,
    mem: ProcMemory,
}

fn zoo(python: &heapray_testkit::Python) -> Zoo {
    let mut target = Target::start(python, ZOO);
    let (mut said, mut keep) = (Vec::new(), 0);
    loop {
        let line = target.line();
        let mut words = line.split(' ').filter(|word| !word.is_empty());
        match words.next() {
            Some("end") => break,
            Some("keep") => keep = words.next().and_then(|id| id.parse().ok()).expect("an id"),
            Some(id) => {
                let mut numbers = words.map(|word| word.parse().expect("a number"));
                let size = numbers.next().expect("a size");
                said.push(Said { id: id.parse().expect("an id"), size, referents: numbers.collect() });
            }
            None => {}
        }
    }
    let mem = target.memory();
    Zoo { said, keep, _target: target, mem }
}

/// Prints at most a few of many problems of one kind.
#[derive(Default)]
struct Problems(BTreeMap<String, (u64, String)>);

impl Problems {
    fn add(&mut self, kind: String, example: String) {
        let entry = self.0.entry(kind).or_insert((0, example));
        entry.0 += 1;
    }

    /// Some objects die between being said and being read: a weak reference of a loop, a string that was printed.
    fn assert_at_most(&self, died: u64, what: &str) {
        let lines: Vec<String> =
            self.0.iter().map(|(kind, (n, example))| format!("{n:6} {kind}: {example}")).collect();
        let n: u64 = self.0.values().map(|(n, _)| n).sum();
        println!("{what}:\n{}", lines.join("\n"));
        assert!(n <= died, "{what}:\n{}", lines.join("\n"));
    }
}

fn name(heap: &mut Heap, object: u64) -> String {
    heap.type_of(object).map_or("?".into(), |info| info.name.clone())
}

/// The instance that each `__dict__` belongs to.
fn dict_owners(heap: &Heap) -> HashMap<u64, u64> {
    let own_dict = |edge: &&(u64, Label, Strength)| edge.1 == Label::Field("__dict__");
    let owner =
        |(owner, seen): (&u64, &heap::Seen)| seen.edges.iter().find(own_dict).map(|edge| (edge.0, *owner));
    heap.objects.iter().filter_map(owner).collect()
}

#[test]
fn edges_contain_all_referents() {
    let mut problems = Problems::default();
    for python in find_pythons() {
        let zoo = zoo(python);
        let mut heap = Heap::read(&zoo.mem);
        let owners = dict_owners(&heap);
        for said in &zoo.said {
            let kind = format!("{} {}", python.version(), name(&mut heap, said.id));
            if heap.interned == Some(said.id) {
                continue;
            }
            // C memory that only the module or the capsule knows: the walker finds those by blocks.
            let hidden = kind.ends_with(" PyCapsule")
                || object::module_name(&zoo.mem, &heap.rt, said.id).as_deref() == Some("_decimal");
            if hidden {
                continue;
            }
            let Some(seen) = heap.objects.get(&said.id) else {
                problems.add(kind + " not reached", format!("{:#x}", said.id));
                continue;
            };
            let mut edges: HashMap<u64, i64> = HashMap::new();
            for (target, ..) in &seen.edges {
                *edges.entry(*target).or_default() += 1;
            }
            // Some traverse functions reach through an object that only they know: the links of a cache, a ctypes
            // class's description (until 3.12), the instance whose values a dict shows (3.13).
            let through: Vec<u64> = match () {
                () if kind.ends_with("functools._lru_cache_wrapper") || kind.contains("_ctypes.PyC") => {
                    seen.edges.iter().map(|edge| edge.0).collect()
                }
                () if kind.ends_with(" dict") => owners.get(&said.id).copied().into_iter().collect(),
                () => Vec::new(),
            };
            for other in through {
                heap.type_of(other).into_iter().for_each(|info| *edges.entry(info.address).or_default() += 1);
                let seen = heap.objects.get(&other).into_iter();
                seen.flat_map(|seen| &seen.edges).for_each(|edge| *edges.entry(edge.0).or_default() += 1);
            }
            let info = heap.type_of(said.id).cloned().expect("it was read");
            *edges.entry(info.address).or_default() += 1;
            for referent in &said.referents {
                let left = edges.entry(*referent).or_default();
                *left -= 1;
                if *left < 0 {
                    let what = name(&mut heap, *referent);
                    problems.add(format!("{kind} lacks a {what}"), format!("{:#x} {referent:#x}", said.id));
                }
            }
        }
    }
    problems.assert_at_most(DIED_MAX, "referents that were not reported");
}

#[test]
fn sizes_equal_getsizeof() {
    let mut problems = Problems::default();
    for python in find_pythons() {
        let zoo = zoo(python);
        let mut heap = Heap::read(&zoo.mem);
        let rt = heap.rt.clone();
        for said in &zoo.said {
            let Some(info) = heap.type_of(said.id).cloned() else { continue };
            let size = object::shallow_size(&zoo.mem, &rt, &info, said.id);
            // Asking for its size made the buffer of one shared; ctypes classes add what their description takes.
            let inexact = ["_io.BytesIO", "StgDict"].contains(&&*info.name);
            let ctypes = info.name.starts_with("_ctypes.") || info.name.starts_with("ctypes._endian");
            if size != said.size && !inexact && !ctypes {
                let example = format!("{:#x} {size} instead of {}", said.id, said.size);
                problems.add(format!("{} {}", python.version(), info.name), example);
            }
        }
    }
    problems.assert_at_most(DIED_MAX, "sizes that differ");
}

#[test]
fn references_explain_reference_counts() {
    for python in find_pythons() {
        let zoo = zoo(python);
        let heap = Heap::read(&zoo.mem);
        let left = |object: &u64| heap.unexplained(*object);
        let all: Vec<i64> = heap.objects.keys().filter_map(left).collect();
        let kept: Vec<i64> = heap.objects[&zoo.keep].edges.iter().filter_map(|edge| left(&edge.0)).collect();
        let torn = heap.objects.values().filter(|seen| seen.torn).count();
        let version = python.version();
        // Before 3.12, static types and objects that only C refers to count once more, and None is used without a count.
        assert!(share(&all) > 0.995, "{version}: {} of {} objects explained", share(&all), all.len());
        assert!(share(&kept) > 0.97, "{version}: {} of {} made objects explained", share(&kept), kept.len());
        assert!(torn <= 10, "{version}: {torn} objects are torn");
        let over = all.iter().filter(|left| **left < 0).count();
        assert!(over <= 30, "{version}: {over} objects with more references than their count");
        println!("{version}: {} explained, of those made here {}, {over} over", share(&all), share(&kept));
    }
}

/// The share of objects whose count is explained exactly.
fn share(left: &[i64]) -> f64 {
    left.iter().filter(|left| **left == 0).count() as f64 / left.len() as f64
}
