//! The records of a snapshot as plain values: what types, shapes, nodes and facts are.

use alloc::string::String;
use alloc::vec::Vec;

/// An index into the string table of a snapshot; [`NO_STRING`] is none.
pub const NO_STRING: u32 = u32::MAX;

/// No node.
pub const NO_NODE: u32 = u32::MAX;

/// A type, or a pseudo type of a synthetic node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeRow {
    /// String id of the module-qualified name: `collections.OrderedDict`, `list` for builtins.
    pub name: u32,
    /// Address of the type object; 0 for pseudo types.
    pub address: u64,
    /// Node id of the type object, or [`NO_NODE`] (pseudo types, types that were not found as objects).
    pub node: u32,
    /// What its instances are to a reader of trails.
    pub kind: TypeKind,
    /// Instances own a reference to the type (heap types): the loader adds that edge, it is not stored per node.
    pub counted: bool,
    /// `tp_basicsize`.
    pub basic_size: u32,
    /// `tp_itemsize`.
    pub item_size: u32,
}

/// What the instances of a type are, as far as trails and queries care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(
    missing_docs,
    reason = "the names are Python's own, or those of the pseudo nodes in docs/capture-format.md"
)]
pub enum TypeKind {
    Other = 0,
    Instance = 1,
    Module = 2,
    Type = 3,
    Dict = 4,
    List = 5,
    Tuple = 6,
    Set = 7,
    Str = 8,
    Bytes = 9,
    Int = 10,
    Float = 11,
    Function = 12,
    Method = 13,
    Cell = 14,
    Code = 15,
    Frame = 16,
    Generator = 17,
    Coroutine = 18,
    AsyncGenerator = 19,
    Traceback = 20,
    Exception = 21,
    WeakReference = 22,
    Deque = 23,
    Array = 24,
    LruCache = 25,
    ThreadLocal = 26,
    Task = 27,
    Capsule = 28,
    /// Pseudo: the interpreter state of one interpreter.
    Interpreter = 64,
    /// Pseudo: a thread.
    Thread = 65,
    /// Pseudo: a running frame that has no frame object; labels are its locals.
    StackFrame = 66,
    /// Pseudo: static memory of a loaded library that points at objects.
    NativeStatic = 67,
    /// Pseudo: a thread's C stack that points at objects.
    NativeStack = 68,
    /// Pseudo: a heap block that is no Python object but points at objects.
    NativeBlock = 69,
    /// Pseudo: holds objects whose reference count nothing explains.
    UnknownHolder = 70,
}

/// How strongly an edge holds, as `heapray_cpython::Strength`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "documented at heapray_cpython::Strength")]
pub enum EdgeStrength {
    Owned = 0,
    Borrowed = 1,
    Weak = 2,
    Inferred = 3,
}

/// The kind of an edge's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum LabelKind {
    /// C field, `name` set: `__dict__`, `func_globals`.
    Field = 0,
    /// Attribute, slot or member, `name` set.
    Attribute = 1,
    /// Local variable, `name` set.
    Local = 2,
    /// Closure variable, `name` set.
    Closure = 3,
    /// Sequence element `number`.
    Index = 4,
    /// Dict key.
    Key = 5,
    /// Dict value.
    Value = 6,
    /// Set element.
    Item = 7,
    /// Evaluation stack slot `number`.
    Stack = 8,
    /// Byte offset `number` inside the object.
    Offset = 9,
    /// Materialised at load: object to its heap type.
    Type = 10,
}

/// The name of one edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label {
    /// What kind of name.
    pub kind: LabelKind,
    /// How strongly it holds.
    pub strength: EdgeStrength,
    /// String id where the kind has a name, else [`NO_STRING`].
    pub name: u32,
    /// Number where the kind has one, else 0.
    pub number: u32,
}

/// How the edges after a shape's fixed labels are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Tail {
    /// There are none.
    None = 0,
    /// `[0]`, `[1]`, …
    Index = 1,
    /// Key, value, key, value, …
    Pairs = 2,
    /// Elements without order.
    Items = 3,
}

/// What all nodes of one type with the same edge names share. Edge `i` of a node is `labels[i]` while there are
/// labels; the rest is named by `tail`. All tail edges are owned.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ShapeRow {
    /// Index into the types.
    pub type_idx: u32,
    /// Names of the first edges.
    pub labels: Vec<Label>,
    /// Names of the rest.
    pub tail: Tail,
}

/// One edge as loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Target node id.
    pub target: u32,
    /// Its name.
    pub label: Label,
}

/// Flag bits of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Hash)]
pub struct NodeFlags(pub u16);

