//! A small builder of snapshots for tests and benches: objects, containers, modules, frames, C holders.
//!
//! Real nodes get rising addresses 0x1000, 0x1040, …, so node ids are in order of creation; synthetic nodes come
//! after them in [`Builder::build`]. Reference counts are what the edges say unless [`Builder::refcount`] says otherwise.

use std::collections::HashMap;

use heapray_capture::HeapTables;
use heapray_wire::{
    EdgeStrength, Fact, FactValue, Label, LabelKind, NO_NODE, NO_STRING, NodeFlags, NodeName, ShapeRow, Tail,
    TypeKind, TypeRow,
};

/// Marks handles of synthetic nodes until their ids are known.
const SYNTHETIC: u32 = 1 << 31;
/// Bytes between two addresses.
const STRIDE: u64 = 64;

#[derive(Default)]
struct Draft {
    type_idx: u32,
    fixed: Vec<(Label, u32)>,
    tail: Vec<u32>,
    tail_kind: Option<Tail>,
    bytes: u64,
    flags: u16,
    name: Option<u32>,
    refcount: Option<u32>,
    address: u64,
}

/// Builds one snapshot. Handles are `u32`s; those of real objects are their node ids.
#[derive(Default)]
pub struct Builder {
    strings: Vec<Box<str>>,
    string_ids: HashMap<String, u32>,
    types: Vec<TypeRow>,
    real: Vec<Draft>,
    synthetic: Vec<Draft>,
    modules: HashMap<String, (u32, u32)>,
    sys_modules: Option<u32>,
    facts: Vec<Fact>,
    next_address: u64,
}

impl Builder {
    /// An empty process.
    pub fn new() -> Builder {
        Builder { next_address: 0x1000, ..Builder::default() }
    }

    /// Id of a string.
    pub fn string(&mut self, text: &str) -> u32 {
        if let Some(&id) = self.string_ids.get(text) {
            return id;
        }
        let id = self.strings.len() as u32;
        self.strings.push(text.into());
        self.string_ids.insert(text.to_owned(), id);
        id
    }

    fn type_idx(&mut self, name: &str, kind: TypeKind) -> u32 {
        let id = self.string(name);
        if let Some(at) = self.types.iter().position(|row| row.name == id && row.kind == kind) {
            return at as u32;
        }
        self.types.push(TypeRow {
            name: id,
            address: 0x10_0000 + self.types.len() as u64 * 0x200,
            node: NO_NODE,
            kind,
            counted: false,
            basic_size: 16,
            item_size: 0,
        });
        self.types.len() as u32 - 1
    }

    /// An object of a type with this name and kind; 64 bytes, tracked.
    pub fn object(&mut self, type_name: &str, kind: TypeKind) -> u32 {
        let type_idx = self.type_idx(type_name, kind);
        let tail_kind = match kind {
            TypeKind::List | TypeKind::Tuple | TypeKind::Deque | TypeKind::Array => Some(Tail::Index),
            TypeKind::Dict => Some(Tail::Pairs),
            TypeKind::Set => Some(Tail::Items),
            _ => None,
        };
        let flags = NodeFlags::TRACKED;
        let address = self.next_address;
        self.next_address += STRIDE;
        self.real.push(Draft { type_idx, tail_kind, bytes: 64, flags, address, ..Draft::default() });
        self.real.len() as u32 - 1
    }

    /// Leaves room for `n` objects before the next address.
    pub fn gap(&mut self, n: u64) {
        self.next_address += n * STRIDE;
    }

    /// A synthetic root of this kind with a name.
    pub fn synthetic(&mut self, kind: TypeKind, name: &str) -> u32 {
        let type_idx = self.type_idx(&format!("<{kind:?}>"), kind);
        let name = Some(self.string(name));
        let flags = NodeFlags::SYNTHETIC | NodeFlags::ROOT;
        let tail_kind = matches!(
            kind,
            TypeKind::NativeStatic | TypeKind::NativeStack | TypeKind::NativeBlock | TypeKind::UnknownHolder
        )
        .then_some(Tail::Items);
        self.synthetic.push(Draft { type_idx, flags, name, tail_kind, ..Draft::default() });
        SYNTHETIC | (self.synthetic.len() as u32 - 1)
    }

