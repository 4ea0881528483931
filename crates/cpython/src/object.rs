//! Readers of objects: their references, their memory, their sizes.
//!
//! Every reader is bounded by the sizes it reads *and* by what memory can hold, and gives up where they do not fit.
//! References in fixed places come first, in an order that depends on the type alone; then the items of containers.

mod attributes;
mod buffer;
mod callable;
pub(crate) mod dict;
mod extension;
mod names;
mod sanity;
mod sequence;
mod set;
mod sizes;
mod text;
pub(crate) mod type_object;

use alloc::string::String;

use self::attributes::Body;
use crate::types::ObjectKind;
use crate::{Label, Memory, Runtime, Sink, Strength, TypeInfo, greenlets};

/// Whether an object could be read whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// All of it.
    Complete,
    /// Sizes or pointers did not fit; what was reported is what could be read.
    Torn,
}

impl Read {
    fn complete_if(complete: bool) -> Read {
        if complete { Read::Complete } else { Read::Torn }
    }

    fn and(self, other: Read) -> Read {
        Read::complete_if(self == Read::Complete && other == Read::Complete)
    }
}

/// A [`Sink`] that drops what cannot be an address, and remembers that it did.
struct Emit<'s, S: Sink> {
    sink: &'s mut S,
    torn: bool,
}

impl<S: Sink> Emit<'_, S> {
    #[inline]
    fn edge(&mut self, target: u64, label: Label, strength: Strength) {
        if is_address(target) {
            self.sink.edge(target, label, strength);
        } else {
            self.torn |= target != 0;
        }
    }

    #[inline]
    fn own(&mut self, target: u64, label: Label) {
        self.edge(target, label, Strength::Owned);
    }

    /// A word that may refer to an object.
    #[inline]
    fn guess(&mut self, word: u64, offset: u32) {
        if is_address(word) {
            self.sink.edge(word, Label::Offset(offset), Strength::Inferred);
        }
    }

    fn block(&mut self, at: u64, bytes: u64) {
        if (ADDRESS_MIN..ADDRESS_END).contains(&at) && bytes != 0 {
            self.sink.block(at, bytes);
        }
    }
}

const ADDRESS_MIN: u64 = 0x1000;
const ADDRESS_END: u64 = 1 << 47;

/// Whether an object can lie there at all.
#[inline]
pub(crate) fn is_address(word: u64) -> bool {
    word & 7 == 0 && (ADDRESS_MIN..ADDRESS_END).contains(&word)
}

/// Reports every reference of `object` but that to its type, and its out-of-line memory.
///
/// The attributes of an instance whose values its class's key table names, and those of a dict with split values, have
/// [`Label::Attribute`]; all else in a dict is a [`Label::Key`] with its [`Label::Value`].
/// Cost: the words of the object and of its tables; allocates nothing.
pub fn references<M: Memory>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    sink: &mut impl Sink,
) -> Read {
    if !is_address(object) {
        return Read::Torn;
    }
    let mut out = Emit { sink, torn: false };
    let body = Body::new(mem, object, info.presize);
    let fixed = attributes::references(mem, rt, info, &body, &mut out);
    let items = match info.kind {
        ObjectKind::Dict => dict::references(mem, rt, &body, &mut out),
        ObjectKind::List => sequence::list(mem, &body, &mut out),
        ObjectKind::OrderedDict => {
            // Pairs first: they are what the rest of its edges is named by.
            let pairs = dict::references(mem, rt, &body, &mut out);
            pairs.and(dict::ordered_references(mem, object, &mut out))
        }
        _ => items(mem, rt, info, object, &mut out),
    };
    fixed.and(items).and(Read::complete_if(!out.torn))
}

/// What a type's own reader knows beyond the fixed places.
fn items<M: Memory, S: Sink>(
    mem: &M,
    rt: &Runtime,
    info: &TypeInfo,
    object: u64,
    out: &mut Emit<'_, S>,
) -> Read {
    match info.kind {
        ObjectKind::Tuple => sequence::tuple(mem, rt, info, object, out),
        ObjectKind::Set => set::references(mem, object, out),
        ObjectKind::Str => {
            text::blocks(mem, rt, object, out);
            Read::Complete
        }
        ObjectKind::ByteArray => buffer::bytearray(mem, rt, object, out),
        ObjectKind::Type => type_object::references(mem, rt, object, out),
        ObjectKind::Code => callable::code(mem, rt, object, out),
        ObjectKind::Generator | ObjectKind::Coroutine | ObjectKind::AsyncGenerator => {
            callable::generator(mem, rt, object, out)
        }
        ObjectKind::Frame => callable::frame(mem, rt, object, out),
        ObjectKind::Module => callable::module_state(mem, rt, object, out),
        ObjectKind::Deque => sequence::deque::references(mem, object, out),
        ObjectKind::SimpleQueue => sequence::simple_queue(mem, rt, object, out),
        ObjectKind::LruCache => sequence::lru_links(mem, object, out),
        ObjectKind::Array => buffer::array(mem, object, out),
        ObjectKind::IoBuffer => buffer::io_buffer(mem, object, out),
        ObjectKind::StringIo => buffer::string_io(mem, rt, object, out),
        ObjectKind::CtypesData => buffer::ctypes(mem, object, out),
        ObjectKind::Decimal => buffer::decimal_block(mem, object, out),
        ObjectKind::StructFormat
        | ObjectKind::XmlElement
        | ObjectKind::Combinatoric
        | ObjectKind::TeeData => extension::references(mem, info, object, out),
        ObjectKind::NumpyArray => buffer::numpy::array(mem, object, out),
        ObjectKind::Greenlet => {
            greenlets::references(mem, rt, object, out.sink);
            Read::Complete
        }
        _ if info.unknown_items => sequence::unknown(mem, info, object, out),
        _ => Read::Complete,
    }
}

/// `sys.getsizeof(object)` in bytes, where the type has not got a `__sizeof__` of its own in Python.
pub fn shallow_size<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    if is_address(object) { sizes::shallow_size(mem, rt, info, object) } else { 0 }
}

/// Bytes from the object's address to its end; its block begins [`TypeInfo::presize`] bytes before.
pub fn own_bytes<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> u64 {
    if is_address(object) { sizes::own_bytes(mem, rt, info, object) } else { 0 }
}

/// Whether what lies at `object` can be an instance of `info`: a cheap test for the census of blocks.
pub fn is_object<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> bool {
    is_address(object) && sanity::is_object(mem, rt, info, object)
}

/// `__name__` of the module at `module`.
pub fn module_name<M: Memory>(mem: &M, rt: &Runtime, module: u64) -> Option<String> {
    names::module(mem, rt, module)
}

/// The qualified name of the function, method, code object, generator or builtin function at `object`.
pub fn function_name<M: Memory>(mem: &M, rt: &Runtime, info: &TypeInfo, object: u64) -> Option<String> {
    names::function(mem, rt, info, object)
}

/// The value of the `str` key `key` (ASCII, at most 64 bytes) in the dict at `dict`. Cost: linear in the entries.
pub fn dict_lookup_str<M: Memory>(mem: &M, rt: &Runtime, dict: u64, key: &str) -> Option<u64> {
    dict::lookup_str(mem, rt, dict, key)
}

/// The dict of the type object at `address`; since 3.12 that of a static type lies in an interpreter.
pub fn type_dict<M: Memory>(mem: &M, rt: &Runtime, address: u64) -> Option<u64> {
    type_object::dict(mem, rt, address)
}
