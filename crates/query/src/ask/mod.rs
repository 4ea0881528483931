//! The questions, one file each.

mod chain;
mod cycles;
mod find;
mod growth;
mod growth_by_name;
mod holders;
mod picture;
mod refs;
mod types;
mod why;

pub use growth::{Comparison, growth};
pub use types::TypeOrder;
