//! `find`: objects that an expression selects.

use crate::answer::FindAnswer;
use crate::{Session, rows};
use heapray_heap::Find;

impl Session {
    /// Matching objects, those that retain most first. `text` is what `query` was parsed from.
    pub fn find(&self, text: &str, query: &Find, limit: usize) -> FindAnswer {
        let mut found = query.eval(&self.heap);
        let tables = self.heap.tables();
        let block_bytes = found.iter().map(|node| tables.block(*node)).fold(0, u64::saturating_add);
        let n_matches = found.len() as u64;
        found.sort_by_key(|node| (std::cmp::Reverse(self.heap.retained(*node)), *node));
        FindAnswer {
            process: self.process.clone(),
            expression: text.trim().to_owned(),
            n_matches,
            block_bytes,
            objects: found.iter().take(limit).map(|node| rows::object(&self.heap, *node)).collect(),
            coverage: self.coverage.clone(),
        }
    }
}
