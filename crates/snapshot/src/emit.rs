//! Turns every marked object, in address order, into a node with its edges, and counts what refers to what.
//!
//! A node's id is its rank in address order; synthetic nodes follow with the next ids. It decides nothing about
//! roots (see `equation` and `holders`).

use crate::census::Census;
use crate::discover::Discovery;
use crate::node::{NodeEdges, NodeSink};
use crate::shapes::{Naming, Shapes, Strings};
use heapray_cpython::object::{own_bytes, references, shallow_size};
use heapray_cpython::{Label, Memory, ObjectKind, Runtime, Strength, TypeInfo, object, refcount};
use heapray_wire::{Chunk, NO_NODE, NodeChunk, NodeFlags, NodeName, Tail, TypeKind, TypeRow};
use rustc_hash::FxHashSet;

/// Keys of larger dicts are data, not names.
const NAMED_KEYS_MAX: usize = 4096;
/// Longest string kept when values are asked for, in bytes.
const VALUE_MAX: usize = 80;
/// Every process has interned more strings than this.
const INTERNED_MIN: usize = 256;
/// A conservative scan of memory that belongs to one object looks at this many blocks and words at most.
const CLAIMED_BLOCKS_MAX: usize = 4096;
const CLAIMED_WORDS_MAX: u64 = 1 << 16;
/// Blocks of other objects that it looks into, and words of each.
const SHARED_BLOCKS_MAX: usize = 256;
const SHARED_WORDS_MAX: u64 = 512;

/// Pseudo types in the order of their numbers after the last real type.
pub(crate) const PSEUDO_TYPES: [(TypeKind, &str); 7] = [
    (TypeKind::Interpreter, "<interpreter>"),
    (TypeKind::Thread, "<thread>"),
    (TypeKind::StackFrame, "<frame>"),
    (TypeKind::NativeStatic, "<static memory>"),
    (TypeKind::NativeStack, "<C stack>"),
    (TypeKind::NativeBlock, "<native block>"),
    (TypeKind::Other, UNREADABLE),
];

/// Pseudo type of objects whose memory could not be read a second time.
const UNREADABLE: &str = "<unreadable>";

/// Where static memory of libraries lies: sorted, disjoint ranges.
pub(crate) type Ranges = Vec<(u64, u64)>;

/// Writes nodes as chunks.
pub(crate) struct Emitter<'a> {
    out: &'a mut dyn FnMut(Chunk),
    pub(crate) strings: Strings,
    shapes: Shapes,
    chunk: NodeChunk,
    n_nodes: u32,
    n_types: u32,
    /// Owned and inferred references to each real node.
    pub(crate) in_degree: Vec<u32>,
    /// Reference count of each real node; `IMMORTAL` where it means nothing.
    pub(crate) refcounts: Vec<u32>,
    pub(crate) names: Vec<NodeName>,
    /// One bit for each real node: a key of a small dict.
    named_keys: Vec<u64>,
    /// Keep strings that are no names too.
    values: bool,
    /// Instances of each type that own a reference to it.
    instances: Vec<u32>,
    edges: NodeEdges,
    pub(crate) torn: u64,
    pub(crate) n_edges: u64,
}

/// Marks an immortal object in [`Emitter::refcounts`].
pub(crate) const IMMORTAL: u32 = u32::MAX;

impl<'a> Emitter<'a> {
    /// Writes the type table; `found` is sealed.
    pub(crate) fn new(found: &Discovery, values: bool, out: &'a mut dyn FnMut(Chunk)) -> Self {
        let n_objects = found.objects.len() as usize;
        let mut emitter = Self {
            out,
            strings: Strings::default(),
            shapes: Shapes::default(),
            chunk: NodeChunk::default(),
            n_nodes: 0,
            n_types: found.types.len() as u32,
            in_degree: vec![0; n_objects],
            refcounts: Vec::with_capacity(n_objects),
            names: Vec::new(),
            named_keys: vec![if values { u64::MAX } else { 0 }; n_objects.div_ceil(64)],
            values,
            instances: vec![0; found.types.len()],
            edges: NodeEdges::default(),
            torn: 0,
            n_edges: 0,
        };
        emitter.write_types(found);
        emitter
    }

