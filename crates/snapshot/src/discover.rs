//! Finds every object: the collector's lists, roots, and whatever those refer to.
//!
//! Objects are marked in a bitmap; references are followed at once, so the stack of open objects stays short.
//! Inferred references are not followed here: they are decided when every object is known.

use crate::bitmap::Bitmap;
use crate::types::Types;
use heapray_cpython::gc::{self, Generation};
use heapray_cpython::object::references;
use heapray_cpython::{Label, Memory, ObjectKind, Runtime, Sink, Strength, frames, interp, threads};
use rustc_hash::FxHashMap;

/// What is known of a target's objects while they are being found.
#[derive(Debug)]
pub(crate) struct Discovery {
    /// Starts of all objects.
    pub(crate) objects: Bitmap,
    /// Starts of out-of-line blocks that belong to an object.
    pub(crate) blocks: Bitmap,
    /// On a list of the collector.
    pub(crate) tracked: Bitmap,
    /// By generation, where not the oldest.
    pub(crate) young: Bitmap,
    pub(crate) middle: Bitmap,
    pub(crate) permanent: Bitmap,
    /// Found by the census of blocks.
    pub(crate) from_census: Bitmap,
    /// Tuples of closure cells, and the code object that names them.
    pub(crate) closures: FxHashMap<u64, u64>,
    pub(crate) types: Types,
    /// References to something that is no object.
    pub(crate) bad_targets: u64,
    /// Objects in the permanent generation.
    pub(crate) n_permanent: u64,
    stack: Vec<u64>,
}

impl Discovery {
    pub(crate) fn new() -> Self {
        Self {
            objects: Bitmap::new(),
            blocks: Bitmap::new(),
            tracked: Bitmap::new(),
            young: Bitmap::new(),
            middle: Bitmap::new(),
            permanent: Bitmap::new(),
            from_census: Bitmap::new(),
            closures: FxHashMap::default(),
            types: Types::new(),
            bad_targets: 0,
            n_permanent: 0,
            stack: Vec::new(),
        }
    }

    /// Takes in the collector's lists of one interpreter; `Err` where they are torn (what was listed stays).
    pub(crate) fn collector<M: Memory>(
        &mut self,
        memory: &mut M,
        rt: &Runtime,
        interp: u64,
    ) -> Result<u64, gc::Torn> {
        gc::tracked_in_steps(memory, rt, interp, |object, generation| {
            self.tracked.insert(object);
            self.objects.insert(object);
            match generation {
                Generation::Young => self.young.insert(object),
                Generation::Middle => self.middle.insert(object),
                Generation::Permanent => {
                    self.n_permanent += 1;
                    self.permanent.insert(object)
                }
                Generation::Old => false,
            };
        })
    }

    /// Follows the references of all tracked objects, in address order.
    pub(crate) fn follow_tracked<M: Memory>(&mut self, memory: &mut M, rt: &Runtime) {
        self.tracked.seal();
        let mut members = Vec::new();
        for leaf in 0..self.tracked.n_leaves() {
            members.clear();
            self.tracked.leaf_members(leaf, &mut members);
            for &object in &members {
                self.read(memory, rt, object);
                self.drain(memory, rt);
            }
            memory.trim();
        }
    }

    /// Follows what interpreters, threads and running frames hold.
    pub(crate) fn follow_roots<M: Memory>(&mut self, memory: &mut M, rt: &Runtime) {
        for &interpreter in &rt.interpreters {
            interp::roots(memory, rt, interpreter, &mut self.sink());
            for thread in threads::threads(memory, rt, interpreter) {
                threads::roots(memory, rt, &thread, &mut self.sink());
                frames::stack(memory, rt, &thread, |frame| {
                    if let Some(object) = frame.object {
                        self.sink().edge(object, Label::Field("frame"), Strength::Borrowed);
                    }
                    frames::references(memory, rt, frame.address, &mut self.sink());
                });
            }
            self.drain(memory, rt);
            memory.trim();
        }
    }

    /// Adds an object that the census found, and what it refers to.
    pub(crate) fn add_from_census<M: Memory>(&mut self, memory: &M, rt: &Runtime, object: u64) {
        if self.objects.insert(object) {
            self.from_census.insert(object);
            self.stack.push(object);
            self.drain(memory, rt);
        }
    }

    fn sink(&mut self) -> MarkSink<'_> {
        MarkSink { objects: &mut self.objects, blocks: &mut self.blocks, stack: &mut self.stack }
    }

    fn drain<M: Memory>(&mut self, memory: &M, rt: &Runtime) {
        while let Some(object) = self.stack.pop() {
            self.read(memory, rt, object);
        }
    }

    /// Reads one marked object; takes the mark back where there is none.
    fn read<M: Memory>(&mut self, memory: &M, rt: &Runtime, object: u64) {
        let n_types = self.types.len();
        let Some(type_idx) = self.types.of_object(memory, rt, object) else {
            self.bad_targets += 1;
            self.objects.remove(object);
            return;
        };
        let Self { objects, blocks, stack, types, closures, .. } = self;
        let info = types.get(type_idx);
        if types.len() > n_types && objects.insert(info.address) {
            stack.push(info.address);
        }
        let sink = MarkSink { objects, blocks, stack };
        if info.kind == ObjectKind::Function {
            let mut sink = FunctionSink { sink, code: 0, closure: 0 };
            references(memory, rt, info, object, &mut sink);
            if sink.closure != 0 {
                closures.insert(sink.closure, sink.code);
            }
        } else {
            let mut sink = sink;
            references(memory, rt, info, object, &mut sink);
        }
    }
}

struct MarkSink<'a> {
    objects: &'a mut Bitmap,
    blocks: &'a mut Bitmap,
    stack: &'a mut Vec<u64>,
}

impl Sink for MarkSink<'_> {
    #[inline]
    fn edge(&mut self, target: u64, _label: Label, strength: Strength) {
        if strength != Strength::Inferred && self.objects.insert(target) {
            self.stack.push(target);
        }
    }

    #[inline]
    fn block(&mut self, addr: u64, _bytes: u64) {
        self.blocks.insert(addr);
    }
}

/// Marks, and keeps where a function's code and closure are.
struct FunctionSink<'a> {
    sink: MarkSink<'a>,
    code: u64,
    closure: u64,
}

impl Sink for FunctionSink<'_> {
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        match label {
            Label::Field("__code__") => self.code = target,
            Label::Field("__closure__") => self.closure = target,
            _ => {}
        }
        self.sink.edge(target, label, strength);
    }

    fn block(&mut self, addr: u64, bytes: u64) {
        self.sink.block(addr, bytes);
    }
}
