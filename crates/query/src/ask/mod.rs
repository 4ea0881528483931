//! The questions, one file each.

mod chain;
mod cycles;
mod find;
mod growth;
mod holders;
mod picture;
mod refs;
mod types;
mod why;

pub use growth::growth;
pub use types::TypeOrder;