    fn write_types(&mut self, found: &Discovery) {
        let mut rows = Vec::with_capacity(found.types.len() + PSEUDO_TYPES.len());
        for i in 0..found.types.len() as u32 {
            let info = found.types.get(i);
            rows.push(TypeRow {
                name: self.strings.id(&info.name),
                address: info.address,
                node: found.objects.rank(info.address).unwrap_or(NO_NODE),
                kind: type_kind(info),
                counted: info.heap_type,
                basic_size: u32::try_from(info.basic_size).unwrap_or(u32::MAX),
                item_size: u32::try_from(info.item_size).unwrap_or(u32::MAX),
            });
        }
        for (kind, name) in PSEUDO_TYPES {
            let name = self.strings.id(name);
            rows.push(TypeRow {
                name,
                address: 0,
                node: NO_NODE,
                kind,
                counted: false,
                basic_size: 0,
                item_size: 0,
            });
        }
        let strings = self.strings.take_new();
        (self.out)(Chunk::Strings(strings));
        (self.out)(Chunk::Types(rows));
    }

    /// Writes all real nodes.
    pub(crate) fn objects<M: Memory>(&mut self, place: &mut Place<'_, M>) {
        let mut members = Vec::new();
        for leaf in 0..place.found.objects.n_leaves() {
            members.clear();
            place.found.objects.leaf_members(leaf, &mut members);
            for &address in &members {
                self.object(place, address);
            }
            place.memory.trim();
        }
        for i in 0..place.found.types.len() as u32 {
            if let Some(node) = place.found.objects.rank(place.found.types.get(i).address) {
                let degree = &mut self.in_degree[node as usize];
                *degree = degree.saturating_add(self.instances[i as usize]);
            }
        }
        self.name_keys(place);
    }

    fn object<M: Memory>(&mut self, place: &mut Place<'_, M>, address: u64) {
        let memory = &*place.memory;
        let Some(type_idx) = place.found.types.known(memory, address) else {
            return self.unreadable(place, address);
        };
        let info = place.found.types.get(type_idx);
        let mut edges = std::mem::take(&mut self.edges);
        edges.clear();
        let mut sink = NodeSink { objects: &place.found.objects, node: &mut edges };
        let read = references(memory, place.rt, info, address, &mut sink);
        match info.kind {
            ObjectKind::Tuple => name_cells(place, address, &mut edges),
            ObjectKind::Dict if place.is_interned(address, &edges) => edges.clear(),
            _ => {}
        }
        let is_static = place.is_static(address);
        let mut block_bytes = 0;
        if !is_static {
            let own = own_bytes(memory, place.rt, info, address) + info.presize;
            block_bytes = place.census.block_bytes(memory, address - info.presize, own);
        }
        for &(at, bytes) in &edges.blocks {
            block_bytes += place.census.block_bytes(memory, at, bytes);
        }
        if !edges.loose.is_empty() {
            block_bytes += claim_blocks(memory, place.census, &place.found.objects, &mut edges);
        }
        let count = refcount(memory, place.rt, address);
        let immortal = count.is_some_and(|count| count.immortal);
        let count =
            count.map_or(0, |count| u32::try_from(count.count).unwrap_or(IMMORTAL - 1).min(IMMORTAL - 1));
        self.refcounts.push(if immortal { IMMORTAL } else { count });
        let mut flags =
            place.flags(address, info, is_static) | if immortal { NodeFlags::IMMORTAL } else { 0 };
        if read == object::Read::Torn {
            flags |= NodeFlags::TORN;
            self.torn += 1;
        }
        if !info.has_gc && !edges.targets.is_empty() {
            flags |= NodeFlags::UNTRAVERSED;
        }
        if info.heap_type {
            self.instances[type_idx as usize] += 1;
        }
        self.mark_keys(&edges);
        self.name(memory, place.rt, info, address);
        let shallow = shallow_size(memory, place.rt, info, address);
        let sizes = (shallow, block_bytes);
        self.push(place, Row { address, type_idx, refcount: count, sizes, flags }, &edges);
        self.edges = edges;
    }

    fn unreadable<M: Memory>(&mut self, place: &mut Place<'_, M>, address: u64) {
        self.torn += 1;
        self.refcounts.push(IMMORTAL);
        let type_idx = self.n_types + PSEUDO_TYPES.len() as u32 - 1;
        let flags = NodeFlags::TORN | NodeFlags::IMMORTAL;
        self.push(place, Row { address, type_idx, refcount: 0, sizes: (0, 0), flags }, &NodeEdges::default());
    }

