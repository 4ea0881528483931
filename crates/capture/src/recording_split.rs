//! Splits chunks of a recording that outgrow the format's bounds, so that a reader's memory stays bounded.

use heapray_wire::{Inherited, Peak, RecordingChunk, Slice};

use crate::split::{WEIGHT, ranges};

const MAX_ROWS: usize = RecordingChunk::MAX_ROWS;

/// A part of a chunk, and the number of rows before it.
pub(crate) type Part = (u32, RecordingChunk);

/// The parts, in order, of a chunk that outgrows the bounds; `None` for one that keeps them.
pub(crate) fn parts(chunk: &RecordingChunk) -> Option<Vec<Part>> {
    match chunk {
        RecordingChunk::Texts(rows) => texts(rows),
        RecordingChunk::Frames(rows) => pieces(rows, MAX_ROWS, RecordingChunk::Frames),
        RecordingChunk::Nodes(rows) => pieces(rows, MAX_ROWS, RecordingChunk::Nodes),
        RecordingChunk::Readings(rows) => pieces(rows, MAX_ROWS, RecordingChunk::Readings),
        RecordingChunk::Events(rows) => pieces(rows, RecordingChunk::MAX_EVENTS, RecordingChunk::Events),
        RecordingChunk::Peak(Peak { t_ns, bytes, rows }) => {
            pieces(rows, MAX_ROWS, |rows| RecordingChunk::Peak(Peak { t_ns: *t_ns, bytes: *bytes, rows }))
        }
        RecordingChunk::Inherited(Inherited { parent, rows }) => {
            pieces(rows, MAX_ROWS, |rows| RecordingChunk::Inherited(Inherited { parent: *parent, rows }))
        }
        RecordingChunk::Slice(slice) => slices(slice),
        _ => None,
    }
}

fn pieces<T: Clone>(rows: &[T], most: usize, make: impl Fn(Vec<T>) -> RecordingChunk) -> Option<Vec<Part>> {
    let part = |(i, rows): (usize, &[T])| ((i * most) as u32, make(rows.to_vec()));
    (rows.len() > most).then(|| rows.chunks(most).enumerate().map(part).collect())
}

fn texts(rows: &[String]) -> Option<Vec<Part>> {
    let ranges = ranges(rows.iter().map(|text| text.len() + 16), usize::MAX, WEIGHT);
    let part =
        |range: std::ops::Range<usize>| (range.start as u32, RecordingChunk::Texts(rows[range].to_vec()));
    (ranges.len() > 1).then(|| ranges.into_iter().map(part).collect())
}

/// Parts of one index add up.
fn slices(slice: &Slice) -> Option<Vec<Part>> {
    let n = slice.allocs.len().max(slice.frees.len());
    let part = |i: usize| {
        let (allocs, frees) = (slice.allocs.chunks(MAX_ROWS).nth(i), slice.frees.chunks(MAX_ROWS).nth(i));
        let part = Slice {
            index: slice.index,
            start_ns: slice.start_ns,
            end_ns: slice.end_ns,
            allocs: allocs.unwrap_or_default().to_vec(),
            frees: frees.unwrap_or_default().to_vec(),
        };
        (0, RecordingChunk::Slice(part))
    };
    (n > MAX_ROWS).then(|| (0..n.div_ceil(MAX_ROWS)).map(part).collect())
}

#[cfg(test)]
mod tests {
    use heapray_wire::{AllocRow, LiveRow};

    use super::*;

    #[test]
    fn a_usual_chunk_stays_whole() {
        assert_eq!(parts(&RecordingChunk::Texts(vec!["a".into()])), None);
        assert_eq!(parts(&RecordingChunk::Slice(Slice::default())), None);
        assert_eq!(parts(&RecordingChunk::Events(Vec::new())), None);
    }

    #[test]
    fn a_slice_of_many_rows_is_spread_over_chunks() {
        let allocs = (0..150_000).map(|node| AllocRow { node, ..AllocRow::default() }).collect();
        let frees = (0..70_000).map(|node| LiveRow { node, ..LiveRow::default() }).collect();
        let slice = Slice { index: 3, start_ns: 1, end_ns: 2, allocs, frees };
        let mut back = Slice { index: 3, start_ns: 1, end_ns: 2, ..Slice::default() };
        let all = parts(&RecordingChunk::Slice(slice.clone())).expect("it is large");
        assert_eq!(all.len(), 3);
        for (_, part) in all {
            let RecordingChunk::Slice(part) = part else { panic!("unexpected {part:?}") };
            assert!(part.allocs.len() <= MAX_ROWS && part.frees.len() <= MAX_ROWS);
            back.allocs.extend(part.allocs);
            back.frees.extend(part.frees);
        }
        assert_eq!(back, slice);
    }

    #[test]
    fn a_large_live_set_says_where_each_part_begins() {
        let rows: Vec<LiveRow> = (0..140_000).map(|node| LiveRow { node, ..LiveRow::default() }).collect();
        let all = parts(&RecordingChunk::Peak(Peak { t_ns: 5, bytes: 2.5, rows })).expect("it is large");
        let starts: Vec<u32> = all.iter().map(|(first, _)| *first).collect();
        assert_eq!(starts, [0, 65_536, 131_072]);
    }
}
