//! A query's tree over a heap. Text fields become one bit a node or one truth a type before the pass over all nodes.

use heapray_capture::HeapTables;
use heapray_wire::{LabelKind, NO_STRING, NodeFlags, Tail, TypeKind};
use wildmatch::WildMatch;

use super::lexer::Op;
use super::parser::Expr;
use super::{Field, matches_type};
use crate::matching::n_real;
use crate::{Heap, Region};

/// A tree whose texts are answered already.
enum Check {
    All(Vec<Check>),
    Any(Vec<Check>),
    Not(Box<Check>),
    Type(Vec<bool>),
    Nodes(Vec<u64>),
    Number { field: Field, op: Op, value: u64 },
    Flag { field: Field, is: bool },
}

/// Matching real objects, rising.
pub(crate) fn eval(expr: &Expr, heap: &Heap) -> Vec<u32> {
    let check = prepare(expr, heap);
    (0..n_real(heap.tables())).filter(|node| holds(&check, heap, *node)).collect()
}

fn prepare(expr: &Expr, heap: &Heap) -> Check {
    match expr {
        Expr::And(parts) => Check::All(parts.iter().map(|part| prepare(part, heap)).collect()),
        Expr::Or(parts) => Check::Any(parts.iter().map(|part| prepare(part, heap)).collect()),
        Expr::Not(part) => Check::Not(Box::new(prepare(part, heap))),
        Expr::Text { field, is_negated, pattern } => {
            let check = prepare_text(heap, *field, pattern);
            if *is_negated { Check::Not(Box::new(check)) } else { check }
        }
        Expr::Number { field, op, value } => Check::Number { field: *field, op: *op, value: *value },
        Expr::Flag { field, is } => Check::Flag { field: *field, is: *is },
    }
}

fn holds(check: &Check, heap: &Heap, node: u32) -> bool {
    let tables = heap.tables();
    match check {
        Check::All(parts) => parts.iter().all(|part| holds(part, heap, node)),
        Check::Any(parts) => parts.iter().any(|part| holds(part, heap, node)),
        Check::Not(part) => !holds(part, heap, node),
        Check::Type(types) => types[tables.type_of(node) as usize],
        Check::Nodes(bits) => bits[node as usize / 64] >> (node % 64) & 1 == 1,
        Check::Flag { field, is } => flag_of(heap, node, *field) == *is,
        Check::Number { field, op, value } => number_of(heap, node, *field).is_some_and(|found| match op {
            Op::Equal | Op::Glob => found == *value,
            Op::NotEqual => found != *value,
            Op::More => found > *value,
            Op::MoreOrEqual => found >= *value,
            Op::Less => found < *value,
            Op::LessOrEqual => found <= *value,
        }),
    }
}

fn number_of(heap: &Heap, node: u32, field: Field) -> Option<u64> {
    let tables = heap.tables();
    match field {
        Field::Len => heap.length(node),
        Field::Size => Some(tables.shallow(node)),
        Field::Bytes => Some(tables.block(node)),
        Field::Retained => Some(heap.retained(node)),
        Field::Address => Some(tables.address(node)),
        Field::Refcount => {
            let is_counted = !tables.flags[node as usize].has(NodeFlags::IMMORTAL);
            is_counted.then(|| u64::from(tables.refcount[node as usize]))
        }
        Field::Generation => {
            let flags = tables.flags[node as usize];
            flags.has(NodeFlags::TRACKED).then(|| u64::from(flags.generation()))
        }
        _ => None,
    }
}

fn flag_of(heap: &Heap, node: u32, field: Field) -> bool {
    let has = |bit| heap.tables().flags[node as usize].has(bit);
    match field {
        Field::Tracked => has(NodeFlags::TRACKED),
        Field::Frozen => has(NodeFlags::FROZEN),
        Field::Orphan => has(NodeFlags::ORPHAN),
        Field::Finalizer => has(NodeFlags::FINALIZER),
        Field::Immortal => has(NodeFlags::IMMORTAL),
        Field::Garbage => heap.region(node) == Region::Garbage,
        _ => false,
    }
}

fn prepare_text(heap: &Heap, field: Field, pattern: &str) -> Check {
    match field {
        Field::Type => Check::Type(types(heap, pattern)),
        Field::Isinstance => Check::Type(derived(heap, pattern)),
        Field::Elem => Check::Nodes(with_element(heap, &types(heap, pattern))),
        Field::Referrer => Check::Nodes(held_by(heap, &types(heap, pattern))),
        Field::Attribute => Check::Nodes(held_as(heap, &strings(heap, pattern))),
        Field::Module => Check::Nodes(in_module(heap, &strings(heap, pattern))),
        _ => Check::Nodes(named(heap, &strings(heap, pattern))),
    }
}

/// For each type, whether its name matches.
fn types(heap: &Heap, pattern: &str) -> Vec<bool> {
    let tables = heap.tables();
    tables.types.iter().map(|row| matches_type(pattern, tables.string(row.name))).collect()
}