    fn draft(&mut self, node: u32) -> &mut Draft {
        match node & SYNTHETIC {
            0 => &mut self.real[node as usize],
            _ => &mut self.synthetic[(node & !SYNTHETIC) as usize],
        }
    }

    /// An instance of a class.
    pub fn instance(&mut self, type_name: &str) -> u32 {
        self.object(type_name, TypeKind::Instance)
    }

    /// A list of these.
    pub fn list(&mut self, items: &[u32]) -> u32 {
        let node = self.object("list", TypeKind::List);
        self.real[node as usize].tail = items.to_vec();
        node
    }

    /// Appends to a list, tuple, set or other container.
    pub fn push(&mut self, container: u32, item: u32) {
        self.draft(container).tail.push(item);
    }

    /// A `str`, with its text as name where it is an identifier.
    pub fn str(&mut self, text: &str) -> u32 {
        let node = self.object("str", TypeKind::Str);
        let is_name = !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_');
        self.real[node as usize].name = is_name.then(|| self.string(text));
        self.real[node as usize].flags = 0;
        node
    }

    /// An empty dict.
    pub fn dict(&mut self) -> u32 {
        self.object("dict", TypeKind::Dict)
    }

    /// `dict[key] = value` with a new `str` key; answers the key.
    pub fn set_item(&mut self, dict: u32, key: &str, value: u32) -> u32 {
        let key = self.str(key);
        self.draft(dict).tail.extend([key, value]);
        key
    }

    /// An edge with a label of any kind.
    pub fn edge(&mut self, from: u32, label: Label, to: u32) {
        self.draft(from).fixed.push((label, to));
    }

    /// An owned edge with a named label.
    pub fn named(&mut self, from: u32, kind: LabelKind, name: &str, to: u32) {
        let name = self.string(name);
        self.edge(from, Label { kind, strength: EdgeStrength::Owned, name, number: 0 }, to);
    }

    /// A weak edge with a named field.
    pub fn weak(&mut self, from: u32, name: &str, to: u32) {
        let name = self.string(name);
        self.edge(from, Label { kind: LabelKind::Field, strength: EdgeStrength::Weak, name, number: 0 }, to);
    }

    /// An attribute in inline values or a slot.
    pub fn attribute(&mut self, object: u32, name: &str, value: u32) {
        self.named(object, LabelKind::Attribute, name, value);
    }

    /// A C field.
    pub fn field(&mut self, object: u32, name: &str, value: u32) {
        self.named(object, LabelKind::Field, name, value);
    }

    /// The dict of a module; makes interpreter, `sys.modules` and module on first use.
    pub fn module(&mut self, name: &str) -> u32 {
        if let Some(&(_, dict)) = self.modules.get(name) {
            return dict;
        }
        let sys_modules = match self.sys_modules {
            Some(dict) => dict,
            None => {
                let interpreter = self.synthetic(TypeKind::Interpreter, "interpreter 0");
                let dict = self.dict();
                self.field(interpreter, "modules", dict);
                self.sys_modules = Some(dict);
                dict
            }
        };
        let module = self.object("module", TypeKind::Module);
        self.name(module, name);
        let dict = self.dict();
        self.field(module, "md_dict", dict);
        self.set_item(sys_modules, name, module);
        self.modules.insert(name.to_owned(), (module, dict));
        dict
    }

    /// The node of a module that [`Builder::module`] made.
    pub fn module_node(&mut self, name: &str) -> u32 {
        self.module(name);
        self.modules[name].0
    }

    /// `module.name = value`.
    pub fn global(&mut self, module: &str, name: &str, value: u32) {
        let dict = self.module(module);
        self.set_item(dict, name, value);
    }

    /// A running frame named like `normalize (data_pipeline.py:12)` in a new thread with this name.
    pub fn frame(&mut self, thread: &str, name: &str) -> u32 {
        let thread = self.synthetic(TypeKind::Thread, thread);
        let frame = self.synthetic(TypeKind::StackFrame, name);
        self.named(thread, LabelKind::Field, "frame", frame);
        frame
    }

    /// A local variable of a frame or generator.
    pub fn local(&mut self, frame: u32, name: &str, value: u32) {
        self.named(frame, LabelKind::Local, name, value);
    }

    /// Gives a node a name.
    pub fn name(&mut self, node: u32, name: &str) {
        let name = Some(self.string(name));
        self.draft(node).name = name;
    }