    /// Writes a synthetic node and answers its id.
    pub(crate) fn synthetic<M: Memory>(
        &mut self,
        place: &mut Place<'_, M>,
        kind: TypeKind,
        name: &str,
        edges: &NodeEdges,
    ) -> u32 {
        let pseudo = PSEUDO_TYPES.iter().position(|(known, _)| *known == kind).expect("a pseudo type");
        let name = self.strings.id(name);
        let id = self.n_nodes;
        self.names.push(NodeName { node: id, name });
        let type_idx = self.n_types + pseudo as u32;
        let flags = NodeFlags::SYNTHETIC | NodeFlags::ROOT;
        self.push(place, Row { address: 0, type_idx, refcount: 0, sizes: (0, 0), flags }, edges);
        id
    }

    /// The id that the next node gets.
    pub(crate) fn next_id(&self) -> u32 {
        self.n_nodes
    }

    fn push<M: Memory>(&mut self, place: &mut Place<'_, M>, row: Row, edges: &NodeEdges) {
        let tail = edges.tail();
        let shape = self.shapes.last(row.type_idx, &edges.labels, tail).unwrap_or_else(|| {
            let mut naming = Naming { memory: &*place.memory, rt: place.rt, strings: &mut self.strings };
            self.shapes.id(&mut naming, row.type_idx, &edges.labels, tail)
        });
        for (&target, (_, strength)) in edges.targets.iter().zip(&edges.labels) {
            if matches!(strength, Strength::Owned | Strength::Inferred) {
                self.count(target);
            }
        }
        for &target in &edges.tail_targets {
            self.count(target);
        }
        let chunk = &mut self.chunk;
        chunk.address.push(row.address);
        chunk.shape.push(shape);
        chunk.refcount.push(row.refcount);
        chunk.shallow_bytes.push(row.sizes.0);
        chunk.block_bytes.push(row.sizes.1);
        chunk.flags.push(NodeFlags(row.flags));
        chunk.n_edges.push((edges.targets.len() + edges.tail_targets.len()) as u32);
        chunk.edges.extend_from_slice(&edges.targets);
        chunk.edges.extend_from_slice(&edges.tail_targets);
        self.n_edges += (edges.targets.len() + edges.tail_targets.len()) as u64;
        self.n_nodes += 1;
        if chunk.address.len() == NodeChunk::CAPACITY {
            self.flush();
        }
    }

    #[inline]
    fn count(&mut self, target: u32) {
        if let Some(degree) = self.in_degree.get_mut(target as usize) {
            *degree = degree.saturating_add(1);
        }
    }

    /// Writes what is buffered.
    pub(crate) fn flush(&mut self) {
        let strings = self.strings.take_new();
        if !strings.is_empty() {
            (self.out)(Chunk::Strings(strings));
        }
        let shapes = self.shapes.take_new();
        if !shapes.is_empty() {
            (self.out)(Chunk::Shapes(shapes));
        }
        if !self.chunk.address.is_empty() {
            let next = NodeChunk { first: self.n_nodes, ..NodeChunk::default() };
            (self.out)(Chunk::Nodes(std::mem::replace(&mut self.chunk, next)));
        }
    }

    /// Writes names and late flags, and whatever else is left.
    pub(crate) fn finish(mut self, flags: Vec<(u32, NodeFlags)>, last: impl IntoIterator<Item = Chunk>) {
        self.flush();
        let mut names = std::mem::take(&mut self.names);
        names.sort_unstable_by_key(|name| name.node);
        names.dedup_by_key(|name| name.node);
        (self.out)(Chunk::Names(names));
        (self.out)(Chunk::Flags(flags));
        last.into_iter().for_each(&mut *self.out);
        (self.out)(Chunk::End);
    }

    fn mark_keys(&mut self, edges: &NodeEdges) {
        if edges.tail() == Tail::Pairs && edges.tail_targets.len() <= 2 * NAMED_KEYS_MAX {
            for &key in edges.tail_targets.iter().step_by(2) {
                self.named_keys[key as usize / 64] |= 1 << (key % 64);
            }
        }
    }

    fn name<M: Memory>(&mut self, memory: &M, rt: &Runtime, info: &TypeInfo, address: u64) {
        let name = match info.kind {
            ObjectKind::Module => object::module_name(memory, rt, address),
            ObjectKind::Type => TypeInfo::read(memory, rt, address).map(|info| info.name),
            ObjectKind::Function
            | ObjectKind::Code
            | ObjectKind::BuiltinFunction
            | ObjectKind::Generator
            | ObjectKind::Coroutine
            | ObjectKind::AsyncGenerator => object::function_name(memory, rt, info, address),
            _ => return,
        };
        if let Some(name) = name {
            let name = self.strings.id(&name);
            self.names.push(NodeName { node: self.n_nodes, name });
        }
    }

