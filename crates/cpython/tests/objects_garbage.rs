//! Readers of objects on memory that is no heap: they end, and report no more than memory can hold.

use heapray_cpython::layouts::LAYOUTS;
use heapray_cpython::object::{self, Read};
use heapray_cpython::{AttributePlace, Label, Member, Memory, ObjectKind, Runtime, Sink, Strength, TypeInfo};

const BASE: u64 = 0x7f00_0000_0000;
const WORDS: u64 = 1 << 13;

/// Words at [`BASE`]: pointers into itself, small numbers, and noise.
struct Garbage(Vec<u8>);

/// xorshift64*: seeded, so that a failure can be had again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

impl Garbage {
    fn new(random: &mut Random) -> Garbage {
        let word = |random: &mut Random| match random.next() % 8 {
            0..4 => BASE + random.next() % WORDS * 8,
            4 => random.next() % 64,
            5 => random.next(),
            6 => u64::MAX - random.next() % 64,
            _ => 0,
        };
        Garbage((0..WORDS).flat_map(|_| word(random).to_le_bytes()).collect())
    }
}

impl Memory for Garbage {
    fn tail(&self, addr: u64) -> &[u8] {
        addr.checked_sub(BASE).and_then(|at| self.0.get(at as usize..)).unwrap_or(&[])
    }
}

/// Counts, and stops a reader that reports without end.
struct Limit(u64);

impl Sink for Limit {
    fn edge(&mut self, _target: u64, _label: Label, _strength: Strength) {
        self.0 = self.0.checked_sub(1).expect("a reader reports no more than memory can hold");
    }
    fn block(&mut self, _addr: u64, _bytes: u64) {
        self.0 = self.0.checked_sub(1).expect("a reader reports no more than memory can hold");
    }
}

const KINDS: &[ObjectKind] = {
    use ObjectKind::*;
    &[
        Other,
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
    ]
};

fn made_up(random: &mut Random, kind: ObjectKind) -> TypeInfo {
    TypeInfo {
        address: BASE + random.next() % WORDS * 8,
        name: "garbage".into(),
        kind,
        flags: random.next(),
        basic_size: 16 + random.next() % 64 * 8,
        item_size: random.next() % 5 * 8,
        dict_offset: random.next() as i64 % 64 * 8,
        weaklist_offset: random.next() as i64 % 64 * 8,
        has_gc: random.next() & 1 == 0,
        heap_type: random.next() & 1 == 0,
        presize: random.next() % 5 * 8,
        finalizer: false,
        traverses: false,
        members: vec![Member { offset: 24, name: random.next() }],
        fields: Vec::new(),
        unknown: vec![16, 4096],
        unknown_items: random.next() & 1 == 0,
        shared_keys: BASE + random.next() % WORDS * 8,
        shared_names: vec![BASE, 0, 8],
        shared_capacity: 5,
        attributes: match random.next() % 3 {
            0 => AttributePlace::None,
            1 => AttributePlace::Managed,
            _ => AttributePlace::Inline(64),
        },
        hidden_items: random.next() % 4,
    }
}

#[test]
fn garbage_ends_every_reader() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for round in 0..40 {
        let mem = Garbage::new(&mut random);
        for layout in LAYOUTS {
            let rt = Runtime {
                layout,
                version_hex: layout.first,
                address: BASE,
                interpreters: vec![BASE, u64::MAX - 7],
            };
            for kind in KINDS {
                let info = made_up(&mut random, *kind);
                for object in [BASE + random.next() % WORDS * 8, random.next(), u64::MAX - round % 32, round]
                {
                    read_all(&mem, &rt, &info, object);
                }
            }
        }
    }
}

fn read_all(mem: &Garbage, rt: &Runtime, info: &TypeInfo, object: u64) {
    let mut limit = Limit(16 * WORDS);
    let read = object::references(mem, rt, info, object, &mut limit);
    assert!(matches!(read, Read::Complete | Read::Torn));
    let _ = object::shallow_size(mem, rt, info, object);
    let _ = object::own_bytes(mem, rt, info, object);
    let _ = object::is_object(mem, rt, info, object);
    let _ = object::module_name(mem, rt, object);
    let _ = object::function_name(mem, rt, info, object);
    let _ = object::dict_lookup_str(mem, rt, object, "key");
    let _ = object::type_dict(mem, rt, object);
    assert_eq!(TypeInfo::read(mem, rt, object).map(|info| info.name), None, "no type is made by chance");
}
