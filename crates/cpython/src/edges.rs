//! What a reader reports of an object: its references with their names, and its out-of-line memory.

/// How one reference of an object is called. Names stay addresses: whoever needs the text reads it once per name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// A field with a name that C code fixed: `__dict__`, `tp_base`, `func_globals`, `tzinfo`.
    Field(&'static str),
    /// An instance attribute; the name is the `str` object at this address.
    Attribute(u64),
    /// A member with a C name (`PyMemberDef.name`), at this address: `__slots__` and C structs.
    Member(u64),
    /// A local variable of a frame, generator or coroutine; the name is the `str` object at this address.
    Local(u64),
    /// A closure cell of a function or frame; the name is the `str` object at this address.
    Closure(u64),
    /// Element number of a sequence. Reported in rising order without the holes.
    Index(u32),
    /// The key of a dict entry; its `Value` follows at once.
    Key,
    /// The value of the dict entry whose `Key` was just reported.
    Value,
    /// An element of a set or another unordered container.
    Item,
    /// A value on a frame's evaluation stack.
    Stack(u32),
    /// A word at this byte offset of the object that equals the start of another object.
    Offset(u32),
}

/// What a reference counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Strength {
    /// Owns one reference count of its target.
    Owned = 0,
    /// A pointer that owns nothing and keeps nothing alive (`f_builtins`, `tp_subclasses`, a borrowed stack slot).
    Borrowed = 1,
    /// A weak reference to its referent.
    Weak = 2,
    /// Found by a conservative scan: most likely owned, never certain.
    Inferred = 3,
}

/// Receives what a reader finds. Monomorphised: an implementation that ignores labels pays nothing for them.
pub trait Sink {
    /// A reference to the object at `target` (never null; not yet checked to be an object).
    fn edge(&mut self, target: u64, label: Label, strength: Strength);
    /// Out-of-line memory of this object alone: `bytes` requested from the allocator at `addr`.
    fn block(&mut self, addr: u64, bytes: u64);
}
