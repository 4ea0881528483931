//! The pprof export, read by a reader of its own: the wire format of protocol buffers by hand, not by the library that
//! wrote it. Field numbers are those of github.com/google/pprof/blob/main/proto/profile.proto.

use super::story;
use heapray_capture::synthetic::RecordingBuilder;
use heapray_query::answer::StackProfile;
use heapray_query::{AllocationOptions, Allocations, Detail, What};
use heapray_report::format;
use heapray_wire::NO_NODE;
use heapray_wire::allocator::PYTHON_OBJECT;
use std::collections::BTreeMap;
use std::io::Read;

/// A field: a number, or bytes.
#[derive(Clone, Debug)]
enum Field {
    Number(u64),
    Bytes(Vec<u8>),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().expect("a whole varint");
        *bytes = rest;
        value |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return value;
        }
    }
    panic!("a varint has ten bytes at most");
}

/// The fields of a message, by their number.
fn fields(mut bytes: &[u8]) -> BTreeMap<u64, Vec<Field>> {
    let mut all: BTreeMap<u64, Vec<Field>> = BTreeMap::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            2 => {
                let n = varint(&mut bytes) as usize;
                let (inner, rest) = bytes.split_at(n);
                bytes = rest;
                Field::Bytes(inner.to_vec())
            }
            other => panic!("profile.proto has no field of wire type {other}"),
        };
        all.entry(key >> 3).or_default().push(field);
    }
    all
}

type Message = BTreeMap<u64, Vec<Field>>;

fn messages(of: &Message, number: u64) -> Vec<Message> {
    let bytes = |field: &Field| match field {
        Field::Bytes(bytes) => fields(bytes),
        Field::Number(_) => panic!("field {number} holds messages"),
    };
    of.get(&number).into_iter().flatten().map(bytes).collect()
}

fn number(of: &Message, number: u64) -> u64 {
    match of.get(&number).and_then(|all| all.first()) {
        Some(Field::Number(value)) => *value,
        _ => 0,
    }
}

/// Repeated numbers, packed or not.
fn numbers(of: &Message, number: u64) -> Vec<u64> {
    let mut all = Vec::new();
    for field in of.get(&number).into_iter().flatten() {
        match field {
            Field::Number(value) => all.push(*value),
            Field::Bytes(bytes) => {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    all.push(varint(&mut rest));
                }
            }
        }
    }
    all
}

fn strings(of: &Message) -> Vec<String> {
    let text = |field: &Field| match field {
        Field::Bytes(bytes) => String::from_utf8(bytes.clone()).expect("texts are UTF-8"),
        Field::Number(_) => panic!("the string table holds texts"),
    };
    of.get(&6).into_iter().flatten().map(text).collect()
}

fn read(what: What) -> (Message, i64) {
    let profile = story::exact(AllocationOptions::default()).profile(what, Detail::Line);
    (written(&profile), profile.total.bytes)
}

fn written(profile: &StackProfile) -> Message {
    let mut bytes = Vec::new();
    flate2::read::GzDecoder::new(&format::pprof(profile)[..]).read_to_end(&mut bytes).expect("gzip");
    fields(&bytes)
}

/// The sum of `inuse_space` over all samples.
pub(super) fn inuse_space(profile: &StackProfile) -> i64 {
    messages(&written(profile), 2).iter().map(|sample| numbers(sample, 2)[3] as i64).sum()
}

#[test]
fn sample_types_and_period_are_those_of_heap_profiles() {
    let (profile, _) = read(What::Live);
    let strings = strings(&profile);
    assert_eq!(strings[0], "");
    let name = |message: &Message, field: u64| strings[number(message, field) as usize].as_str();
    let types: Vec<_> =
        messages(&profile, 1).iter().map(|t| (name(t, 1).to_owned(), name(t, 2).to_owned())).collect();
    let expected = [
        ("alloc_objects", "count"),
        ("alloc_space", "bytes"),
        ("inuse_objects", "count"),
        ("inuse_space", "bytes"),
    ];
    assert_eq!(types, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
    assert_eq!(name(&messages(&profile, 11)[0], 1), "space");
    assert_eq!(strings[number(&profile, 14) as usize], "inuse_space");
    assert!(number(&profile, 12) > 0 && number(&profile, 9) > 0 && number(&profile, 10) > 0);
    let (temporary, _) = read(What::Temporary);
    let strings = self::strings(&temporary);
    assert_eq!(strings[number(&temporary, 14) as usize], "alloc_space");
}

#[test]
fn samples_lead_to_functions_and_sum_up() {
    let (profile, total) = read(What::Live);
    let strings = strings(&profile);
    let locations: BTreeMap<u64, Message> =
        messages(&profile, 4).into_iter().map(|location| (number(&location, 1), location)).collect();
    let functions: BTreeMap<u64, Message> =
        messages(&profile, 5).into_iter().map(|function| (number(&function, 1), function)).collect();
    assert!(!locations.contains_key(&0) && !functions.contains_key(&0), "0 is no id");
    let mut sum = 0;
    let mut leaf_of_most = (0, String::new());
    for sample in messages(&profile, 2) {
        let values = numbers(&sample, 2);
        assert_eq!(values.len(), 4);
        sum += values[3] as i64;
        let leaf = numbers(&sample, 1)[0];
        let line = &messages(&locations[&leaf], 4)[0];
        let function = &functions[&number(line, 1)];
        if values[3] > leaf_of_most.0 {
            leaf_of_most = (values[3], strings[number(function, 2) as usize].clone());
            assert_eq!(
                strings[number(function, 4) as usize].rsplit('/').next().map(str::is_empty),
                Some(false)
            );
        }
        for label in messages(&sample, 3) {
            assert!(["allocator", "thread"].contains(&strings[number(&label, 1) as usize].as_str()));
        }
    }
    assert_eq!(sum, total);
    assert!(!leaf_of_most.1.is_empty(), "{leaf_of_most:?}");
}

/// pprof takes a function that has a linker's name for one of C++ and strips `<…>` off; a sample of no location it drops.
#[test]
fn modules_and_samples_without_frames_keep_a_name() {
    let mut b = RecordingBuilder::exact();
    let task = b.task(7, None);
    let module = b.stack(&["<module> /srv/app.py:1"]);
    b.alloc(task, (module, PYTHON_OBJECT), 100);
    b.alloc(task, (NO_NODE, PYTHON_OBJECT), 200);
    let allocations =
        Allocations::new(b.recording(), AllocationOptions::default()).expect("it has a process");
    let profile = written(&allocations.profile(What::Allocated, Detail::Line));
    let strings = strings(&profile);
    let functions = messages(&profile, 5);
    assert!(functions.iter().all(|function| number(function, 3) == 0), "system_name is unset");
    let names: Vec<&str> = messages(&profile, 2)
        .iter()
        .map(|sample| {
            let location = numbers(sample, 1)[0];
            let location = messages(&profile, 4).into_iter().find(|row| number(row, 1) == location);
            let line = &messages(&location.expect("its location"), 4)[0];
            let function = functions.iter().find(|row| number(row, 1) == number(line, 1));
            strings[number(function.expect("its function"), 2) as usize].as_str()
        })
        .collect();
    assert_eq!(names, ["<module>", "[no frames]"]);
}
