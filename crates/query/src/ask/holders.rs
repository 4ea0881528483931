//! `holders`: named places by what they retain.

use crate::answer::{Accumulation, HolderRow, HoldersAnswer};
use crate::{Session, rows, words};
use heapray_heap::{Holder, HolderOptions, holders};

impl Session {
    /// The largest holders.
    pub fn holders(&self, limit: usize) -> HoldersAnswer {
        let options = HolderOptions { limit, ..HolderOptions::default() };
        let whole = self.block_bytes();
        HoldersAnswer {
            process: self.process.clone(),
            holders: holders(&self.heap, &options).into_iter().map(|holder| row(holder, whole)).collect(),
            block_bytes: whole,
            coverage: self.coverage.clone(),
        }
    }
}

fn row(holder: Holder, whole: u64) -> HolderRow {
    HolderRow {
        holder: holder.trail.text,
        kind: words::holder(holder.kind).to_owned(),
        type_name: holder.type_name,
        length: holder.length,
        elements: rows::types(&holder.elements),
        retained_bytes: holder.retained,
        share: rows::share(holder.retained, whole),
        accumulates: holder
            .accumulates
            .map(|(trail, retained_bytes)| Accumulation { place: trail.text, retained_bytes }),
    }
}
