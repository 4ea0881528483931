//! A small walker: everything reachable from the collector's lists and the roots, with who refers to what.

use std::collections::{BTreeMap, HashMap};

use heapray_cpython::object::{self, Read};
use heapray_cpython::{
    Label, Memory, Runtime, Sink, Strength, TypeInfo, frames, gc, interp, refcount, threads,
};
use heapray_testkit::ProcMemory;

/// What one object reports.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) edges: Vec<(u64, Label, Strength)>,
    pub(crate) blocks: Vec<(u64, u64)>,
    pub(crate) torn: bool,
}

impl Sink for Seen {
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        self.edges.push((target, label, strength));
    }
    fn block(&mut self, addr: u64, bytes: u64) {
        self.blocks.push((addr, bytes));
    }
}

/// See the module.
pub(crate) struct Heap<'m> {
    pub(crate) mem: &'m ProcMemory,
    pub(crate) rt: Runtime,
    types: HashMap<u64, Option<TypeInfo>>,
    /// The dict whose references are not counted.
    pub(crate) interned: Option<u64>,
    pub(crate) objects: BTreeMap<u64, Seen>,
    /// Owned references to each address, with those of types, roots and frames.
    pub(crate) counted: HashMap<u64, u64>,
}

impl<'m> Heap<'m> {
    pub(crate) fn read(mem: &'m ProcMemory) -> Heap<'m> {
        let rt = Runtime::find(mem, &|name| mem.symbol(name)).unwrap_or_else(|error| panic!("{error}"));
        let mut heap = Heap {
            mem,
            rt,
            interned: None,
            types: HashMap::new(),
            objects: BTreeMap::new(),
            counted: HashMap::new(),
        };
        let mut queue = Vec::new();
        for interpreter in heap.rt.interpreters.clone() {
            let found = gc::tracked(mem, &heap.rt, interpreter, |object, _| queue.push(object));
            found.unwrap_or_else(|error| panic!("{error}"));
            heap.interned = heap.interned_dict(interpreter);
            heap.roots(interpreter, &mut queue);
        }
        while let Some(object) = queue.pop() {
            heap.visit(object, &mut queue);
        }
        heap
    }

    fn interned_dict(&self, interpreter: u64) -> Option<u64> {
        let at = self.rt.layout.runtime.interp_interned?;
        self.mem.u64(interpreter + u64::from(at))
    }

    fn roots(&mut self, interpreter: u64, queue: &mut Vec<u64>) {
        let mut seen = Seen::default();
        interp::roots(self.mem, &self.rt, interpreter, &mut seen);
        for thread in threads::threads(self.mem, &self.rt, interpreter) {
            threads::roots(self.mem, &self.rt, &thread, &mut seen);
            let (mem, rt) = (self.mem, &self.rt);
            frames::stack(mem, rt, &thread, |frame| {
                if frame.owner == frames::FrameOwner::Thread {
                    frames::references(mem, rt, frame.address, &mut seen);
                }
            });
        }
        self.count(&seen);
        queue.extend(seen.edges.iter().map(|(target, ..)| *target));
    }

    fn count(&mut self, seen: &Seen) {
        for (target, _, strength) in &seen.edges {
            if *strength == Strength::Owned {
                *self.counted.entry(*target).or_default() += 1;
            }
        }
    }

    /// The type of an object; `None` where the object has none.
    pub(crate) fn type_of(&mut self, object: u64) -> Option<&TypeInfo> {
        let address = self.mem.u64(object.checked_add(8)?)?;
        let (mem, rt) = (self.mem, &self.rt);
        self.types.entry(address).or_insert_with(|| TypeInfo::read(mem, rt, address)).as_ref()
    }

    fn visit(&mut self, object: u64, queue: &mut Vec<u64>) {
        if self.objects.contains_key(&object) {
            return;
        }
        let (mem, rt) = (self.mem, self.rt.clone());
        let Some(info) = self.type_of(object).cloned() else { return };
        if !object::is_object(mem, &rt, &info, object) {
            return;
        }
        let mut seen = Seen::default();
        seen.torn = object::references(mem, &rt, &info, object, &mut seen) == Read::Torn;
        // As the walker does: a guess holds where it hits an object; here only sane ones are kept.
        let guesses: Vec<_> = seen.edges.extract_if(.., |edge| edge.2 == Strength::Inferred).collect();
        for edge in guesses {
            let hit = self.type_of(edge.0).cloned();
            let stale = matches!(edge.1, Label::Stack(_));
            if !stale && hit.is_some_and(|hit| object::is_object(mem, &rt, &hit, edge.0)) {
                *self.counted.entry(edge.0).or_default() += 1;
                seen.edges.push(edge);
            }
        }
        if self.interned != Some(object) {
            self.count(&seen);
        }
        if info.heap_type {
            *self.counted.entry(info.address).or_default() += 1;
        }
        queue.push(info.address);
        queue.extend(seen.edges.iter().map(|(target, ..)| *target));
        self.objects.insert(object, seen);
    }

    /// Reference count less the references found; `None` for immortal objects.
    pub(crate) fn unexplained(&self, object: u64) -> Option<i64> {
        let count = refcount(self.mem, &self.rt, object).filter(|count| !count.immortal)?;
        Some(count.count as i64 - self.counted.get(&object).copied().unwrap_or(0) as i64)
    }
}
