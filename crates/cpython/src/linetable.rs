//! Line tables: from a position in the code to a source line.
//!
//! Only lines; columns are skipped over. A damaged table answers `None`.

use crate::layouts::LineTable;

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

/// Entries that begin with a byte `1 code:4 length-1:3`, length in code units of two bytes
/// (3.11 and later, `Objects/locations.md`).
fn in_locations(table: &[u8], first_line: i64, offset: u32) -> Option<i64> {
    let mut rest = table;
    let mut end = 0u32;
    let mut line = first_line;
    while let [head, tail @ ..] = rest {
        let code = (head >> 3) & 15;
        end = end.saturating_add((u32::from(head & 7) + 1) * 2);
        line = line.checked_add(match code {
            13 | 14 => signed(tail)?,
            10..=12 => i64::from(code) - 10,
            _ => 0,
        })?;
        if offset < end {
            return (code != 15).then_some(line);
        }
        let next = tail.iter().position(|byte| byte & 0x80 != 0).unwrap_or(tail.len());
        rest = &tail[next..];
    }
    None
}

/// A signed number: six bits a byte, least first, bit 6 continues; bit 0 of the whole is the sign.
fn signed(bytes: &[u8]) -> Option<i64> {
    let mut value = 0u64;
    for (idx, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 63) << (6 * idx);
        if byte & 64 == 0 {
            let magnitude = (value >> 1).cast_signed();
            return Some(if value & 1 == 0 { magnitude } else { -magnitude });
        }
    }
    None
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
    fn damaged_tables_answer_nothing() {
        assert_eq!(line(&[0xf0, 0xff, 0xff], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[], 1, 0, LineTable::Locations), None);
        assert_eq!(line(&[1], 1, 0, LineTable::Deltas), None);
    }
}
