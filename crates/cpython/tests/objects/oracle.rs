//! What the interpreter says of its objects, and what our readers make of them.

use std::collections::{BTreeMap, HashMap, HashSet};

use heapray_cpython::{Label, Strength, object};
use heapray_testkit::{ProcMemory, Python, Target};

use crate::heap::{self, Heap};

/// What Python says of one object.
pub(crate) struct Said {
    id: u64,
    size: u64,
    referents: Vec<u64>,
}

pub(crate) struct Zoo {
    pub(crate) said: Vec<Said>,
    pub(crate) keep: u64,
    /// Holds the target still.
    _target: Target,
    pub(crate) mem: ProcMemory,
}

/// Runs `script` on `python` until it has said everything.
pub(crate) fn zoo(python: &Python, script: &str) -> Zoo {
    let mut target = Target::start(python, script);
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
pub(crate) struct Problems(BTreeMap<String, (u64, String)>);

impl Problems {
    fn add(&mut self, kind: String, example: String) {
        let entry = self.0.entry(kind).or_insert((0, example));
        entry.0 += 1;
    }

    /// Some objects die between being said and being read: a weak reference of a loop, a string that was printed.
    pub(crate) fn assert_at_most(&self, died: u64, what: &str) {
        let lines: Vec<String> =
            self.0.iter().map(|(kind, (n, example))| format!("{n:6} {kind}: {example}")).collect();
        let n: u64 = self.0.values().map(|(n, _)| n).sum();
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

/// Objects that something besides the dict of interned strings refers to. What only that dict knows (its references do
/// not count) the cache of type attributes holds, by chance of addresses.
fn held(zoo: &Zoo, interned: Option<u64>) -> HashSet<u64> {
    let others = zoo.said.iter().filter(|said| Some(said.id) != interned);
    others.flat_map(|said| &said.referents).copied().collect()
}

/// Every referent is among our edges, as often.
pub(crate) fn check_referents(python: &Python, zoo: &Zoo, problems: &mut Problems) {
    let mut heap = Heap::read(&zoo.mem);
    let (owners, held) = (dict_owners(&heap), held(zoo, heap.interned));
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
            if kind.ends_with(" str") && !held.contains(&said.id) {
                continue;
            }
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

/// Every size is `sys.getsizeof`'s.
pub(crate) fn check_sizes(python: &Python, zoo: &Zoo, problems: &mut Problems) {
    let mut heap = Heap::read(&zoo.mem);
    let rt = heap.rt.clone();
    for said in &zoo.said {
        let Some(info) = heap.type_of(said.id).cloned() else { continue };
        let size = object::shallow_size(&zoo.mem, &rt, &info, said.id);
        // Asking for its size made the buffer of one shared; ctypes classes add what their description takes.
        let inexact = ["_io.BytesIO", "StgDict", "numpy.void", "numpy.bytes_"].contains(&&*info.name);
        let inexact = inexact || info.name.starts_with("pandas."); // has a __sizeof__ in Python
        let ctypes = info.name.starts_with("_ctypes.") || info.name.starts_with("ctypes._endian");
        if size != said.size && !inexact && !ctypes {
            let example = format!("{:#x} {size} instead of {}", said.id, said.size);
            problems.add(format!("{} {}", python.version(), info.name), example);
        }
    }
}

/// Shares of reference counts that are explained.
pub(crate) struct Explained {
    pub(crate) all: f64,
    pub(crate) made: f64,
    /// Objects with more references than their count.
    pub(crate) over: usize,
    pub(crate) torn: usize,
}

/// The equation of references over all objects, and over those that the script made.
pub(crate) fn explained(zoo: &Zoo) -> Explained {
    let heap = Heap::read(&zoo.mem);
    let left = |object: &u64| heap.unexplained(*object);
    let all: Vec<i64> = heap.objects.keys().filter_map(left).collect();
    let made: Vec<i64> = heap.objects[&zoo.keep].edges.iter().filter_map(|edge| left(&edge.0)).collect();
    Explained {
        all: share(&all),
        made: share(&made),
        over: all.iter().filter(|left| **left < 0).count(),
        torn: heap.objects.values().filter(|seen| seen.torn).count(),
    }
}

/// The share of objects whose count is explained exactly.
fn share(left: &[i64]) -> f64 {
    left.iter().filter(|left| **left == 0).count() as f64 / left.len() as f64
}