    /// Sets the bytes of a node's blocks.
    pub fn bytes(&mut self, node: u32, bytes: u64) {
        self.draft(node).bytes = bytes;
    }

    /// Sets more flags.
    pub fn flag(&mut self, node: u32, bits: u16) {
        self.draft(node).flags |= bits;
    }

    /// Takes a node off the collector's lists.
    pub fn untrack(&mut self, node: u32) {
        self.draft(node).flags &= !NodeFlags::TRACKED;
    }

    /// Sets the reference count instead of what the edges say.
    pub fn refcount(&mut self, node: u32, count: u32) {
        self.draft(node).refcount = Some(count);
    }

    /// Makes `type_node` the type object of all instances of `type_name`, which own it.
    pub fn heap_type(&mut self, type_name: &str, type_node: u32) {
        let type_idx = self.type_idx(type_name, TypeKind::Instance) as usize;
        self.types[type_idx].node = type_node;
        self.types[type_idx].counted = true;
    }

    /// An integer fact.
    pub fn fact(&mut self, name: &str, value: i64) {
        self.facts.push(Fact { name: name.to_owned(), value: FactValue::Int(value) });
    }

    /// The tables.
    pub fn build(self) -> HeapTables {
        let n_real = self.real.len() as u32;
        let mut tables = HeapTables {
            facts: self.facts,
            strings: self.strings,
            types: self.types,
            ..HeapTables::default()
        };
        tables.address_base.push((0, 0));
        tables.edge_start.push(0);
        let mut shape_ids: HashMap<ShapeRow, u32> = HashMap::new();
        let mut refcounts = Vec::new();
        for (node, draft) in (0u32..).zip(self.real.into_iter().chain(self.synthetic)) {
            let shape = ShapeRow {
                type_idx: draft.type_idx,
                labels: draft.fixed.iter().map(|(label, _)| *label).collect(),
                tail: draft.tail_kind.unwrap_or(Tail::None),
            };
            let next = tables.shapes.len() as u32;
            let shape_id = *shape_ids.entry(shape).or_insert_with_key(|shape| {
                tables.shapes.push(shape.clone());
                next
            });
            let resolve = |handle: u32| match handle & SYNTHETIC {
                0 => handle,
                _ => n_real + (handle & !SYNTHETIC),
            };
            tables.edges.extend(draft.fixed.iter().map(|(_, target)| resolve(*target)));
            tables.edges.extend(draft.tail.iter().map(|target| resolve(*target)));
            tables.edge_start.push(tables.edges.len() as u32);
            tables.shape.push(shape_id);
            tables.address_offset.push((draft.address / 8) as u32);
            let bytes = u32::try_from(draft.bytes).unwrap_or(u32::MAX);
            if bytes == u32::MAX {
                tables.large.push((node, draft.bytes, draft.bytes));
            }
            tables.shallow_bytes.push(bytes);
            tables.block_bytes.push(bytes);
            tables.flags.push(NodeFlags(draft.flags));
            tables.names.extend(draft.name.map(|name| NodeName { node, name }));
            refcounts.push(draft.refcount);
        }
        count_references(&mut tables, &refcounts);
        tables
    }
}

/// What the edges say, where the test did not say otherwise.
fn count_references(tables: &mut HeapTables, told: &[Option<u32>]) {
    let mut counts = vec![0u32; told.len()];
    for node in 0..tables.n_nodes() {
        for edge in tables.edges_of(node) {
            if matches!(edge.label.strength, EdgeStrength::Owned | EdgeStrength::Inferred) {
                counts[edge.target as usize] += 1;
            }
        }
        let row = &tables.types[tables.type_of(node) as usize];
        if row.counted && row.node != NO_NODE {
            counts[row.node as usize] += 1;
        }
    }
    tables.refcount = counts.iter().zip(told).map(|(count, told)| told.unwrap_or(*count)).collect();
}

/// A deterministic source of numbers (xorshift64*), so that tests and benches need no dependency.
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Dice {
        Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// A number below `n`; `n` is at least 1.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n
    }
}

/// A label without name or number.
pub fn plain(kind: LabelKind) -> Label {
    Label { kind, strength: EdgeStrength::Owned, name: NO_STRING, number: 0 }
}
