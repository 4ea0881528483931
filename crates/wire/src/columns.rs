//! Columns of a recording: whole numbers, differences from the row before, and weights.
//!
//! A column has as many values as its rows say, which a [`Source::count`] has held against the bytes that are left.

use alloc::vec::Vec;

use crate::bytes::{Source, put};
use crate::distinct::{Distinct, Key, mix};
use crate::malformed::Malformed;

/// Largest whole number below which every whole number is an `f64`.
const MAX_WHOLE: f64 = (1_u64 << 53) as f64;

/// How a column of weights is stored.
mod mode {
    pub(super) const ZERO: u8 = 0;
    pub(super) const WHOLE: u8 = 1;
    pub(super) const RAW: u8 = 2;
    pub(super) const DISTINCT: u8 = 3;
    pub(super) const RECORDS: u8 = 4;
    pub(super) const NEAR: u8 = 5;
}

/// The difference of two 64-bit numbers modulo 2⁶⁴, small where they are near: 0, −1, 1, −2, … become 0, 1, 2, 3, …
#[inline]
pub(crate) fn zigzag64(value: u64, before: u64) -> u64 {
    let difference = value.wrapping_sub(before) as i64;
    ((difference << 1) ^ (difference >> 63)) as u64
}

/// Undoes [`zigzag64`].
#[inline]
pub(crate) fn unzigzag64(stored: u64, before: u64) -> u64 {
    before.wrapping_add((stored >> 1) ^ (stored & 1).wrapping_neg())
}

/// Appends numbers, each as the difference from the one before.
pub(crate) fn put_differences(values: impl Iterator<Item = u64>, out: &mut Vec<u8>) {
    let mut before = 0;
    for value in values {
        put(out, zigzag64(value, before));
        before = value;
    }
}

/// Reads one number per row that [`put_differences`] wrote.
pub(crate) fn differences<T>(
    source: &mut Source<'_>,
    rows: &mut [T],
    set: impl Fn(&mut T, u64),
) -> Result<(), Malformed> {
    let mut before = 0;
    for row in rows {
        before = unzigzag64(source.u64()?, before);
        set(row, before);
    }
    Ok(())
}

/// Appends ids, `u32::MAX` for none, each as the difference from the one before.
pub(crate) fn put_ids(ids: impl Iterator<Item = u32>, out: &mut Vec<u8>) {
    put_differences(ids.map(|id| u64::from(id.wrapping_add(1))), out);
}

/// Reads one id per row that [`put_ids`] wrote.
pub(crate) fn ids<T>(
    source: &mut Source<'_>,
    rows: &mut [T],
    set: impl Fn(&mut T, u32),
) -> Result<(), Malformed> {
    let mut before = 0;
    for row in rows {
        before = unzigzag64(source.u64()?, before);
        let id = u32::try_from(before).map_err(|_| source.bad(before))?;
        set(row, id.wrapping_sub(1));
    }
    Ok(())
}

/// The bits of a weight, so that weights can be told apart.
#[derive(Clone, Copy, PartialEq)]
struct Bits(u64);

impl Key for Bits {
    fn hash(&self) -> u64 {
        mix(0, self.0)
    }
}

/// Appends weights in the shortest of the column's forms. What is not finite is stored as 0.
///
/// `records` are the numbers of records of the same rows, which weights of an exact recording repeat.
pub(crate) fn put_weights(weights: impl Iterator<Item = f64> + Clone, records: &[u64], out: &mut Vec<u8>) {
    let weights = weights.map(finite);
    if !put_whole(weights.clone(), records, out) {
        put_fractions(weights, out);
    }
}