    /// Names a node that other nodes' readers know better: a frame object that runs.
    pub(crate) fn name_node(&mut self, node: u32, name: &str) {
        let name = self.strings.id(name);
        self.names.push(NodeName { node, name });
    }

    /// Keeps the text of keys that are short identifiers.
    fn name_keys<M: Memory>(&mut self, place: &mut Place<'_, M>) {
        let mut members = Vec::new();
        let mut node = 0;
        for leaf in 0..place.found.objects.n_leaves() {
            members.clear();
            place.found.objects.leaf_members(leaf, &mut members);
            for &address in &members {
                if self.named_keys[node / 64] >> (node % 64) & 1 == 1 {
                    self.name_key(place, node as u32, address);
                }
                node += 1;
            }
            place.memory.trim();
        }
    }

    fn name_key<M: Memory>(&mut self, place: &Place<'_, M>, node: u32, address: u64) {
        let type_idx = place.found.types.known(&*place.memory, address);
        if type_idx.is_none_or(|type_idx| place.found.types.get(type_idx).kind != ObjectKind::Str) {
            return;
        }
        let text = heapray_cpython::strings::read(&*place.memory, place.rt, address, VALUE_MAX);
        if let Some(text) = text.filter(|text| self.values || is_short_identifier(text)) {
            let name = self.strings.id(&text);
            self.names.push(NodeName { node, name });
        }
    }
}

/// Whether a dict key is a name rather than data.
fn is_short_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    text.len() <= 40
        && chars.next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && chars.all(|c| c.is_alphanumeric() || c == '_')
}

struct Row {
    address: u64,
    type_idx: u32,
    refcount: u32,
    sizes: (u64, u64),
    flags: u16,
}

/// What the emitter looks up.
pub(crate) struct Place<'a, M> {
    pub(crate) memory: &'a mut M,
    pub(crate) rt: &'a Runtime,
    pub(crate) found: &'a Discovery,
    pub(crate) census: &'a mut Census,
    pub(crate) statics: &'a Ranges,
    /// Dicts of interned strings.
    pub(crate) interned: &'a [u64],
}

impl<M: Memory> Place<'_, M> {
    fn is_static(&self, address: u64) -> bool {
        let at = self.statics.partition_point(|(start, _)| *start <= address);
        // The kernel joins an arena to the `.bss` before it when they touch.
        at > 0 && address < self.statics[at - 1].1 && !self.census.is_in_pool(address)
    }

    /// Whether the dict is one of interned strings, whose references are not counted: known by its address, or
    /// (where a C static holds it) found by the census only, with every key its own value.
    fn is_interned(&self, address: u64, edges: &NodeEdges) -> bool {
        let pairs = &edges.tail_targets;
        self.interned.contains(&address)
            || (edges.tail() == Tail::Pairs
                && pairs.len() >= 2 * INTERNED_MIN
                && pairs.chunks_exact(2).all(|pair| pair[0] == pair[1])
                && self.found.from_census.contains(address))
    }

    fn flags(&self, address: u64, info: &TypeInfo, is_static: bool) -> u16 {
        let found = self.found;
        let mut flags = if is_static { NodeFlags::STATIC } else { 0 };
        if info.has_gc && found.tracked.contains(address) {
            flags |= NodeFlags::TRACKED;
            let generation = if found.young.contains(address) {
                0
            } else if found.middle.contains(address) {
                1
            } else {
                2
            };
            flags |= generation << NodeFlags::GENERATION_SHIFT;
            if found.permanent.contains(address) {
                flags |= NodeFlags::FROZEN;
            }
        }
        if found.from_census.contains(address) {
            flags |= NodeFlags::FROM_CENSUS;
        }
        if info.finalizer { flags | NodeFlags::FINALIZER } else { flags }
    }
}

