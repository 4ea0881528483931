//! Line tables: from a position in the code to a place in the source.
//!
//! A damaged table answers `None`. Columns are in bytes, as the table has them: turning them into characters needs the
//! source text, which is not ours.

use alloc::vec::Vec;

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

/// Places in a table at which a search can begin, as far as it has been read: a module's table is long, and its instructions
/// are asked for one after the other. Takes a quarter of the table's memory.
#[derive(Clone, Debug, Default)]
pub struct Marks(Vec<Cursor>);

/// Bytes of a table between marks.
const MARK_BYTES: u32 = 64;

/// How far a table was read.
#[derive(Clone, Copy, Debug, Default)]
struct Cursor {
    /// Byte of the table at which the next entry begins.
    at: u32,
    /// Byte of the code with which it begins.
    offset: u32,
    /// Lines from the first one to that of the entry before.
    lines: i64,
}

/// The source range of the instruction at byte offset `lasti`, which `co_positions()` counts from 0 and in characters of
/// a byte each. 3.10 has no columns. Answers as [`line`] otherwise, at the same cost.
pub fn location(table: &[u8], first_line: u32, lasti: i32, format: LineTable) -> Option<Location> {
    location_from(&mut Marks::default(), table, (first_line, lasti), format)
}

/// As [`location`], with the marks of the same table: once they reach behind an instruction, its search costs O(log table).
pub fn location_from(
    marks: &mut Marks,
    table: &[u8],
    (first_line, lasti): (u32, i32),
    format: LineTable,
) -> Option<Location> {
    let without_columns = |line| Location { line, column: 0, end_line: line, end_column: 0 };
    match (format, u32::try_from(lasti)) {
        (LineTable::Locations, Ok(offset)) => {
            let (entry, line) = entry_at(marks, table, first_line.into(), offset)?;
            let line = u32::try_from(line).ok()?;
            columns(entry, line)
        }
        _ => line_from(marks, table, (first_line, lasti), format).map(without_columns),
    }
}

/// The line of the instruction at byte offset `lasti`; `first_line` where that is negative (not begun),
/// `None` where the instruction has no line or the table does not reach it. Cost: linear in the table.
pub fn line(table: &[u8], first_line: u32, lasti: i32, format: LineTable) -> Option<u32> {
    line_from(&mut Marks::default(), table, (first_line, lasti), format)
}

fn line_from(
    marks: &mut Marks,
    table: &[u8],
    (first_line, lasti): (u32, i32),
    format: LineTable,
) -> Option<u32> {
    let Ok(offset) = u32::try_from(lasti) else { return Some(first_line) };
    let start = i64::from(first_line);
    let line = match format {
        LineTable::Deltas => in_deltas(marks, table, start, offset),
        LineTable::Locations => entry_at(marks, table, start, offset).map(|(_, line)| line),
    }?;
    u32::try_from(line).ok()
}

/// Pairs (bytes of code, signed line delta); delta -128 means no line (3.10, `Objects/lnotab_notes.txt`).
fn in_deltas(marks: &mut Marks, table: &[u8], first_line: i64, offset: u32) -> Option<i64> {
    let mut cursor = marks.before(offset);
    while let Some(&[bytes, delta]) = table.get(cursor.at as usize..)?.first_chunk() {
        let delta = delta.cast_signed();
        let lines = if delta == -128 { 0 } else { i64::from(delta) };
        let end = cursor.offset.saturating_add(bytes.into());
        if offset < end {
            return (delta != -128).then_some(first_line + cursor.lines + lines);
        }
        cursor = Cursor { at: cursor.at + 2, offset: end, lines: cursor.lines + lines };
        marks.pass(cursor);
    }
    None
}

/// The table from the entry of `offset` on, and its line; `None` where it has none.
///
/// Entries begin with a byte `1 code:4 length-1:3`, length in code units of two bytes
/// (3.11 and later, `Objects/locations.md`).
fn entry_at<'a>(marks: &mut Marks, table: &'a [u8], first_line: i64, offset: u32) -> Option<(&'a [u8], i64)> {
    let mut cursor = marks.before(offset);
    while let rest @ [head, tail @ ..] = table.get(cursor.at as usize..)? {
        let code = (head >> 3) & 15;
        let end = cursor.offset.saturating_add((u32::from(head & 7) + 1) * 2);
        let lines = cursor.lines.checked_add(match code {
            13 | 14 => signed(tail)?.0,
            10..=12 => i64::from(code) - 10,
            _ => 0,
        })?;
        if offset < end {
            return (code != 15).then_some((rest, first_line.checked_add(lines)?));
        }
        let next = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
        cursor = Cursor { at: cursor.at + 1 + next as u32, offset: end, lines };
        marks.pass(cursor);
    }
    None
}

impl Marks {
    /// The last known place whose entry does not begin behind `offset`.
    fn before(&self, offset: u32) -> Cursor {
        let n_before = self.0.partition_point(|mark| mark.offset <= offset);
        n_before.checked_sub(1).map_or(Cursor::default(), |last| self.0[last])
    }

    /// The search comes by here.
    #[inline]
    fn pass(&mut self, cursor: Cursor) {
        if cursor.at >= self.0.last().map_or(0, |mark| mark.at) + MARK_BYTES {
            self.0.push(cursor);
        }
    }
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
    fn marks_change_no_answer() {
        let locations = [0x88, 0x03, 0xd8, 20, 30, 0xe8, 0, 0xf0, 2, 3, 5, 7, 0xf8, 0x80, 0x11].repeat(40);
        let deltas = [4, 0, 2, 0x80, 2, 2].repeat(100);
        let lastis = [0, 2, 2, 8, 300, 6, 20, 3, -1, 10, 398, 400, 799, 8, 0, 4, 250, 9999, 398];
        for (table, format) in [
            (&locations[..], LineTable::Locations),
            (&deltas[..], LineTable::Deltas),
            (&[][..], LineTable::Deltas),
        ] {
            let mut marks = Marks::default();
            for lasti in lastis {
                let found = location_from(&mut marks, table, (5, lasti), format);
                assert_eq!(found, location(table, 5, lasti, format), "{format:?} {lasti}");
            }
        }
    }

    #[test]
    fn damaged_tables_answer_nothing() {
        assert_eq!(line(&[0xf0, 0xff, 0xff], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[1], 1, 0, LineTable::Deltas), None);
    }
}
