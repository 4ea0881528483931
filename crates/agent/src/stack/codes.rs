//! Code objects that were seen on a stack, and what the collector has been told of them.
//!
//! Two code objects with the same texts, lines and line table are one code with one id, however often the program makes
//! and drops them. An address stands for a code only while that object lives: whoever watches the end of code objects
//! calls [`Codes::died`], and at every look the object must still refer to the same texts.

use heapray_cpython::layouts::{LineTable, RuntimeLayout};
use heapray_wire::ring::cells::{LineTableKind, TAG_CODE};

use crate::emit::Emit;
use crate::stack::array::Array;
use crate::stack::index::{Index, hash};
use crate::stack::payload::Payload;
use crate::stack::peek::{Peek, is_plausible, is_readable};
use crate::stack::{text, watch};

/// Longest name or path told, in characters.
const NAME_LIMIT: u64 = 1024;

/// Bytes of a code object up to the last field that is read, in every version.
const CODE_BYTES: u64 = 144;

/// A code object in memory.
#[derive(Clone, Copy)]
struct Place {
    /// Its address; 0 where this place is free.
    address: u64,
    filename: u64,
    line_table: u64,
    first_line: u32,
    /// Its code's id; the next free place where this one is free.
    id: u32,
}

/// What a code says, by its digest.
#[derive(Clone, Copy)]
struct Code {
    digest: [u64; 2],
    /// An object that says it, 0 where none is known to live.
    address: u64,
    /// The ring that it was told to.
    told: u32,
}

/// See the module.
pub(crate) struct Codes {
    places: Array<Place>,
    by_address: Index,
    /// First free place + 1.
    free: u32,
    codes: Array<Code>,
    by_content: Index,
    payload: Payload,
    /// Counts ends of code objects that were known: what was read before may be stale.
    pub(crate) n_died: u32,
    ring: u32,
}

impl Codes {
    /// No code.
    pub(crate) const fn new() -> Codes {
        Codes {
            places: Array::new(),
            by_address: Index::new(),
            free: 0,
            codes: Array::new(),
            by_content: Index::new(),
            payload: Payload::new(),
            n_died: 0,
            ring: 1,
        }
    }

    /// Forgets what the collector has been told.
    pub(crate) fn begin_ring(&mut self) {
        self.ring = self.ring.wrapping_add(1).max(1);
    }

    /// Forgets every address; ids stay. For when ends of code objects went unseen.
    pub(crate) fn forget_addresses(&mut self) {
        self.places.truncate(0);
        self.by_address = Index::new();
        self.free = 0;
        self.codes.as_mut_slice().iter_mut().for_each(|code| code.address = 0);
        self.n_died = self.n_died.wrapping_add(1);
    }

    /// Takes up which code objects have ended. To be called before addresses are looked at.
    #[inline]
    pub(crate) fn take_ends(&mut self) {
        if !watch::take(|address| self.died(address)) {
            self.forget_addresses();
        }
    }

    fn died(&mut self, address: u64) {
        if let Some(number) = self.at(address) {
            self.remove(number);
        }
    }

    /// The id of the code object at `address`; `None` where there is none, or no memory for one more.
    #[inline]
    pub(crate) fn id(&mut self, peek: Peek, shape: &Shape, address: u64) -> Option<u32> {
        if let Some(number) = self.at(address) {
            let place = self.places.as_slice()[number as usize];
            if place == Place::read(peek, shape.layout, address, place.id) {
                if let Some(code) = self.codes.as_mut_slice().get_mut(place.id as usize - 1) {
                    code.address = address;
                }
                return Some(place.id);
            }
            self.remove(number);
        }
        self.add(peek, shape, address)
    }

    #[inline]
    fn at(&self, address: u64) -> Option<u32> {
        let places = self.places.as_slice();
        self.by_address.find(hash(address, 0), |number| places[number as usize].address == address)
    }

    fn remove(&mut self, number: u32) {
        let place = &mut self.places.as_mut_slice()[number as usize];
        self.by_address.remove(hash(place.address, 0), number);
        if let Some(code) = self.codes.as_mut_slice().get_mut(place.id as usize - 1)
            && code.address == place.address
        {
            code.address = 0;
        }
        (place.address, place.id) = (0, self.free);
        self.free = number + 1;
        self.n_died = self.n_died.wrapping_add(1);
    }

    fn add(&mut self, peek: Peek, shape: &Shape, address: u64) -> Option<u32> {
        if !shape.is_code(peek, address) {
            return None;
        }
        let digest = self.describe(peek, shape.layout, address)?;
        let codes = self.codes.as_slice();
        let same = |number: u32| codes[number as usize].digest == digest;
        let id = match self.by_content.find(digest[0], same) {
            Some(number) => number + 1,
            None => {
                let number = self.codes.len() as u32;
                if !self.codes.push(Code { digest, address: 0, told: 0 }) {
                    return None;
                }
                let codes = self.codes.as_slice();
                if !self.by_content.insert(number, |number| codes[number as usize].digest[0]) {
                    self.codes.truncate(number as usize);
                    return None;
                }
                number + 1
            }
        };
        self.codes.as_mut_slice()[id as usize - 1].address = address;
        // Without memory the object is only not known by its address, and described again next time.
        self.place(Place::read(peek, shape.layout, address, id));
        Some(id)
    }

