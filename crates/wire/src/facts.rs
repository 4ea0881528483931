//! Facts and skipped counts: names with values.

use alloc::string::String;
use alloc::vec::Vec;

use crate::bytes::{Source, put, put_text};
use crate::malformed::Malformed;
use crate::model::{Fact, FactValue};

pub(crate) fn put_facts(facts: &[Fact], out: &mut Vec<u8>) {
    put(out, facts.len() as u64);
    for fact in facts {
        put_text(out, &fact.name);
        match &fact.value {
            FactValue::Int(value) => {
                out.push(0);
                out.extend_from_slice(&value.to_le_bytes());
            }
            FactValue::Float(value) => {
                out.push(1);
                out.extend_from_slice(&value.to_bits().to_le_bytes());
            }
            FactValue::Text(value) => {
                out.push(2);
                put_text(out, value);
            }
        }
    }
}

pub(crate) fn facts(source: &mut Source<'_>) -> Result<Vec<Fact>, Malformed> {
    let n = source.count(3)?;
    let mut facts = Vec::with_capacity(n);
    for _ in 0..n {
        facts.push(Fact { name: source.text()?, value: value(source)? });
    }
    Ok(facts)
}

fn value(source: &mut Source<'_>) -> Result<FactValue, Malformed> {
    Ok(match source.byte()? {
        0 => FactValue::Int(word(source)? as i64),
        1 => FactValue::Float(f64::from_bits(word(source)?)),
        2 => FactValue::Text(source.text()?),
        other => return Err(source.bad(u64::from(other))),
    })
}

fn word(source: &mut Source<'_>) -> Result<u64, Malformed> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(source.take(8)?);
    Ok(u64::from_le_bytes(bytes))
}

pub(crate) fn put_skipped(rows: &[(String, u64)], out: &mut Vec<u8>) {
    put(out, rows.len() as u64);
    for (what, n) in rows {
        put_text(out, what);
        put(out, *n);
    }
}

pub(crate) fn skipped(source: &mut Source<'_>) -> Result<Vec<(String, u64)>, Malformed> {
    let n = source.count(2)?;
    let mut rows = Vec::with_capacity(n);
    for _ in 0..n {
        rows.push((source.text()?, source.u64()?));
    }
    Ok(rows)
}
