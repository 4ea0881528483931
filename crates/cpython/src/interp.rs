//! What an interpreter state holds: the references of `PyInterpreterState` and of the static runtime.

use crate::code::at;
use crate::layouts::Root;
use crate::{Label, Memory, Runtime, Sink, Strength};

/// Bounds of arrays whose length is read from memory.
const LIMIT: u64 = 1 << 20;

/// Reports every reference that the interpreter state at `interp` holds; for the main interpreter, those of
/// `_PyRuntime` too. Static types are reported as borrowed; their dicts are theirs (`object::references`). The dict of interned strings is reported as borrowed: it is there, but its entries' references
/// are not counted, so nobody should take it for a holder (see [`interned`]).
pub fn roots<M: Memory>(mem: &M, rt: &Runtime, interp: u64, sink: &mut impl Sink) {
    let layout = &rt.layout.runtime;
    for root in layout.interp_roots {
        array(mem, interp, root, sink);
    }
    exit_callbacks(mem, rt, interp, sink);
    identifiers(mem, rt, interp, sink);
    static_types(mem, rt, interp, |state| {
        sink.edge(state.type_address, Label::Field("builtin types"), Strength::Borrowed);
    });
    if let Some(dict) = interned(mem, rt, interp) {
        sink.edge(dict, Label::Field("interned strings"), Strength::Borrowed);
    }
    if is_main(mem, rt, interp) {
        for root in layout.runtime_roots {
            array(mem, rt.address, root, sink);
        }
    }
}

/// The dict of interned strings of `interp`, where its address is kept in the interpreter state (3.12 and later;
/// before, it is a C static without a symbol). Its references to keys and values are not counted.
pub fn interned<M: Memory>(mem: &M, rt: &Runtime, interp: u64) -> Option<u64> {
    let offset = rt.layout.runtime.interp_interned?;
    mem.u64(at(interp, offset)?).filter(|dict| *dict != 0)
}

/// Whether `interp` is the main interpreter.
pub fn is_main<M: Memory>(mem: &M, rt: &Runtime, interp: u64) -> bool {
    at(interp, rt.layout.runtime.interp_id).and_then(|id| mem.u64(id)) == Some(0)
}

/// What one interpreter keeps for a static type, outside the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticType {
    /// The type object.
    pub type_address: u64,
    /// Its `tp_dict`, or 0.
    pub dict: u64,
    /// Its `tp_subclasses`, or 0.
    pub subclasses: u64,
}

/// Calls `f` with each static type whose dict `interp` keeps (3.12 and later; before, types hold their own).
pub fn static_types<M: Memory>(mem: &M, rt: &Runtime, interp: u64, mut f: impl FnMut(StaticType)) {
    let layout = &rt.layout.runtime;
    let (Some(size), Some(type_at), Some(dict_at), Some(subclasses_at)) = (
        layout.static_type_size,
        layout.static_type_type,
        layout.static_type_dict,
        layout.static_type_subclasses,
    ) else {
        return;
    };
    let arrays = [
        (layout.interp_static_types, layout.interp_static_types_count),
        (layout.interp_extension_types, layout.interp_extension_types_count),
    ];
    for (first, count) in arrays.into_iter().filter_map(|(first, count)| Some((first?, count?))) {
        for idx in 0..count {
            let word = |offset| at(interp, first + idx * size + offset).and_then(|field| mem.u64(field));
            let (Some(type_address), Some(dict), Some(subclasses)) =
                (word(type_at), word(dict_at), word(subclasses_at))
            else {
                break;
            };
            if type_address != 0 {
                f(StaticType { type_address, dict, subclasses });
            }
        }
    }
}

/// Reports the references of one root of the structure at `base`.
pub(crate) fn array<M: Memory>(mem: &M, base: u64, root: &Root, sink: &mut impl Sink) {
    for idx in 0..root.count {
        let field = at(base, root.first + idx * root.stride);
        match field.and_then(|field| mem.u64(field)) {
            Some(0) => {}
            Some(target) => sink.edge(target, Label::Field(root.label), Strength::Owned),
            None => break,
        }
    }
}

/// Callbacks of `atexit`, each its function, positional and keyword arguments (until 3.13; then a list among the roots).
fn exit_callbacks<M: Memory>(mem: &M, rt: &Runtime, interp: u64, sink: &mut impl Sink) {
    let layout = &rt.layout.runtime;
    let (Some(array), Some(count)) = (layout.interp_atexit_array, layout.interp_atexit_count) else { return };
    let array = at(interp, array).and_then(|field| mem.u64(field)).unwrap_or(0);
    let count = at(interp, count).and_then(|field| mem.u32(field)).unwrap_or(0);
    mem.words(array, u64::from(count).min(LIMIT), |callback| {
        let labels = ["atexit callback", "atexit callback's args", "atexit callback's kwargs"];
        if callback != 0 {
            objects(mem, callback, &labels, sink);
        }
    });
}

/// Strings that C code made once for good (`_PyUnicode_FromId`).
fn identifiers<M: Memory>(mem: &M, rt: &Runtime, interp: u64, sink: &mut impl Sink) {
    let layout = &rt.layout.runtime;
    let word = |offset| at(interp, offset).and_then(|field| mem.u64(field)).unwrap_or(0);
    let count = word(layout.interp_identifiers_count).min(LIMIT);
    mem.words(word(layout.interp_identifiers), count, |string| {
        if string != 0 {
            sink.edge(string, Label::Field("C identifier"), Strength::Owned);
        }
    });
}

/// Reports consecutive references from `base` on, one a label.
fn objects<M: Memory>(mem: &M, base: u64, labels: &[&'static str], sink: &mut impl Sink) {
    for (idx, label) in labels.iter().enumerate() {
        match mem.u64(base.wrapping_add(idx as u64 * 8)) {
            Some(target) if target != 0 => sink.edge(target, Label::Field(label), Strength::Owned),
            _ => {}
        }
    }
}