    fn place(&mut self, place: Place) {
        let number = match self.free.checked_sub(1) {
            Some(number) => {
                let free = &mut self.places.as_mut_slice()[number as usize];
                self.free = free.id;
                *free = place;
                number
            }
            None => {
                if !self.places.push(place) {
                    return;
                }
                self.places.len() as u32 - 1
            }
        };
        watch::know(place.address);
        let places = self.places.as_slice();
        if !self.by_address.insert(number, |number| hash(places[number as usize].address, 0)) {
            let place = &mut self.places.as_mut_slice()[number as usize];
            (place.address, place.id) = (0, self.free);
            self.free = number + 1;
        }
    }

    /// Puts the record's payload together; answers its digest.
    fn describe(&mut self, peek: Peek, layout: &RuntimeLayout, address: u64) -> Option<[u64; 2]> {
        let field = |offset: u32| peek.word(address + u64::from(offset));
        let out = &mut self.payload;
        if !out.clear() {
            return None;
        }
        out.int(peek.int(address + u64::from(layout.code_first_line)));
        out.int(match layout.line_table {
            LineTable::Deltas => LineTableKind::Deltas,
            LineTable::Locations => LineTableKind::Locations,
        } as u32);
        let names = [Some(layout.code_filename), Some(layout.code_name), layout.code_qualname];
        for name in names {
            out.text(|out| {
                if let Some(offset) = name {
                    text::write_str(peek, layout, field(offset), NAME_LIMIT, out);
                }
            });
        }
        let mut len = 0;
        out.text(|out| len = text::write_bytes(peek, layout, field(layout.code_line_table), out));
        Some(out.digest(len))
    }

    /// Tells the collector of `id` unless it knows; whether it does then.
    pub(crate) fn tell(&mut self, peek: Peek, shape: &Shape, id: u32, emit: &mut impl Emit) -> bool {
        let Some(code) = (id as usize).checked_sub(1).and_then(|number| self.codes.as_slice().get(number))
        else {
            return false;
        };
        if code.told == self.ring {
            return true;
        }
        let address = code.address;
        if address == 0 || self.describe(peek, shape.layout, address).is_none() {
            return false;
        }
        if !emit.payload(TAG_CODE, id.into(), &[self.payload.as_slice()]) {
            return false;
        }
        self.codes.as_mut_slice()[id as usize - 1].told = self.ring;
        true
    }
}

impl Place {
    fn read(peek: Peek, layout: &RuntimeLayout, address: u64, id: u32) -> Place {
        let field = |offset: u32| peek.word(address + u64::from(offset));
        Place {
            address,
            filename: field(layout.code_filename),
            line_table: field(layout.code_line_table),
            first_line: peek.int(address + u64::from(layout.code_first_line)),
            id,
        }
    }
}

impl PartialEq for Place {
    fn eq(&self, other: &Place) -> bool {
        (self.address, self.filename, self.line_table) == (other.address, other.filename, other.line_table)
            && (self.first_line, self.id) == (other.first_line, other.id)
    }
}

/// How code objects are recognised and read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// The row of this Python.
    pub(crate) layout: &'static RuntimeLayout,
    /// Address of `PyCode_Type`; 0 where unknown.
    pub(crate) code_type: u64,
}

impl Shape {
    /// Whether a code object lies at `address`, which may be any number.
    fn is_code(&self, peek: Peek, address: u64) -> bool {
        if !is_plausible(address) || !is_readable(address, CODE_BYTES) {
            return false;
        }
        let class = peek.word(address + u64::from(self.layout.object_type));
        if self.code_type != 0 {
            return class == self.code_type;
        }
        let name_field = class.wrapping_add(self.layout.type_name.into());
        if !is_plausible(class) || !is_readable(name_field, 8) {
            return false;
        }
        let name = peek.word(name_field);
        is_readable(name, 8) && peek.matches(name, b"code\0")
    }
}

#[cfg(test)]
mod tests {
    use heapray_cpython::layouts;
    use heapray_wire::ring::cells::Cell;

    use super::*;

    /// Writes down what it is told.
    #[derive(Default)]
    struct Heard {
        payloads: Vec<(u64, Vec<u8>)>,
        is_full: bool,
    }

    impl Emit for Heard {
        fn record(&mut self, _: &[Cell]) -> bool {
            false
        }

        fn payload(&mut self, tag: u8, id: u64, parts: &[&[u8]]) -> bool {
            assert_eq!(tag, TAG_CODE);
            if !self.is_full {
                self.payloads.push((id, parts.concat()));
            }
            !self.is_full
        }
    }

    /// Objects of CPython 3.12, in our own memory.
    struct Objects {
        shape: Shape,
        #[expect(clippy::vec_box, reason = "the objects are known by their addresses")]
        kept: Vec<Box<[u64; 64]>>,
    }