/// As [`put_weights`], or as the distance to what other columns of the row let expect where that is shorter: `near`
/// answers a number that is stored first, and the weight expected from it.
pub(crate) fn put_near<T>(
    rows: &[T],
    weight: impl Fn(&T) -> f64 + Copy,
    near: impl Fn(&T) -> (Option<u64>, f64),
    out: &mut Vec<u8>,
) where
    T: Records,
{
    let records: Vec<u64> = rows.iter().map(Records::records).collect();
    let weights = rows.iter().map(|row| finite(weight(row)));
    if put_whole(weights.clone(), &records, out) {
        return;
    }
    let mut stored = Vec::new();
    for (row, weight) in rows.iter().zip(weights.clone()) {
        let (number, expected) = near(row);
        number.into_iter().for_each(|number| put(&mut stored, number));
        put(&mut stored, zigzag64(weight.to_bits(), expected.to_bits()));
    }
    // Shorter than half of them as they are, or than a list of distinct ones.
    if stored.len() > rows.len() * 5 {
        return put_fractions(weights, out);
    }
    out.push(mode::NEAR);
    out.append(&mut stored);
}

/// A row that stands on a number of records.
pub(crate) trait Records {
    /// How many.
    fn records(&self) -> u64;
}

/// A number, 0 for what is none: bits of those differ between machines.
pub(crate) fn finite(weight: f64) -> f64 {
    if weight.is_finite() { weight } else { 0.0 }
}

/// Appends weights that are whole numbers; `false` where they are not.
fn put_whole(weights: impl Iterator<Item = f64> + Clone, records: &[u64], out: &mut Vec<u8>) -> bool {
    let is_whole = |weight: f64| {
        (0.0..=MAX_WHOLE).contains(&weight) && (weight as u64 as f64).to_bits() == weight.to_bits()
    };
    if weights.clone().all(|weight| weight.to_bits() == 0) {
        out.push(mode::ZERO);
    } else if !weights.clone().all(is_whole) {
        return false;
    } else if weights.clone().map(|weight| weight as u64).eq(records.iter().copied()) {
        out.push(mode::RECORDS);
    } else {
        out.push(mode::WHOLE);
        weights.for_each(|weight| put(out, weight as u64));
    }
    true
}

/// Appends weights as they are, or as places in a list of the distinct ones where most are repeated.
fn put_fractions(weights: impl Iterator<Item = f64> + Clone, out: &mut Vec<u8>) {
    let mut distinct = Distinct::new();
    let places: Vec<u32> = weights.clone().map(|weight| distinct.number(Bits(weight.to_bits()))).collect();
    if distinct.values.len() * 2 > places.len() {
        out.push(mode::RAW);
        weights.for_each(|weight| out.extend_from_slice(&weight.to_bits().to_le_bytes()));
        return;
    }
    out.push(mode::DISTINCT);
    put(out, distinct.values.len() as u64);
    distinct.values.iter().for_each(|bits| out.extend_from_slice(&bits.0.to_le_bytes()));
    places.iter().for_each(|place| put(out, u64::from(*place)));
}

/// Reads one weight per row; `records` as in [`put_weights`].
pub(crate) fn weights<T>(
    source: &mut Source<'_>,
    rows: &mut [T],
    records: impl Fn(&T) -> u64,
    set: impl Fn(&mut T, f64),
) -> Result<(), Malformed> {
    let form = source.byte()?;
    plain(source, form, rows, (records, set))
}

