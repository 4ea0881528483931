//! `set` and `frozenset`.
//!
//! Source: `Objects/setobject.c`. Deleted entries hold a static object and the hash -1, which no element has.

use super::{Emit, Read, is_address};
use crate::{Label, Memory, Sink};

const USED: u64 = 24;
const MASK: u64 = 32;
const TABLE: u64 = 40;
const SMALL_TABLE: u64 = 64;
const ENTRY_BYTES: u64 = 16;
const MASK_MAX: u64 = (1 << 40) - 1;

/// Number of entries and address of the table; `None` where no set has such a header.
fn table<M: Memory>(mem: &M, object: u64) -> Option<(u64, u64)> {
    let mask = mem.u64(object.checked_add(MASK)?)?;
    let table = mem.u64(object + TABLE)?;
    let sane = mask <= MASK_MAX && (mask + 1).is_power_of_two() && is_address(table);
    sane.then_some((mask + 1, table))
}

/// Elements, and the table where it lies apart.
pub(super) fn references<M: Memory, S: Sink>(mem: &M, object: u64, out: &mut Emit<'_, S>) -> Read {
    let Some((n, table)) = table(mem, object) else { return Read::Torn };
    if table != object + SMALL_TABLE {
        out.block(table, n * ENTRY_BYTES);
    }
    let mut key = None;
    let got = mem.words(table, n * 2, |word| match key.take() {
        None => key = Some(word),
        Some(key) if word != u64::MAX => out.own(key, Label::Item),
        Some(_) => {}
    });
    Read::complete_if(got == n * 2)
}

/// `set.__sizeof__` less the basic size, in bytes.
pub(super) fn extra_size<M: Memory>(mem: &M, object: u64) -> u64 {
    match table(mem, object) {
        Some((n, table)) if table != object + SMALL_TABLE => n * ENTRY_BYTES,
        _ => 0,
    }
}

/// Whether what lies at `object` can be a set.
pub(super) fn is_sane<M: Memory>(mem: &M, object: u64) -> bool {
    let used = mem.u64(object.wrapping_add(USED));
    table(mem, object).is_some_and(|(n, _)| used.is_some_and(|used| used < n))
}
