//! Takes snapshots (files or live bytes, already decoded), answers questions as plain structs.
//!
//! Every number that a user sees is computed here or below. No I/O, no clock.

pub mod answer;
mod ask;
mod error;
mod facts;
mod identity;
mod info;
mod leaks;
mod recording;
mod resolve;
mod rows;
mod session;
mod subject;
mod walk;
mod words;

pub use ask::{Comparison, TypeOrder, growth};
pub use error::QueryError;
pub use heapray_heap::Find;
pub use info::info;
pub use leaks::{EXTRA_SNAPSHOTS, Leaks, LeaksOptions};
pub use recording::{
    AllocationOptions, Allocations, Charge, Detail, GroupBy, TIMELINE_STEPS, Time, Top, TopOrder, TreeCut,
    Watch, WatchBy, What, diff, recording_info,
};
pub use session::Session;
pub use subject::Subject;
pub use walk::Walk;