/// Gives an object the unowned blocks that its words point at, and theirs; adds the objects found in them as
/// inferred edges; answers the bytes of the blocks. Blocks that another object has been given already are looked
/// into as well, a few: who came first has the bytes, but both may hold what lies there.
fn claim_blocks<M: Memory>(
    memory: &M,
    census: &mut Census,
    objects: &crate::bitmap::Bitmap,
    edges: &mut NodeEdges,
) -> u64 {
    let mut total = 0;
    let mut open = std::mem::take(&mut edges.loose);
    let mut own = FxHashSet::default();
    let mut shared = Vec::new();
    let mut n_claimed = 0;
    while let Some((offset, at)) = open.pop() {
        if n_claimed == CLAIMED_BLOCKS_MAX {
            break;
        }
        let Some(start) = census.block_at(memory, at) else { continue };
        let Some(bytes) = census.claim(memory, start) else {
            if shared.len() < SHARED_BLOCKS_MAX && census.is_claimed(start) && own.insert(start) {
                shared.push((offset, start));
            }
            continue;
        };
        own.insert(start);
        n_claimed += 1;
        total += bytes;
        memory.words(start, (bytes / 8).min(CLAIMED_WORDS_MAX), |word| {
            if let Some(target) = objects.rank(word) {
                edges.push(target, Label::Offset(offset), Strength::Inferred);
            } else if census.block_at(memory, word).is_some_and(|block| !own.contains(&block)) {
                open.push((offset, word));
            }
        });
    }
    let mut next = 0;
    while let Some(&(offset, start)) = shared.get(next) {
        next += 1;
        let n_words = (census.block_bytes(memory, start, 0) / 8).min(SHARED_WORDS_MAX);
        memory.words(start, n_words, |word| {
            if let Some(target) = objects.rank(word) {
                edges.push(target, Label::Offset(offset), Strength::Inferred);
            } else if shared.len() < SHARED_BLOCKS_MAX
                && let Some(block) = census.block_at(memory, word)
                && own.insert(block)
            {
                shared.push((offset, block));
            }
        });
    }
    open.clear();
    edges.loose = open;
    total
}

/// What the instances of a type are to readers of trails.
fn type_kind(info: &TypeInfo) -> TypeKind {
    match info.kind {
        ObjectKind::Instance => TypeKind::Instance,
        ObjectKind::Module => TypeKind::Module,
        ObjectKind::Type => TypeKind::Type,
        ObjectKind::Dict | ObjectKind::OrderedDict => TypeKind::Dict,
        ObjectKind::List => TypeKind::List,
        ObjectKind::Tuple => TypeKind::Tuple,
        ObjectKind::Set => TypeKind::Set,
        ObjectKind::Str => TypeKind::Str,
        ObjectKind::Bytes | ObjectKind::ByteArray => TypeKind::Bytes,
        ObjectKind::Int => TypeKind::Int,
        ObjectKind::Float => TypeKind::Float,
        ObjectKind::Function | ObjectKind::BuiltinFunction => TypeKind::Function,
        ObjectKind::Method => TypeKind::Method,
        ObjectKind::Cell => TypeKind::Cell,
        ObjectKind::Code => TypeKind::Code,
        ObjectKind::Frame => TypeKind::Frame,
        ObjectKind::Generator => TypeKind::Generator,
        ObjectKind::Coroutine => TypeKind::Coroutine,
        ObjectKind::AsyncGenerator => TypeKind::AsyncGenerator,
        ObjectKind::Traceback => TypeKind::Traceback,
        ObjectKind::Exception => TypeKind::Exception,
        ObjectKind::WeakReference => TypeKind::WeakReference,
        ObjectKind::Deque => TypeKind::Deque,
        ObjectKind::Array | ObjectKind::NumpyArray => TypeKind::Array,
        ObjectKind::LruCache => TypeKind::LruCache,
        ObjectKind::ThreadLocal => TypeKind::ThreadLocal,
        ObjectKind::Task => TypeKind::Task,
        ObjectKind::Capsule => TypeKind::Capsule,
        _ => TypeKind::Other,
    }
}

/// Gives the cells of a function's closure the names of its free variables.
fn name_cells<M: Memory>(place: &Place<'_, M>, tuple: u64, edges: &mut NodeEdges) {
    let Some(code) = place.found.closures.get(&tuple) else { return };
    let n = edges.tail_targets.len() as u64;
    let mut names = Vec::new();
    heapray_cpython::frames::free_variables(&*place.memory, place.rt, *code, n, |name| names.push(name));
    if names.len() == edges.tail_targets.len() {
        for (target, name) in std::mem::take(&mut edges.tail_targets).into_iter().zip(names) {
            edges.push(target, Label::Closure(name), Strength::Owned);
        }
        edges.tail = None;
    }
}