    impl Objects {
        fn new() -> Objects {
            let layout = layouts::for_version(0x030c_01f0).next().expect("a row");
            let class = Box::new([0; 64]);
            let shape = Shape { layout: &layout.runtime, code_type: class.as_ptr() as u64 };
            Objects { shape, kept: vec![class] }
        }

        fn keep(&mut self, words: [u64; 64]) -> u64 {
            self.kept.push(Box::new(words));
            self.kept.last().expect("just kept").as_ptr() as u64
        }

        /// A compact string of characters below 256.
        fn text(&mut self, text: &str) -> u64 {
            let layout = self.shape.layout;
            let mut bytes = [0_u8; 512];
            let data = if text.is_ascii() { layout.str_ascii_data } else { layout.str_compact_data } as usize;
            let ascii = if text.is_ascii() { layout.str_ascii_bit } else { 0 };
            let state = 1 << layout.str_kind_mask.trailing_zeros() | layout.str_compact_bit | ascii;
            let chars: Vec<u8> = text.chars().map(|c| u8::try_from(c).expect("below 256")).collect();
            bytes[layout.str_length as usize..][..8].copy_from_slice(&(chars.len() as u64).to_le_bytes());
            bytes[layout.str_state as usize..][..4].copy_from_slice(&state.to_le_bytes());
            bytes[data..][..chars.len()].copy_from_slice(&chars);
            self.keep(words(&bytes))
        }

        /// A code object of this file; all have the same name, line and (empty) line table.
        fn code(&mut self, filename: &str) -> u64 {
            let layout = self.shape.layout;
            let (filename, name, table) = (self.text(filename), self.text("f"), self.keep([0; 64]));
            let mut bytes = [0_u8; 512];
            let mut put = |offset: u32, word: u64| {
                bytes[offset as usize..][..8].copy_from_slice(&word.to_le_bytes());
            };
            put(layout.object_type, self.shape.code_type);
            put(layout.code_first_line, 12);
            put(layout.code_filename, filename);
            put(layout.code_name, name);
            put(layout.code_qualname.expect("3.12 has it"), name);
            put(layout.code_line_table, table);
            self.keep(words(&bytes))
        }
    }

    fn words(bytes: &[u8; 512]) -> [u64; 64] {
        let mut words = [0; 64];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        }
        words
    }

    #[test]
    fn a_code_is_known_by_what_it_says() {
        let (mut objects, mut codes) = (Objects::new(), Codes::new());
        let [a, same, b] = ["a.py", "a.py", "bé.py"].map(|file| objects.code(file));
        let peek = Peek::of_test();
        let ids = [a, same, b, a].map(|address| codes.id(peek, &objects.shape, address));
        assert_eq!(ids, [Some(1), Some(1), Some(2), Some(1)]);
        // Anything but a code object, mapped or not.
        assert_eq!(codes.id(peek, &objects.shape, objects.shape.code_type), None);
        assert_eq!(
            [0, 8, 0x7fff_0000_0000_1000, u64::MAX].map(|at| codes.id(peek, &objects.shape, at)),
            [None; 4]
        );
    }

    #[test]
    fn an_address_may_become_another_code() {
        let (mut objects, mut codes) = (Objects::new(), Codes::new());
        let (address, other) = (objects.code("a.py"), objects.text("b.py"));
        let (shape, peek) = (objects.shape, Peek::of_test());
        assert_eq!(codes.id(peek, &shape, address), Some(1));
        let code = objects.kept.iter_mut().find(|words| words.as_ptr() as u64 == address).expect("kept");
        code[shape.layout.code_filename as usize / 8] = other;
        assert_eq!(codes.id(peek, &shape, address), Some(2));
        let n_died = codes.n_died;
        codes.died(address);
        codes.died(address);
        assert_eq!(codes.n_died, n_died + 1);
        assert_eq!(codes.id(peek, &shape, address), Some(2));
        codes.forget_addresses();
        assert_eq!(codes.id(peek, &shape, address), Some(2));
    }

    #[test]
    fn a_code_is_told_once_to_each_ring() {
        let (mut objects, mut codes, mut heard) = (Objects::new(), Codes::new(), Heard::default());
        let address = objects.code("bé.py");
        let (shape, peek) = (objects.shape, Peek::of_test());
        let id = codes.id(peek, &shape, address).expect("a code");
        heard.is_full = true;
        assert!(!codes.tell(peek, &shape, id, &mut heard));
        heard.is_full = false;
        assert!(codes.tell(peek, &shape, id, &mut heard) && codes.tell(peek, &shape, id, &mut heard));
        codes.begin_ring();
        assert!(codes.tell(peek, &shape, id, &mut heard));
        let payload = b"\x0c\0\0\0\x01\0\0\0\x06\0\0\0b\xc3\xa9.py\x01\0\0\0f\x01\0\0\0f\0\0\0\0".to_vec();
        assert_eq!(heard.payloads, [(1, payload.clone()), (1, payload)]);
        assert!(!codes.tell(peek, &shape, 0, &mut heard) && !codes.tell(peek, &shape, 2, &mut heard));
        // What no object says any more cannot be told again.
        codes.died(address);
        codes.begin_ring();
        assert!(!codes.tell(peek, &shape, id, &mut heard));
    }
}
