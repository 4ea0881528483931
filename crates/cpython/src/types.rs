//! What a type object says of its instances: name, sizes, flags, and which reader knows them.
//!
//! Does not read instances (see `object`). A [`TypeInfo`] is read once per type and kept by the caller.

use alloc::string::String;
use alloc::vec::Vec;

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
    NumpyDtype,
    Greenlet,
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
    /// Object fields of the type and all its bases.
    pub members: Vec<Member>,
    /// The key table that instances share; 0 where there is none.
    pub shared_keys: u64,
}

impl TypeInfo {
    /// Reads the type object at `address`; `None` where it is none.
    pub fn read<M: Memory>(_mem: &M, _rt: &Runtime, _address: u64) -> Option<TypeInfo> {
        None
    }
}
