//! What a process allocated and freed, slice by slice, packed as in the file.
//!
//! Rows are most of a recording: some 8 bytes each as the file encodes them, 60 to 70 as values. So they are decoded
//! when they are asked for, one slice at a time.

use heapray_wire::{NO_NODE, RecordingChunk, Slice, kind};

use crate::recording_split::parts;

/// Slices by rising number, at most one each.
///
/// ```
/// use heapray_capture::Slices;
/// use heapray_wire::Slice;
///
/// let slices: Slices = [3, 5].map(|index| Slice { index, ..Slice::default() }).into_iter().collect();
/// assert_eq!(slices.get(5).map(|slice| slice.index), Some(5));
/// assert_eq!(slices.iter().count(), 2);
/// ```
#[derive(Clone, Default)]
pub struct Slices(Vec<Packed>);

/// One slice.
#[derive(Clone)]
struct Packed {
    index: u32,
    /// What its rows refer to.
    ids: Ids,
    /// Chunks of the file, checked: many rows are spread over several.
    parts: Vec<Box<[u8]>>,
}

/// The largest ids that rows refer to.
#[derive(Clone, Copy, Default)]
struct Ids {
    /// Behind the largest; 0 where no row has a stack.
    node_end: u32,
    birth: u32,
}

impl Slices {
    /// Number of slices that are there.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// None is there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The number of the last one.
    pub fn last_index(&self) -> Option<u32> {
        self.0.last().map(|packed| packed.index)
    }

    /// All of them in order, decoded one by one.
    pub fn iter(&self) -> SliceIter<'_> {
        SliceIter(self.0.iter())
    }

    /// The slice of this number. O(log n) and decoding.
    pub fn get(&self, index: u32) -> Option<Slice> {
        let at = self.0.binary_search_by_key(&index, |packed| packed.index).ok()?;
        Some(self.0[at].slice())
    }

    /// Adds a slice, or rows to the last one; `raw` is the chunk that `slice` was decoded from. An error says why it
    /// is left out.
    pub(crate) fn push(&mut self, slice: &Slice, raw: &[u8]) -> Result<(), &'static str> {
        let ids = Ids::of(slice);
        match self.0.last_mut() {
            Some(last) if last.index == slice.index => {
                last.ids = last.ids.max(ids);
                last.parts.push(raw.into());
            }
            Some(last) if last.index > slice.index => return Err("goes back in time"),
            _ => self.0.push(Packed { index: slice.index, ids, parts: vec![raw.into()] }),
        }
        Ok(())
    }

    /// Calls `mend` with each part of a slice that refers to a node from `n_nodes` on, or to a birth after itself.
    pub(crate) fn mend(&mut self, n_nodes: u32, mut mend: impl FnMut(&mut Slice)) {
        let wrong = |packed: &&mut Packed| packed.ids.node_end > n_nodes || packed.ids.birth > packed.index;
        for packed in self.0.iter_mut().filter(wrong) {
            for part in &mut packed.parts {
                let mut slice = decoded(part);
                mend(&mut slice);
                *part = encoded(&RecordingChunk::Slice(slice));
            }
        }
    }
}

impl Packed {
    fn slice(&self) -> Slice {
        let mut parts = self.parts.iter().map(|part| decoded(part));
        let mut slice = parts.next().unwrap_or_default();
        for part in parts {
            slice.allocs.extend(part.allocs);
            slice.frees.extend(part.frees);
        }
        slice
    }
}

impl Ids {
    fn of(slice: &Slice) -> Self {
        let nodes = slice.allocs.iter().map(|row| row.node).chain(slice.frees.iter().map(|row| row.node));
        let node_end = nodes.filter(|node| *node != NO_NODE).map(|node| node + 1).max().unwrap_or(0);
        Self { node_end, birth: slice.frees.iter().map(|row| row.birth).max().unwrap_or(0) }
    }

    fn max(self, other: Self) -> Self {
        Self { node_end: self.node_end.max(other.node_end), birth: self.birth.max(other.birth) }
    }
}

fn decoded(raw: &[u8]) -> Slice {
    match RecordingChunk::decode(kind::SLICE, raw) {
        Ok(RecordingChunk::Slice(slice)) => slice,
        _ => unreachable!("it was decoded when it came"),
    }
}

fn encoded(chunk: &RecordingChunk) -> Box<[u8]> {
    let mut raw = Vec::new();
    chunk.encode(&mut raw);
    raw.into()
}

/// Decodes one slice after the other.
pub struct SliceIter<'a>(std::slice::Iter<'a, Packed>);

impl Iterator for SliceIter<'_> {
    type Item = Slice;

    fn next(&mut self) -> Option<Slice> {
        self.0.next().map(Packed::slice)
    }
}

impl<'a> IntoIterator for &'a Slices {
    type Item = Slice;
    type IntoIter = SliceIter<'a>;

    fn into_iter(self) -> SliceIter<'a> {
        self.iter()
    }
}

impl FromIterator<Slice> for Slices {
    /// # Panics
    /// Where numbers do not rise.
    fn from_iter<T: IntoIterator<Item = Slice>>(slices: T) -> Self {
        let mut all = Self::default();
        for slice in slices {
            let chunk = RecordingChunk::Slice(slice);
            let parts = parts(&chunk).map(|parts| parts.into_iter().map(|(_, part)| part).collect());
            for part in parts.unwrap_or_else(|| vec![chunk]) {
                let raw = encoded(&part);
                all.push(&decoded(&raw), &raw).expect("numbers rise");
            }
        }
        all
    }
}

impl PartialEq for Slices {
    /// By value: the same rows may be packed in several ways.
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl std::fmt::Debug for Slices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
