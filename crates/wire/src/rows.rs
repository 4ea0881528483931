//! Strings, types, shapes, names and late flags: chunks that are plain lists of rows.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::{Source, put, put_optional, put_text};
use crate::malformed::Malformed;
use crate::model::{
    EdgeStrength, Label, LabelKind, MoreEdges, NodeFlags, NodeName, ShapeRow, Tail, TypeKind, TypeRow,
};

/// Most fixed labels of one shape; a writer cuts the rest, which `Tail` then names.
const MAX_LABELS: usize = 1 << 16;

/// Reads a counted list of rows of at least `min_bytes` each.
fn list<T>(
    source: &mut Source<'_>,
    min_bytes: usize,
    row: impl Fn(&mut Source<'_>) -> Result<T, Malformed>,
) -> Result<Vec<T>, Malformed> {
    let n = source.count(min_bytes)?;
    let mut rows = Vec::with_capacity(n);
    for _ in 0..n {
        rows.push(row(source)?);
    }
    Ok(rows)
}

pub(crate) fn put_strings(strings: &[String], out: &mut Vec<u8>) {
    put(out, strings.len() as u64);
    for text in strings {
        put_text(out, text);
    }
}

pub(crate) fn strings(source: &mut Source<'_>) -> Result<Vec<String>, Malformed> {
    list(source, 1, |source| source.text())
}

pub(crate) fn put_types(types: &[TypeRow], out: &mut Vec<u8>) {
    put(out, types.len() as u64);
    for row in types {
        put_optional(out, row.name);
        put(out, row.address);
        put_optional(out, row.node);
        out.push(row.kind as u8);
        out.push(u8::from(row.counted));
        put(out, u64::from(row.basic_size));
        put(out, u64::from(row.item_size));
    }
}

pub(crate) fn types(source: &mut Source<'_>) -> Result<Vec<TypeRow>, Malformed> {
    list(source, 7, |source| {
        Ok(TypeRow {
            name: source.optional()?,
            address: source.u64()?,
            node: source.optional()?,
            kind: TypeKind::from_byte(source.byte()?).unwrap_or(TypeKind::Other),
            counted: match source.byte()? {
                0 => false,
                1 => true,
                other => return Err(source.bad(u64::from(other))),
            },
            basic_size: source.u32()?,
            item_size: source.u32()?,
        })
    })
}

pub(crate) fn put_shapes(shapes: &[ShapeRow], out: &mut Vec<u8>) {
    put(out, shapes.len() as u64);
    for row in shapes {
        let labels = &row.labels[..row.labels.len().min(MAX_LABELS)];
        put(out, u64::from(row.type_idx));
        out.push(row.tail as u8);
        put(out, labels.len() as u64);
        for label in labels {
            out.push(label.kind as u8 | (label.strength as u8) << 4);
            put_optional(out, label.name);
            put(out, u64::from(label.number));
        }
    }
}

pub(crate) fn shapes(source: &mut Source<'_>) -> Result<Vec<ShapeRow>, Malformed> {
    list(source, 3, |source| {
        let type_idx = source.u32()?;
        let tail = source.byte()?;
        let tail = Tail::from_byte(tail).ok_or_else(|| source.bad(u64::from(tail)))?;
        Ok(ShapeRow { type_idx, labels: list(source, 3, label)?, tail })
    })
}

fn label(source: &mut Source<'_>) -> Result<Label, Malformed> {
    let byte = source.byte()?;
    let kind = LabelKind::from_byte(byte & 0xf).ok_or_else(|| source.bad(u64::from(byte)))?;
    let strength = EdgeStrength::from_byte(byte >> 4).ok_or_else(|| source.bad(u64::from(byte)))?;
    Ok(Label { kind, strength, name: source.optional()?, number: source.u32()? })
}

/// Ids that mostly rise, as differences that wrap.
fn put_id(out: &mut Vec<u8>, last: &mut u32, id: u32) {
    put(out, u64::from(id.wrapping_sub(*last)));
    *last = id;
}

fn id(source: &mut Source<'_>, last: u32) -> Result<u32, Malformed> {
    Ok(last.wrapping_add(source.u32()?))
}

pub(crate) fn put_names(names: &[NodeName], out: &mut Vec<u8>) {
    put(out, names.len() as u64);
    let mut last = 0;
    for row in names {
        put_id(out, &mut last, row.node);
        put_optional(out, row.name);
    }
}

pub(crate) fn names(source: &mut Source<'_>) -> Result<Vec<NodeName>, Malformed> {
    let n = source.count(2)?;
    let mut rows = Vec::with_capacity(n);
    let mut last = 0;
    for _ in 0..n {
        last = id(source, last)?;
        rows.push(NodeName { node: last, name: source.optional()? });
    }
    Ok(rows)
}

pub(crate) fn put_flags(rows: &[(u32, NodeFlags)], out: &mut Vec<u8>) {
    put(out, rows.len() as u64);
    let mut last = 0;
    for (node, flags) in rows {
        put_id(out, &mut last, *node);
        put(out, u64::from(flags.0));
    }
}

pub(crate) fn flags(source: &mut Source<'_>) -> Result<Vec<(u32, NodeFlags)>, Malformed> {
    let n = source.count(2)?;
    let mut rows = Vec::with_capacity(n);
    let mut last = 0;
    for _ in 0..n {
        last = id(source, last)?;
        rows.push((last, NodeFlags(source.u16()?)));
    }
    Ok(rows)
}

pub(crate) fn put_more_edges(more: &MoreEdges, out: &mut Vec<u8>) {
    put(out, u64::from(more.node));
    put(out, more.edges.len() as u64);
    let mut last = more.node;
    for target in &more.edges {
        put(out, u64::from(crate::bytes::zigzag(target.wrapping_sub(last) as i32)));
        last = *target;
    }
}

pub(crate) fn more_edges(source: &mut Source<'_>) -> Result<MoreEdges, Malformed> {
    let node = source.u32()?;
    let n = source.count(1)?;
    let mut edges = Vec::with_capacity(n);
    let mut last = node;
    for _ in 0..n {
        last = last.wrapping_add(crate::bytes::unzigzag(source.u32()?) as u32);
        edges.push(last);
    }
    Ok(MoreEdges { node, edges })
}
