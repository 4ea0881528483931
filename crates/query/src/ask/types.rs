//! `types`: objects by type.

use crate::Session;
use crate::answer::{TypeLine, TypesAnswer};
pub use heapray_heap::TypeOrder;
use heapray_heap::{TypeUsage, types};

impl Session {
    /// The first types of an order.
    pub fn types(&self, order: TypeOrder, limit: usize) -> TypesAnswer {
        let all = types(&self.heap, order);
        let sum = |of: fn(&TypeUsage) -> u64| all.iter().map(of).fold(0, u64::saturating_add);
        TypesAnswer {
            process: self.process.clone(),
            types: all.iter().take(limit).map(line).collect(),
            n_types: all.len() as u64,
            n_objects: sum(|t| t.count),
            shallow_bytes: sum(|t| t.shallow_bytes),
            block_bytes: sum(|t| t.block_bytes),
            coverage: self.coverage.clone(),
        }
    }
}

fn line(usage: &TypeUsage) -> TypeLine {
    TypeLine {
        name: usage.name.clone(),
        count: usage.count,
        n_untracked: usage.count.saturating_sub(usage.tracked),
        shallow_bytes: usage.shallow_bytes,
        block_bytes: usage.block_bytes,
        retained_bytes: usage.retained_bytes,
    }
}
