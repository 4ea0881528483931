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