/// Reads what [`put_near`] wrote: `near` answers the weight expected, and takes the number that is stored first from
/// the source where there is one.
pub(crate) fn near<T>(
    source: &mut Source<'_>,
    rows: &mut [T],
    (records, near): (impl Fn(&T) -> u64, impl Fn(&mut Source<'_>, &T) -> Result<f64, Malformed>),
    set: impl Fn(&mut T, f64),
) -> Result<(), Malformed> {
    let form = source.byte()?;
    if form != mode::NEAR {
        return plain(source, form, rows, (records, set));
    }
    for row in rows {
        let expected = near(source, row)?;
        let bits = unzigzag64(source.u64()?, expected.to_bits());
        let weight = f64::from_bits(bits);
        if !weight.is_finite() {
            return Err(source.bad(bits));
        }
        set(row, weight);
    }
    Ok(())
}

fn plain<T>(
    source: &mut Source<'_>,
    form: u8,
    rows: &mut [T],
    (records, set): (impl Fn(&T) -> u64, impl Fn(&mut T, f64)),
) -> Result<(), Malformed> {
    match form {
        mode::ZERO => rows.iter_mut().for_each(|row| set(row, 0.0)),
        mode::WHOLE => {
            for row in rows {
                let value = source.u64()?;
                set(row, whole(source, value)?);
            }
        }
        mode::RAW => {
            for row in rows {
                set(row, weight(source)?);
            }
        }
        mode::DISTINCT => {
            let n = source.count(8)?;
            let distinct = (0..n).map(|_| weight(source)).collect::<Result<Vec<f64>, Malformed>>()?;
            for row in rows {
                let place = source.u64()?;
                let known = usize::try_from(place).ok().and_then(|place| distinct.get(place));
                set(row, *known.ok_or_else(|| source.bad(place))?);
            }
        }
        mode::RECORDS => {
            for row in rows {
                let weight = whole(source, records(row))?;
                set(row, weight);
            }
        }
        other => return Err(source.bad(u64::from(other))),
    }
    Ok(())
}

fn whole(source: &Source<'_>, value: u64) -> Result<f64, Malformed> {
    let weight = value as f64;
    if weight <= MAX_WHOLE { Ok(weight) } else { Err(source.bad(value)) }
}

/// A finite number.
pub(crate) fn weight(source: &mut Source<'_>) -> Result<f64, Malformed> {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(source.take(8)?);
    let bits = u64::from_le_bytes(bytes);
    let weight = f64::from_bits(bits);
    if weight.is_finite() { Ok(weight) } else { Err(source.bad(bits)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(values: &[f64], records: &[u64]) -> (u8, Vec<f64>) {
        let mut out = Vec::new();
        put_weights(values.iter().copied(), records, &mut out);
        let mut rows: Vec<(u64, f64)> = records.iter().map(|n| (*n, -1.0)).collect();
        let mut source = Source::new(&out, "weights");
        weights(&mut source, &mut rows, |row| row.0, |row, weight| row.1 = weight).expect("it was written");
        assert_eq!(source.end(), Ok(()));
        (out[0], rows.into_iter().map(|row| row.1).collect())
    }

    #[test]
    fn every_form_comes_back() {
        let records = [3, 4, 5, 6];
        let cases: [(u8, [f64; 4]); 7] = [
            (mode::ZERO, [0.0; 4]),
            (mode::RECORDS, [3.0, 4.0, 5.0, 6.0]),
            (mode::WHOLE, [3.0, 4.0, 5.0, 7.0]),
            (mode::WHOLE, [MAX_WHOLE, 0.0, 1.0, 2.0]),
            (mode::RAW, [0.1, -0.0, -3.0, 1e300]),
            (mode::RAW, [0.1, 0.2, 0.3, 0.4]),
            (mode::DISTINCT, [0.1, 0.2, 0.1, 0.1]),
        ];
        for (form, values) in cases {
            let (stored_as, back) = stored(&values, &records);
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<u64>>();
            assert_eq!(bits(&back), bits(&values), "{values:?}");
            assert_eq!(stored_as, form, "{values:?}");
        }
    }

    #[test]
    fn what_is_not_finite_is_stored_as_zero() {
        assert_eq!(stored(&[f64::NAN, 1.5, f64::INFINITY], &[0; 3]).1, [0.0, 1.5, 0.0]);
    }

    #[test]
    fn a_weight_that_is_not_finite_is_refused() {
        let mut bytes = Vec::from([mode::RAW]);
        bytes.extend_from_slice(&f64::NAN.to_bits().to_le_bytes());
        let mut source = Source::new(&bytes, "weights");
        assert!(weights(&mut source, &mut [0.0], |_| 0, |row, weight| *row = weight).is_err());
    }

    #[test]
    fn differences_wrap() {
        for (value, before) in [(0, u64::MAX), (u64::MAX, 0), (1 << 63, 0), (5, 5)] {
            assert_eq!(unzigzag64(zigzag64(value, before), before), value);
        }
    }
}
