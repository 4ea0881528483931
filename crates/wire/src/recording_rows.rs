//! Frames, stacks, slices, live sets, readings, sizes and ends of a recording, in columns.

use alloc::vec;
use alloc::vec::Vec;

use crate::bytes::{Source, put, put_optional, put_text};
use crate::columns::{differences, ids, put_differences, put_ids, put_weights, weights};
use crate::columns::{unzigzag64, weight, zigzag64};
use crate::estimates::{self, Estimate, Estimated};
use crate::malformed::Malformed;
use crate::model::{NO_NODE, NO_STRING};
use crate::recording::{
    AllocRow, FrameKind, FrameRow, Inherited, LiveRow, Peak, Reading, SizesRow, Slice, StackRow, TaskEnd,
};

/// Most rows of one chunk; `capture`'s writer makes several out of more.
pub(crate) const MAX_ROWS: usize = 1 << 16;

/// Most rows of sizes: one for each number of an allocator.
const MAX_SIZES_ROWS: usize = 1 << 8;

/// A number of rows of at least `min_bytes` each.
fn n_rows(source: &mut Source<'_>, min_bytes: usize) -> Result<usize, Malformed> {
    let n = source.count(min_bytes)?;
    if n > MAX_ROWS { Err(source.bad(n as u64)) } else { Ok(n) }
}

fn put_n_rows(n: usize, out: &mut Vec<u8>) {
    assert!(n <= MAX_ROWS, "chunk over capacity");
    put(out, n as u64);
}

pub(crate) fn put_frames(frames: &[FrameRow], out: &mut Vec<u8>) {
    put_n_rows(frames.len(), out);
    frames.iter().for_each(|row| out.push(row.kind as u8));
    frames.iter().for_each(|row| put_optional(out, row.function));
    frames.iter().for_each(|row| put_optional(out, row.file));
    frames.iter().for_each(|row| put(out, u64::from(row.line)));
    frames.iter().for_each(|row| put(out, u64::from(row.column)));
    frames.iter().for_each(|row| put(out, u64::from(row.end_line)));
    frames.iter().for_each(|row| put(out, u64::from(row.end_column)));
    frames.iter().for_each(|row| put(out, u64::from(row.first_line)));
}

pub(crate) fn frames(source: &mut Source<'_>) -> Result<Vec<FrameRow>, Malformed> {
    let n = n_rows(source, 8)?;
    let mut frames = vec![FrameRow::LOST; n];
    for row in &mut frames {
        row.kind = FrameKind::from_byte(source.byte()?).unwrap_or(FrameKind::Cut);
    }
    frames.iter_mut().try_for_each(|row| source.optional().map(|id| row.function = id))?;
    frames.iter_mut().try_for_each(|row| source.optional().map(|id| row.file = id))?;
    frames.iter_mut().try_for_each(|row| source.u32().map(|value| row.line = value))?;
    frames.iter_mut().try_for_each(|row| source.u32().map(|value| row.column = value))?;
    frames.iter_mut().try_for_each(|row| source.u32().map(|value| row.end_line = value))?;
    frames.iter_mut().try_for_each(|row| source.u32().map(|value| row.end_column = value))?;
    frames.iter_mut().try_for_each(|row| source.u32().map(|value| row.first_line = value))?;
    Ok(frames)
}

impl FrameRow {
    /// Stands for a frame that is lost: a cut without a text.
    pub const LOST: Self = Self {
        kind: FrameKind::Cut,
        function: NO_STRING,
        file: NO_STRING,
        line: 0,
        column: 0,
        end_line: 0,
        end_column: 0,
        first_line: 0,
    };
}

pub(crate) fn put_stacks(nodes: &[StackRow], out: &mut Vec<u8>) {
    put_n_rows(nodes.len(), out);
    put_ids(nodes.iter().map(|row| row.parent), out);
    put_ids(nodes.iter().map(|row| row.frame), out);
}

pub(crate) fn stacks(source: &mut Source<'_>) -> Result<Vec<StackRow>, Malformed> {
    let n = n_rows(source, 2)?;
    let mut nodes = vec![StackRow { parent: NO_NODE, frame: 0 }; n];
    ids(source, &mut nodes, |row, id| row.parent = id)?;
    ids(source, &mut nodes, |row, id| row.frame = id)?;
    Ok(nodes)
}