/// For each type, whether its name or that of a class in its `__mro__` matches.
fn derived(heap: &Heap, pattern: &str) -> Vec<bool> {
    let tables = heap.tables();
    let direct = types(heap, pattern);
    let mut is_match = bits(heap);
    for (row, _) in tables.types.iter().zip(&direct).filter(|(_, is)| **is) {
        set(&mut is_match, row.node);
    }
    // A class without instances has no row, but its object has its name.
    for name in tables.names.iter().filter(|name| heap.kind(name.node) == TypeKind::Type) {
        if matches_type(pattern, tables.string(name.name)) {
            set(&mut is_match, name.node);
        }
    }
    let is_base =
        |node: &u32| is_match.get(*node as usize / 64).is_some_and(|word| word >> (node % 64) & 1 == 1);
    let rows = tables.types.iter().zip(direct);
    rows.map(|(row, is)| is || mro(tables, row.node).iter().any(is_base)).collect()
}

/// The classes of a type's `__mro__`; empty where the type was not found as an object.
fn mro(tables: &HeapTables, type_node: u32) -> &[u32] {
    if type_node >= tables.n_nodes() {
        return &[];
    }
    let mut edges = tables.edges_of(type_node);
    let mro =
        edges.find(|edge| edge.label.kind == LabelKind::Field && tables.string(edge.label.name) == "__mro__");
    mro.map_or(&[], |edge| tables.targets(edge.target))
}

/// For each string, whether it matches.
fn strings(heap: &Heap, pattern: &str) -> Vec<bool> {
    let pattern = WildMatch::new(pattern);
    heap.tables().strings.iter().map(|text| pattern.matches(text)).collect()
}

fn bits(heap: &Heap) -> Vec<u64> {
    vec![0; heap.n_nodes() as usize / 64 + 1]
}

fn set(bits: &mut [u64], node: u32) {
    if let Some(word) = bits.get_mut(node as usize / 64) {
        *word |= 1 << (node % 64);
    }
}

fn named(heap: &Heap, strings: &[bool]) -> Vec<u64> {
    let mut bits = bits(heap);
    for name in &heap.tables().names {
        if strings.get(name.name as usize) == Some(&true) {
            set(&mut bits, name.node);
        }
    }
    bits
}

/// Containers with an element, or a value, of these types.
fn with_element(heap: &Heap, types: &[bool]) -> Vec<u64> {
    let tables = heap.tables();
    let mut bits = bits(heap);
    for node in 0..heap.n_nodes() {
        let shape = &tables.shapes[tables.shape[node as usize] as usize];
        let (skip, step) = match shape.tail {
            Tail::Index | Tail::Items => (0, 1),
            Tail::Pairs => (1, 2),
            Tail::None => continue,
        };
        let elements = tables.targets(node).iter().skip(shape.labels.len() + skip).step_by(step);
        let of_type = |target: &&u32| **target < heap.n_nodes() && types[tables.type_of(**target) as usize];
        if elements.clone().any(|target| of_type(&target)) {
            set(&mut bits, node);
        }
    }
    bits
}

fn held_by(heap: &Heap, types: &[bool]) -> Vec<u64> {
    let mut bits = bits(heap);
    for node in 0..heap.n_nodes() {
        if types[heap.tables().type_of(node) as usize] {
            heap.graph().for_each_held(heap.tables(), node, |target| set(&mut bits, target));
        }
    }
    bits
}

/// Nodes that something holds by a name: a label's, or that of a dict key.
fn held_as(heap: &Heap, strings: &[bool]) -> Vec<u64> {
    let tables = heap.tables();
    let matches = |name: u32| name != NO_STRING && strings.get(name as usize) == Some(&true);
    let mut bits = bits(heap);
    let keys = named(heap, strings);
    let is_key = |node: u32| keys.get(node as usize / 64).is_some_and(|word| word >> (node % 64) & 1 == 1);
    for node in 0..heap.n_nodes() {
        let shape = &tables.shapes[tables.shape[node as usize] as usize];
        let targets = tables.targets(node);
        let has_names = shape.labels.iter().any(|label| matches(label.name));
        let has_keys = shape.tail == Tail::Pairs || shape.labels.iter().any(|l| l.kind == LabelKind::Value);
        if !has_names && !has_keys {
            continue;
        }
        for (position, &target) in (0u32..).zip(targets) {
            let label = tables.label(node, position);
            let by_key = || {
                let key = position.checked_sub(1).and_then(|before| targets.get(before as usize));
                label.kind == LabelKind::Value && key.is_some_and(|key| is_key(*key))
            };
            if matches(label.name) || by_key() {
                set(&mut bits, target);
            }
        }
    }
    bits
}

/// Nodes whose best trail goes through a module of this name, by the last module on it.
fn in_module(heap: &Heap, strings: &[bool]) -> Vec<u64> {
    let tables = heap.tables();
    let mut bits = bits(heap);
    for &node in heap.order() {
        let is_in = if heap.kind(node) == TypeKind::Module && tables.name(node).is_some() {
            let at = tables.names.binary_search_by_key(&node, |name| name.node);
            at.is_ok_and(|at| strings.get(tables.names[at].name as usize) == Some(&true))
        } else {
            let above = heap.trail_parent(node);
            above.is_some_and(|above| bits[above as usize / 64] >> (above % 64) & 1 == 1)
        };
        if is_in {
            set(&mut bits, node);
        }
    }
    bits
}