impl NodeFlags {
    /// On one of the collector's lists.
    pub const TRACKED: u16 = 1;
    /// Immortal: its reference count means nothing.
    pub const IMMORTAL: u16 = 1 << 1;
    /// In the permanent generation (`gc.freeze`).
    pub const FROZEN: u16 = 1 << 2;
    /// Two bits: the generation, 0 to 2, of a tracked object.
    pub const GENERATION_SHIFT: u16 = 3;
    /// Found by the census of blocks only; no object, root or memory word refers to it: a lost reference.
    pub const ORPHAN: u16 = 1 << 5;
    /// Found by the census of blocks, and something (inferred edge or C memory) refers to it.
    pub const FROM_CENSUS: u16 = 1 << 6;
    /// Lies in static memory of a library, not in a heap block.
    pub const STATIC: u16 = 1 << 7;
    /// Synthetic: not an object (frame, thread, C holder); its type is a pseudo type.
    pub const SYNTHETIC: u16 = 1 << 8;
    /// The collector calls a finalizer (`__del__`) on it.
    pub const FINALIZER: u16 = 1 << 9;
    /// Its type has no `tp_traverse`, or one known to miss references: cycles through it are never collected.
    pub const UNTRAVERSED: u16 = 1 << 10;
    /// Part of it could not be read.
    pub const TORN: u16 = 1 << 11;
    /// A root: retained on its own account (synthetic roots, and objects with an unexplained reference count).
    pub const ROOT: u16 = 1 << 12;

    /// Whether every bit of `bits` is set.
    pub fn has(self, bits: u16) -> bool {
        self.0 & bits == bits
    }

    /// The collector's generation, 0 to 2, of a tracked object.
    pub fn generation(self) -> u16 {
        (self.0 >> Self::GENERATION_SHIFT) & 3
    }
}

/// A measured or observed fact of the process or the snapshot, by dotted name: `gc.enabled`, `rss_bytes`.
#[derive(Clone, Debug, PartialEq)]
pub struct Fact {
    /// Dotted name, listed in `docs/capture-format.md`.
    pub name: String,
    /// Its value.
    pub value: FactValue,
}

/// The value of a [`Fact`].
#[derive(Clone, Debug, PartialEq)]
pub enum FactValue {
    /// A count, byte figure, address or boolean (0, 1).
    Int(i64),
    /// A ratio or duration.
    Float(f64),
    /// Text.
    Text(String),
}

/// A text that belongs to a node: a module's, type's or function's name, a frame's function, file and line
/// (`normalize (app.py:12)`), a short identifier that is a dict key, a C holder (`static Handlers in libpython3.12.so`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeName {
    /// Node id.
    pub node: u32,
    /// String id.
    pub name: u32,
}

/// Up to [`NodeChunk::CAPACITY`] nodes in id order, in columns of equal length (`edges` apart).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeChunk {
    /// Id of the first node.
    pub first: u32,
    /// Addresses; rising for real objects, 0 for synthetic nodes.
    pub address: Vec<u64>,
    /// Shape indices, defined by earlier `Shapes` chunks.
    pub shape: Vec<u32>,
    /// Reference counts, saturating.
    pub refcount: Vec<u32>,
    /// `sys.getsizeof` in bytes.
    pub shallow_bytes: Vec<u64>,
    /// Bytes of all its blocks.
    pub block_bytes: Vec<u64>,
    /// Flags.
    pub flags: Vec<NodeFlags>,
    /// Number of stored edges of each node.
    pub n_edges: Vec<u32>,
    /// All targets, node after node; ids may lie in later chunks.
    pub edges: Vec<u32>,
}

impl NodeChunk {
    /// Most nodes in one chunk.
    pub const CAPACITY: usize = 65_536;
    /// Most edges in one chunk; the edges of a larger node go on in [`Chunk::MoreEdges`].
    pub const EDGE_CAPACITY: usize = 1 << 20;
}

/// Edges that did not fit into the chunk of their node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MoreEdges {
    /// The node, the last one given so far.
    pub node: u32,
    /// Further targets, after those already given.
    pub edges: Vec<u32>,
}

/// One chunk of a snapshot, in the order in which a writer must give them: `Process` first; strings, types and
/// shapes before the first chunk that uses their ids; `End` last. Strings, types and shapes number on from chunk to chunk.
#[derive(Clone, Debug, PartialEq)]
pub enum Chunk {
    /// Begins the snapshot of one process; ids start again at 0.
    Process(Vec<Fact>),
    /// More strings.
    Strings(Vec<String>),
    /// More types.
    Types(Vec<TypeRow>),
    /// More shapes.
    Shapes(Vec<ShapeRow>),
    /// More nodes.
    Nodes(NodeChunk),
    /// More edges of the last node given, so that no chunk outgrows the reader's bound. `capture`'s writer makes
    /// these out of larger [`Chunk::Nodes`]; no walker has to.
    MoreEdges(MoreEdges),
    /// Names of nodes already given, sorted by node within and across chunks of one process.
    Names(Vec<NodeName>),
    /// Flag bits found late, or-ed into nodes already given: (node, bits), sorted by node.
    Flags(Vec<(u32, NodeFlags)>),
    /// Facts found while reading.
    Facts(Vec<Fact>),
    /// What was skipped, with counts.
    Skipped(Vec<(String, u64)>),
    /// The process's snapshot is whole.
    End,
}