pub(crate) fn put_slice(slice: &Slice, out: &mut Vec<u8>) {
    put(out, u64::from(slice.index));
    put(out, slice.start_ns);
    put(out, slice.end_ns.wrapping_sub(slice.start_ns));
    put_allocs(&slice.allocs, out);
    put_live(&slice.frees, slice.index, out);
}

pub(crate) fn slice(source: &mut Source<'_>) -> Result<Slice, Malformed> {
    let index = source.u32()?;
    if index >= Slice::MAX {
        return Err(source.bad(u64::from(index)));
    }
    let start_ns = source.u64()?;
    let end_ns = start_ns.wrapping_add(source.u64()?);
    Ok(Slice { index, start_ns, end_ns, allocs: allocs(source)?, frees: live(source, index)? })
}

fn put_allocs(rows: &[AllocRow], out: &mut Vec<u8>) {
    put_n_rows(rows.len(), out);
    put_ids(rows.iter().map(|row| row.node), out);
    rows.iter().for_each(|row| out.push(row.allocator));
    let estimates: Vec<Estimate> = rows.iter().map(Estimated::estimate).collect();
    estimates::put(&estimates, out);
    let records: Vec<u64> = rows.iter().map(|row| row.n_records).collect();
    put_weights(rows.iter().map(|row| row.temporary_count), &records, out);
    put_weights(rows.iter().map(|row| row.temporary_bytes), &records, out);
}

fn allocs(source: &mut Source<'_>) -> Result<Vec<AllocRow>, Malformed> {
    let n = n_rows(source, 3)?;
    let mut rows = vec![AllocRow::default(); n];
    ids(source, &mut rows, |row, id| row.node = id)?;
    rows.iter_mut().try_for_each(|row| source.byte().map(|byte| row.allocator = byte))?;
    estimates::read(source, &mut rows)?;
    let records = |row: &AllocRow| row.n_records;
    weights(source, &mut rows, records, |row, weight| row.temporary_count = weight)?;
    weights(source, &mut rows, records, |row, weight| row.temporary_bytes = weight)?;
    Ok(rows)
}

/// Appends rows whose births are stored as distances before slice `now`.
fn put_live(rows: &[LiveRow], now: u32, out: &mut Vec<u8>) {
    put_n_rows(rows.len(), out);
    put_ids(rows.iter().map(|row| row.node), out);
    rows.iter().for_each(|row| out.push(row.allocator));
    rows.iter().for_each(|row| put(out, u64::from(now.wrapping_sub(row.birth))));
    let estimates: Vec<Estimate> = rows.iter().map(Estimated::estimate).collect();
    estimates::put(&estimates, out);
}

fn live(source: &mut Source<'_>, now: u32) -> Result<Vec<LiveRow>, Malformed> {
    let n = n_rows(source, 4)?;
    let mut rows = vec![LiveRow::default(); n];
    ids(source, &mut rows, |row, id| row.node = id)?;
    rows.iter_mut().try_for_each(|row| source.byte().map(|byte| row.allocator = byte))?;
    rows.iter_mut().try_for_each(|row| source.u32().map(|age| row.birth = now.wrapping_sub(age)))?;
    estimates::read(source, &mut rows)?;
    Ok(rows)
}

/// Appends a live set: the last birth, then the rows.
fn put_live_set(rows: &[LiveRow], out: &mut Vec<u8>) {
    let now = rows.iter().map(|row| row.birth).max().unwrap_or(0);
    put(out, u64::from(now));
    put_live(rows, now, out);
}

fn live_set(source: &mut Source<'_>) -> Result<Vec<LiveRow>, Malformed> {
    let now = source.u32()?;
    live(source, now)
}

pub(crate) fn put_peak(peak: &Peak, out: &mut Vec<u8>) {
    put(out, peak.t_ns);
    put_weight(peak.bytes, out);
    put_live_set(&peak.rows, out);
}

