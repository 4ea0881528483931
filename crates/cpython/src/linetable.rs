//! Line tables: from a position in the code to a place in the source.
//!
//! A damaged table answers `None`. Columns are in bytes, as the table has them: turning them into characters needs the
//! source text, which is not ours.

use crate::layouts::LineTable;

/// A range of source text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// First line, from 1.
    pub line: u32,
    /// Byte of that line (UTF-8) that the range starts with, from 1; 0 where the table does not say.
    pub column: u32,
    /// Last line, at least `line`.
    pub end_line: u32,
    /// First byte of the last line behind the range, from 1; 0 where the table does not say.
    pub end_column: u32,
}

/// The source range of the instruction at byte offset `lasti`, which `co_positions()` counts from 0 and in characters of
/// a byte each. 3.10 has no columns. Answers as [`line`] otherwise, at the same cost.
pub fn location(table: &[u8], first_line: u32, lasti: i32, format: LineTable) -> Option<Location> {
    let without_columns = |line| Location { line, column: 0, end_line: line, end_column: 0 };
    match (format, u32::try_from(lasti)) {
        (LineTable::Locations, Ok(offset)) => {
            let (entry, line) = entry_at(table, first_line.into(), offset)?;
            let line = u32::try_from(line).ok()?;
            columns(entry, line)
        }
        _ => line(table, first_line, lasti, format).map(without_columns),
    }
}

/// The line of the instruction at byte offset `lasti`; `first_line` where that is negative (not begun),
/// `None` where the instruction has no line or the table does not reach it. Cost: linear in the table.
pub fn line(table: &[u8], first_line: u32, lasti: i32, format: LineTable) -> Option<u32> {
    let Ok(offset) = u32::try_from(lasti) else { return Some(first_line) };
    let start = i64::from(first_line);
    let line = match format {
        LineTable::Deltas => in_deltas(table, start, offset),
        LineTable::Locations => in_locations(table, start, offset),
    }?;
    u32::try_from(line).ok()
}

/// Pairs (bytes of code, signed line delta); delta -128 means no line (3.10, `Objects/lnotab_notes.txt`).
fn in_deltas(table: &[u8], first_line: i64, offset: u32) -> Option<i64> {
    let mut end = 0u32;
    let mut line = first_line;
    for pair in table.chunks_exact(2) {
        let delta = pair[1].cast_signed();
        end = end.saturating_add(pair[0].into());
        if delta != -128 {
            line += i64::from(delta);
        }
        if offset < end {
            return (delta != -128).then_some(line);
        }
    }
    None
}

/// See [`entry_at`].
fn in_locations(table: &[u8], first_line: i64, offset: u32) -> Option<i64> {
    entry_at(table, first_line, offset).map(|(_, line)| line)
}

/// The table from the entry of `offset` on, and its line; `None` where it has none.
///
/// Entries begin with a byte `1 code:4 length-1:3`, length in code units of two bytes
/// (3.11 and later, `Objects/locations.md`).
fn entry_at(table: &[u8], first_line: i64, offset: u32) -> Option<(&[u8], i64)> {
    let mut rest = table;
    let mut end = 0u32;
    let mut line = first_line;
    while let [head, tail @ ..] = rest {
        let code = (head >> 3) & 15;
        end = end.saturating_add((u32::from(head & 7) + 1) * 2);
        line = line.checked_add(match code {
            13 | 14 => signed(tail)?.0,
            10..=12 => i64::from(code) - 10,
            _ => 0,
        })?;
        if offset < end {
            return (code != 15).then_some((rest, line));
        }
        let next = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
        rest = &tail[next..];
    }
    None
}

/// The columns of an entry that begins with `line`; `None` where the entry is cut off.
fn columns(entry: &[u8], line: u32) -> Option<Location> {
    let [head, tail @ ..] = entry else { return None };
    let (column, end_line, end_column) = match ((head >> 3) & 15, tail) {
        (code @ 0..=9, [byte, ..]) => {
            let column = u32::from(code) * 8 + u32::from(byte >> 4 & 7) + 1;
            (column, line, column + u32::from(byte & 15))
        }
        (10..=12, [column, end_column, ..]) => (u32::from(*column) + 1, line, u32::from(*end_column) + 1),
        (13, _) => (0, line, 0),
        (14, _) => {
            let (_, rest) = signed(tail)?;
            let (more_lines, rest) = number(rest)?;
            let (column, rest) = number(rest)?;
            let (end_column, _) = number(rest)?;
            // Columns are stored from 1 here, 0 for none.
            let end_line = line.checked_add(u32::try_from(more_lines).ok()?)?;
            (u32::try_from(column).ok()?, end_line, u32::try_from(end_column).ok()?)
        }
        _ => return None,
    };
    Some(Location { line, column, end_line, end_column })
}

/// A number, and what follows it: six bits a byte, least first, bit 6 continues.
fn number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (idx, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 63) << (6 * idx);
        if byte & 64 == 0 {
            return Some((value, &bytes[idx + 1..]));
        }
    }
    None
}

/// A [`number`] whose bit 0 is the sign.
fn signed(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (value, rest) = number(bytes)?;
    let magnitude = (value >> 1).cast_signed();
    Some((if value & 1 == 0 { magnitude } else { -magnitude }, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_skip_ranges_without_a_line() {
        // co_lines() of 3.10: 0..4 line 10, 4..6 no line, 6..8 line 12.
        let table = [4, 0, 2, 0x80, 2, 2];
        let at = |lasti| line(&table, 10, lasti, LineTable::Deltas);
        assert_eq!(
            [at(-2), at(0), at(3), at(4), at(6), at(8)],
            [Some(10), Some(10), Some(10), None, Some(12), None]
        );
    }

    #[test]
    fn locations_add_up_line_deltas_of_every_form() {
        // One unit each: short form, one-line form +2, no column -1, long form +70, none.
        let table = [0x80, 0x11, 0xd8, 0, 0, 0xe8, 3, 0xf0, 0x4c, 2, 0, 1, 1, 0xf8];
        let at = |unit: i32| line(&table, 5, unit * 2, LineTable::Locations);
        assert_eq!(
            [at(0), at(1), at(2), at(3), at(4), at(5)],
            [Some(5), Some(6), Some(5), Some(75), None, None]
        );
    }

    #[test]
    fn locations_have_columns_of_every_form() {
        // One unit each: short form 8..11, one-line form +1 column 20..30, no column, long form +3 lines, none.
        let table = [0x88, 0x03, 0xd8, 20, 30, 0xe8, 0, 0xf0, 2, 3, 5, 7, 0xf8];
        let at = |unit: i32| {
            let found = location(&table, 5, unit * 2, LineTable::Locations);
            found.map(|place| [place.line, place.column, place.end_line, place.end_column])
        };
        let expected = [[5, 9, 5, 12], [6, 21, 6, 31], [6, 0, 6, 0], [7, 5, 10, 7]];
        assert_eq!([at(0), at(1), at(2), at(3)], expected.map(Some));
        assert_eq!([at(4), at(5)], [None, None]);
        assert_eq!(at(-1), Some([5, 0, 5, 0]));
        assert_eq!(location(&[0xd8, 20], 5, 0, LineTable::Locations), None);
        let old = location(&[4, 2], 5, 0, LineTable::Deltas).map(|place| [place.line, place.column]);
        assert_eq!(old, Some([7, 0]));
    }

    #[test]
    fn damaged_tables_answer_nothing() {
        assert_eq!(line(&[0xf0, 0xff, 0xff], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[1], 1, 0, LineTable::Deltas), None);
    }
}
