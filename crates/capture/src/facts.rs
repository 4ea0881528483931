//! Facts by name: where a name comes twice, the last one holds.

use heapray_wire::{Fact, FactValue};

pub(crate) fn value<'a>(facts: &'a [Fact], name: &str) -> Option<&'a FactValue> {
    facts.iter().rev().find(|fact| fact.name == name).map(|fact| &fact.value)
}

pub(crate) fn int(facts: &[Fact], name: &str) -> Option<i64> {
    value(facts, name).and_then(as_int)
}

pub(crate) fn float(facts: &[Fact], name: &str) -> Option<f64> {
    value(facts, name).and_then(as_float)
}

pub(crate) fn text<'a>(facts: &'a [Fact], name: &str) -> Option<&'a str> {
    value(facts, name).and_then(as_text)
}

pub(crate) fn as_int(value: &FactValue) -> Option<i64> {
    match value {
        FactValue::Int(value) => Some(*value),
        _ => None,
    }
}

pub(crate) fn as_float(value: &FactValue) -> Option<f64> {
    match value {
        FactValue::Int(value) => Some(*value as f64),
        FactValue::Float(value) => Some(*value),
        FactValue::Text(_) => None,
    }
}

pub(crate) fn as_text(value: &FactValue) -> Option<&str> {
    match value {
        FactValue::Text(value) => Some(value),
        _ => None,
    }
}