pub(crate) fn peak(source: &mut Source<'_>) -> Result<Peak, Malformed> {
    Ok(Peak { t_ns: source.u64()?, bytes: weight(source)?, rows: live_set(source)? })
}

pub(crate) fn put_inherited(inherited: &Inherited, out: &mut Vec<u8>) {
    put(out, u64::from(inherited.parent));
    put_live_set(&inherited.rows, out);
}

pub(crate) fn inherited(source: &mut Source<'_>) -> Result<Inherited, Malformed> {
    Ok(Inherited { parent: source.u32()?, rows: live_set(source)? })
}

fn put_weight(weight: f64, out: &mut Vec<u8>) {
    let weight = if weight.is_finite() { weight } else { 0.0 };
    out.extend_from_slice(&weight.to_bits().to_le_bytes());
}

pub(crate) fn put_readings(rows: &[Reading], out: &mut Vec<u8>) {
    put_n_rows(rows.len(), out);
    put_differences(rows.iter().map(|row| row.t_ns), out);
    put_differences(rows.iter().map(|row| row.rss_bytes), out);
    put_differences(rows.iter().map(|row| row.cgroup_bytes), out);
    put_differences(rows.iter().map(|row| row.cgroup_limit_bytes), out);
    put_weights(rows.iter().map(|row| row.live_bytes), &vec![0; rows.len()], out);
}

pub(crate) fn readings(source: &mut Source<'_>) -> Result<Vec<Reading>, Malformed> {
    let n = n_rows(source, 4)?;
    let mut rows = vec![Reading::default(); n];
    differences(source, &mut rows, |row, value| row.t_ns = value)?;
    differences(source, &mut rows, |row, value| row.rss_bytes = value)?;
    differences(source, &mut rows, |row, value| row.cgroup_bytes = value)?;
    differences(source, &mut rows, |row, value| row.cgroup_limit_bytes = value)?;
    weights(source, &mut rows, |_| 0, |row, weight| row.live_bytes = weight)?;
    Ok(rows)
}

pub(crate) fn put_sizes(rows: &[SizesRow], out: &mut Vec<u8>) {
    assert!(rows.len() <= MAX_SIZES_ROWS, "more rows than allocators");
    put(out, rows.len() as u64);
    for row in rows {
        let n = row.buckets.iter().rposition(|n| n.to_bits() != 0).map_or(0, |last| last + 1);
        assert!(n <= SizesRow::N_BUCKETS, "too many buckets");
        out.push(row.allocator);
        put(out, n as u64);
        let figures = row.buckets[..n].iter().copied().chain([row.count, row.bytes]);
        put_weights(figures, &[], out);
    }
}

pub(crate) fn sizes(source: &mut Source<'_>) -> Result<Vec<SizesRow>, Malformed> {
    let n = source.count(3)?;
    if n > MAX_SIZES_ROWS {
        return Err(source.bad(n as u64));
    }
    // A row is 64 weights in memory, so it is made only when it is there.
    let mut rows = Vec::new();
    for _ in 0..n {
        let allocator = source.byte()?;
        let n = source.u16()?;
        if usize::from(n) > SizesRow::N_BUCKETS {
            return Err(source.bad(u64::from(n)));
        }
        let mut figures = vec![0.0; usize::from(n) + 2];
        weights(source, &mut figures, |_| 0, |figure, weight| *figure = weight)?;
        let bytes = figures.pop().unwrap_or_default();
        let count = figures.pop().unwrap_or_default();
        figures.resize(SizesRow::N_BUCKETS, 0.0);
        rows.push(SizesRow { allocator, buckets: figures, count, bytes });
    }
    Ok(rows)
}

pub(crate) fn put_end(end: &TaskEnd, out: &mut Vec<u8>) {
    put(out, end.t_ns);
    put_text(out, &end.reason);
    put(out, zigzag64(i64::from(end.code) as u64, 0));
}

pub(crate) fn end(source: &mut Source<'_>) -> Result<TaskEnd, Malformed> {
    let (t_ns, reason) = (source.u64()?, source.text()?);
    let code = unzigzag64(source.u64()?, 0);
    let code = i32::try_from(code as i64).map_err(|_| source.bad(code))?;
    Ok(TaskEnd { t_ns, reason, code })
}
