//! Reading a file piece by piece, as the tables in it are asked for.
//!
//! Texts stand in tables, one after another up to the table's end. A table is read as a whole: a system call for each of the
//! names of a library is most of what they cost.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::Range;

use object::read::{ReadCache, ReadRef};

/// A file that is being read. Keeps what was read.
pub struct FileReader {
    cache: ReadCache<File>,
    /// Tables of texts that were read: where they end, and from where on.
    tables: RefCell<BTreeMap<u64, u64>>,
}

impl FileReader {
    /// Reads nothing yet.
    pub fn new(file: File) -> Self {
        Self { cache: ReadCache::new(file), tables: RefCell::default() }
    }

    /// Where to read the table that ends at `end` from, so that `start` is in it: at most twice what was read of it before.
    fn table_start(&self, Range { start, end }: &Range<u64>) -> u64 {
        let mut tables = self.tables.borrow_mut();
        let known = tables.entry(*end).or_insert(*start);
        if start < known {
            *known = (*start).min(known.saturating_sub(end - *known));
        }
        *known
    }
}

impl<'a> ReadRef<'a> for &'a FileReader {
    fn len(self) -> Result<u64, ()> {
        self.cache.len()
    }

    fn read_bytes_at(self, offset: u64, size: u64) -> Result<&'a [u8], ()> {
        self.cache.read_bytes_at(offset, size)
    }

    fn read_bytes_at_until(self, range: Range<u64>, delimiter: u8) -> Result<&'a [u8], ()> {
        if range.start >= range.end || range.end > self.len()? {
            return self.cache.read_bytes_at_until(range, delimiter);
        }
        let start = self.table_start(&range);
        let table = self.cache.read_bytes_at(start, range.end - start)?;
        let text = usize::try_from(range.start - start).ok().and_then(|at| table.get(at..)).ok_or(())?;
        let len = text.iter().position(|byte| *byte == delimiter).ok_or(())?;
        Ok(&text[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_whatever_was_read_before() {
        let path = std::env::temp_dir().join(format!("heapray-texts-{}", std::process::id()));
        let texts: Vec<String> = (0..500).map(|n| "x".repeat(n % 7) + &n.to_string()).collect();
        std::fs::write(&path, texts.join("\0") + "\0").expect("writable");
        let reader = &FileReader::new(File::open(&path).expect("it is there"));
        std::fs::remove_file(&path).expect("removable");
        let end = reader.len().expect("its length is known");
        let mut starts = vec![0];
        starts.extend(texts.iter().scan(0, |at, text| {
            *at += text.len() as u64 + 1;
            Some(*at)
        }));
        // From the middle on, then in all orders.
        for n in (0..500).map(|n| (n * 211 + 250) % 500) {
            let text = reader.read_bytes_at_until(starts[n]..end, 0).expect("it is there");
            assert_eq!(text, texts[n].as_bytes());
            let cut = reader.read_bytes_at_until(starts[n]..starts[n] + texts[n].len() as u64, 0);
            assert_eq!(cut, Err(()), "a text without an end");
        }
        assert!(reader.read_bytes_at_until(end..end + 9, 0).is_err());
        assert!(reader.read_bytes_at_until(0..u64::MAX, 1).is_err());
    }
}
