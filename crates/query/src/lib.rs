//! Takes snapshots (files or live bytes, already decoded), answers questions as plain structs.
//!
//! Every number that a user sees is computed here or below. No I/O, no clock.

pub mod answer;
mod error;
mod facts;
mod growth;
mod info;
mod leaks;
mod session;
mod subject;
mod walk;

pub use error::QueryError;
pub use growth::growth;
pub use heapray_heap::Find;
pub use info::info;
pub use leaks::{Leaks, LeaksOptions};
pub use session::Session;
pub use subject::Subject;
pub use walk::Walk;
