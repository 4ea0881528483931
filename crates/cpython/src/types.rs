//! What a type object says of its instances: name, sizes, flags, and which reader knows them.
//!
//! Does not read instances (see `object`). A [`TypeInfo`] is read once per type and kept by the caller.

mod read;

use alloc::string::String;
use alloc::vec::Vec;

use crate::layouts::Field;
use crate::{Memory, Runtime};

/// What the instances of a type are to the readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names are Python's own")]
pub enum ObjectKind {
    /// Fixed fields, members and inferred words only.
    Other,
    /// A class written in Python on top of `object`.
    Instance,
    Module,
    Type,
    Dict,
    OrderedDict,
    List,
    Tuple,
    Set,
    Str,
    Bytes,
    ByteArray,
    Int,
    Float,
    Function,
    Method,
    BuiltinFunction,
    Cell,
    Code,
    Frame,
    Generator,
    Coroutine,
    AsyncGenerator,
    Traceback,
    Exception,
    WeakReference,
    Deque,
    Array,
    MemoryView,
    ManagedBuffer,
    IoBuffer,
    BytesIo,
    StringIo,
    LruCache,
    ThreadLocal,
    Task,
    Capsule,
    Context,
    SimpleQueue,
    CtypesData,
    NumpyArray,
    NumpyScalar,
    Greenlet,
    Decimal,
    StructFormat,
    XmlElement,
    Combinatoric,
    TeeData,
}

/// An object field with a name in C: a `__slots__` entry, or a `PyMemberDef` of an object kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Byte offset in the object.
    pub offset: u32,
    /// Address of its NUL-terminated name.
    pub name: u64,
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeInfo {
    /// Address of the type object.
    pub address: u64,
    /// As users write it: `collections.OrderedDict`, plain `list` for builtins.
    pub name: String,
    /// Which reader knows the instances.
    pub kind: ObjectKind,
    /// `tp_flags`.
    pub flags: u64,
    /// `tp_basicsize` in bytes.
    pub basic_size: u64,
    /// `tp_itemsize` in bytes.
    pub item_size: u64,
    /// `tp_dictoffset`.
    pub dict_offset: i64,
    /// `tp_weaklistoffset`.
    pub weaklist_offset: i64,
    /// Instances have a collector's head.
    pub has_gc: bool,
    /// Instances own a reference to the type.
    pub heap_type: bool,
    /// Bytes between the start of the instance's block and the instance.
    pub presize: u64,
    /// Has `__del__` or another `tp_finalize` or `tp_del`.
    pub finalizer: bool,
    /// Has a `tp_traverse`.
    pub traverses: bool,
    /// Object fields of the type and all its bases that have no [`Field`].
    pub members: Vec<Member>,
    /// Known references in fixed places, of the type and all its bases.
    pub fields: Vec<Field>,
    /// Offsets of words of which nothing is known but that they may refer to objects.
    pub unknown: Vec<u32>,
    /// The items after the basic size are such words too.
    pub unknown_items: bool,
    /// The key table that instances share; 0 where there is none.
    pub shared_keys: u64,
    /// The attribute names (`str` objects) in that table, in order.
    pub shared_names: Vec<u64>,
    /// Values that an instance has room for.
    pub shared_capacity: u32,
    /// Where instances keep attributes besides `dict_offset`.
    pub attributes: AttributePlace,
    /// Elements of a structseq beyond its length (`time.struct_time`: 2).
    pub hidden_items: u64,
}

/// Where instances of one type keep their attributes, besides a dict at `tp_dictoffset`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributePlace {
    /// Nowhere.
    None,
    /// In words before the object.
    Managed,
    /// In a dict named before the object, or in this many bytes of values at the object's basic size.
    Inline(u32),
}

impl TypeInfo {
    /// Reads the type object at `address`; `None` where it is none. Cost: some hundred words, and allocations.
    pub fn read<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<TypeInfo> {
        read::read(mem, rt, address)
    }
}

/// `PyTypeObject`, the same in 3.10 to 3.15 (`Include/cpython/object.h`).
pub(crate) mod offset {
    pub(crate) const NAME: u64 = 24;
    pub(crate) const BASIC_SIZE: u64 = 32;
    pub(crate) const ITEM_SIZE: u64 = 40;
    pub(crate) const FLAGS: u64 = 168;
    pub(crate) const DOC: u64 = 176;
    pub(crate) const TRAVERSE: u64 = 184;
    pub(crate) const WEAKLIST_OFFSET: u64 = 208;
    pub(crate) const MEMBERS: u64 = 240;
    pub(crate) const BASE: u64 = 256;
    pub(crate) const DICT: u64 = 264;
    pub(crate) const DICT_OFFSET: u64 = 288;
    pub(crate) const BASES: u64 = 336;
    pub(crate) const MRO: u64 = 344;
    pub(crate) const CACHE: u64 = 352;
    pub(crate) const SUBCLASSES: u64 = 360;
    pub(crate) const DEL: u64 = 376;
    pub(crate) const FINALIZE: u64 = 392;
}

/// `Py_TPFLAGS_*`, the same in 3.10 to 3.15 where a version has them (`Include/object.h`).
pub(crate) mod flag {
    /// A static type whose dict lies in the interpreter (3.12).
    pub(crate) const STATIC_BUILTIN: u64 = 1 << 1;
    /// 3.13.
    pub(crate) const INLINE_VALUES: u64 = 1 << 2;
    /// 3.12.
    pub(crate) const MANAGED_WEAKREF: u64 = 1 << 3;
    /// 3.11.
    pub(crate) const MANAGED_DICT: u64 = 1 << 4;
    pub(crate) const HEAPTYPE: u64 = 1 << 9;
    pub(crate) const READY: u64 = 1 << 12;
    pub(crate) const HAVE_GC: u64 = 1 << 14;
    pub(crate) const TYPE_SUBCLASS: u64 = 1 << 31;
}
