//! Strings, and shapes (type plus edge names) shared by many nodes, each numbered once.
//!
//! It turns the readers' labels, whose names are addresses in the target, into records. New rows are handed
//! out in batches, so that a reader of the file always knows a row before it meets its number.

use heapray_cpython::{Label, Memory, Runtime, Strength, strings};
use heapray_wire::{EdgeStrength, Label as WireLabel, LabelKind, NO_STRING, ShapeRow, Tail};
use rustc_hash::FxHashMap;

/// Longest attribute or variable name that is kept, in bytes.
const NAME_MAX: usize = 200;

/// A label as the reader gave it.
pub(crate) type RawLabel = (Label, Strength);

/// The string table, with what was not handed out yet.
#[derive(Debug, Default)]
pub(crate) struct Strings {
    ids: FxHashMap<String, u32>,
    new: Vec<String>,
    /// By address of the `str` object or C string in the target.
    by_address: FxHashMap<u64, u32>,
}

impl Strings {
    /// The number of a text.
    pub(crate) fn id(&mut self, text: &str) -> u32 {
        if let Some(id) = self.ids.get(text) {
            return *id;
        }
        let id = self.ids.len() as u32;
        self.ids.insert(text.to_owned(), id);
        self.new.push(text.to_owned());
        id
    }

    /// The number of the text of the `str` object at `address`.
    pub(crate) fn of_str<M: Memory>(&mut self, memory: &M, rt: &Runtime, address: u64) -> u32 {
        self.at(address, || strings::read(memory, rt, address, NAME_MAX))
    }

    fn of_c_string<M: Memory>(&mut self, memory: &M, address: u64) -> u32 {
        self.at(address, || memory.c_string(address, NAME_MAX))
    }

    fn at(&mut self, address: u64, read: impl FnOnce() -> Option<String>) -> u32 {
        if let Some(id) = self.by_address.get(&address) {
            return *id;
        }
        let id = match read() {
            Some(text) => self.id(&text),
            None => self.id("?"),
        };
        self.by_address.insert(address, id);
        id
    }

    /// The strings that were not handed out yet.
    pub(crate) fn take_new(&mut self) -> Vec<String> {
        std::mem::take(&mut self.new)
    }
}

/// All shapes, with what was not handed out yet.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    ids: FxHashMap<(u32, Tail, Vec<RawLabel>), u32>,
    new: Vec<ShapeRow>,
    /// By type: the labels, tail and number of the shape met last.
    last: Vec<(Vec<RawLabel>, Tail, u32)>,
}

impl Shapes {
    /// The number of a shape if it is the one that nodes of this type had last: the common case.
    #[inline]
    pub(crate) fn last(&self, type_idx: u32, labels: &[RawLabel], tail: Tail) -> Option<u32> {
        let (known, known_tail, id) = self.last.get(type_idx as usize)?;
        (*id != u32::MAX && *known_tail == tail && known == labels).then_some(*id)
    }

    /// The number of a shape.
    pub(crate) fn id<M: Memory>(
        &mut self,
        place: &mut Naming<'_, M>,
        type_idx: u32,
        labels: &[RawLabel],
        tail: Tail,
    ) -> u32 {
        let key = (type_idx, tail, labels.to_vec());
        let id = match self.ids.get(&key) {
            Some(id) => *id,
            None => {
                let id = self.ids.len() as u32;
                let labels = labels.iter().map(|label| place.label(*label)).collect();
                self.new.push(ShapeRow { type_idx, labels, tail });
                self.ids.insert(key, id);
                id
            }
        };
        if self.last.len() <= type_idx as usize {
            self.last.resize(type_idx as usize + 1, (Vec::new(), Tail::None, u32::MAX));
        }
        let last = &mut self.last[type_idx as usize];
        last.0.clear();
        last.0.extend_from_slice(labels);
        (last.1, last.2) = (tail, id);
        id
    }

    /// The shapes that were not handed out yet.
    pub(crate) fn take_new(&mut self) -> Vec<ShapeRow> {
        std::mem::take(&mut self.new)
    }
}

/// Turns labels into records.
pub(crate) struct Naming<'a, M> {
    pub(crate) memory: &'a M,
    pub(crate) rt: &'a Runtime,
    pub(crate) strings: &'a mut Strings,
}

impl<M: Memory> Naming<'_, M> {
    fn label(&mut self, (label, strength): RawLabel) -> WireLabel {
        let (kind, name, number) = match label {
            Label::Field(name) => (LabelKind::Field, self.strings.id(name), 0),
            Label::Attribute(at) => (LabelKind::Attribute, self.strings.of_str(self.memory, self.rt, at), 0),
            Label::Member(at) => (LabelKind::Attribute, self.strings.of_c_string(self.memory, at), 0),
            Label::Local(at) => (LabelKind::Local, self.strings.of_str(self.memory, self.rt, at), 0),
            Label::Closure(at) => (LabelKind::Closure, self.strings.of_str(self.memory, self.rt, at), 0),
            Label::Index(number) => (LabelKind::Index, NO_STRING, number),
            Label::Key => (LabelKind::Key, NO_STRING, 0),
            Label::Value => (LabelKind::Value, NO_STRING, 0),
            Label::Item => (LabelKind::Item, NO_STRING, 0),
            Label::Stack(number) => (LabelKind::Stack, NO_STRING, number),
            Label::Offset(number) => (LabelKind::Offset, NO_STRING, number),
        };
        let strength = match strength {
            Strength::Owned => EdgeStrength::Owned,
            Strength::Borrowed => EdgeStrength::Borrowed,
            Strength::Weak => EdgeStrength::Weak,
            Strength::Inferred => EdgeStrength::Inferred,
        };
        WireLabel { kind, strength, name, number }
    }
}