#[cfg(test)]
mod tests {
    use heapray_wire::{LabelKind, NodeFlags, TypeKind};

    use super::matches_type;
    use crate::synthetic::Builder;
    use crate::{Find, Heap};

    fn heap() -> (Heap, [u32; 5]) {
        let mut b = Builder::new();
        let array = b.object("numpy.ndarray", TypeKind::Array);
        b.bytes(array, 20_000_000);
        let items: Vec<u32> = std::iter::repeat_n(array, 150).collect();
        let long = b.list(&items);
        let short = b.list(&[array]);
        let text = b.str("payload");
        let record = b.instance("app.Record");
        b.attribute(record, "payload", text);
        b.global("app", "buffer", long);
        b.global("other", "few", short);
        b.global("app", "record", record);
        (Heap::load(b.build()), [array, long, short, text, record])
    }

    #[test]
    fn a_type_matches_by_its_whole_name_or_its_last_part() {
        for (pattern, expected) in
            [("ndarray", true), ("numpy.*", true), ("nd?rray", true), ("umpy.ndarray", false), ("nd", false)]
        {
            assert_eq!(matches_type(pattern, "numpy.ndarray"), expected, "{pattern}");
        }
    }

    #[test]
    fn queries_find_what_they_say() {
        let (heap, [array, long, short, text, record]) = heap();
        let address = format!("at={:#x}", heap.tables().address(record));
        for (query, expected) in [
            ("type=list and len>100 and elem=numpy.ndarray", vec![long]),
            ("type=list and len<=100", vec![short]),
            ("elem=ndarray", vec![long, short]),
            ("bytes>10MB", vec![array]),
            ("type=app.* ", vec![record]),
            ("type~Rec*", vec![record]),
            ("type~eco", vec![record]),
            ("type=eco", vec![]),
            ("attr=payload", vec![text]),
            ("attribute=buffer", vec![long]),
            ("referrer=Record", vec![text]),
            ("module=other and type=list", vec![short]),
            ("type=list and not module=other", vec![long]),
            ("type=list and (len=1 or len=150)", vec![long, short]),
            ("name=payload", vec![text]),
            ("type=str and tracked=no and name='payload'", vec![text]),
            (address.as_str(), vec![record]),
            ("refcount>100", vec![array]),
            ("retained>=20MB and type!=ndarray and type!=dict", vec![]),
            ("type=nothing", vec![]),
        ] {
            let find = Find::parse(query).expect("a query");
            assert_eq!(find.eval(&heap), expected, "{query}");
        }
    }

    #[test]
    fn flags_are_found_bare_negated_and_compared() {
        let mut b = Builder::new();
        let held = b.instance("app.Held");
        b.global("app", "held", held);
        b.flag(held, NodeFlags::FROZEN | NodeFlags::IMMORTAL);
        let (one, other) = (b.instance("app.Node"), b.instance("app.Node"));
        b.attribute(one, "next", other);
        b.attribute(other, "next", one);
        b.flag(one, NodeFlags::FINALIZER);
        let lost = b.instance("app.Lost");
        b.flag(lost, NodeFlags::ORPHAN);
        let heap = Heap::load(b.build());
        for (query, expected) in [
            ("type=Node and garbage", vec![one, other]),
            ("type=Node and not garbage", vec![]),
            ("type~app. and garbage=no", vec![held, lost]),
            ("garbage and finalizer", vec![one]),
            ("orphan", vec![lost]),
            ("frozen and immortal", vec![held]),
            ("frozen!=no", vec![held]),
            ("type=Held and refcount>=0", vec![]),
            ("type=Held and block>0 and bytes>0", vec![held]),
        ] {
            let find = Find::parse(query).expect("a query");
            assert_eq!(find.eval(&heap), expected, "{query}");
        }
    }

    #[test]
    fn instances_of_derived_classes_are_found() {
        let mut b = Builder::new();
        let (base, derived) = (b.object("type", TypeKind::Type), b.object("type", TypeKind::Type));
        b.name(base, "app.Base");
        b.name(derived, "app.Derived");
        let mro = b.object("tuple", TypeKind::Tuple);
        b.push(mro, derived);
        b.push(mro, base);
        b.named(derived, LabelKind::Field, "__mro__", mro);
        let object = b.instance("app.Derived");
        b.heap_type("app.Derived", derived);
        b.global("app", "object", object);
        let heap = Heap::load(b.build());
        for (query, expected) in [
            ("isinstance=Base", vec![object]),
            ("isinstance=app.Base", vec![object]),
            ("isinstance=Derived", vec![object]),
            ("isinstance~Bas", vec![object]),
            ("type=Base", vec![]),
            ("isinstance=Other", vec![]),
        ] {
            let find = Find::parse(query).expect("a query");
            assert_eq!(find.eval(&heap), expected, "{query}");
        }
    }
}
