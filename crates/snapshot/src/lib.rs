//! Walks the memory of a frozen copy (or a core file) into nodes, edges, roots and sizes.
//!
//! No unsafe, no I/O but [`heapray_cpython::Memory`], no clock. The same walk serves a live copy, a target held in
//! place and a core file. What cannot be read is skipped and counted, never guessed.
//!
//! The passes: [`discover`] marks every object that the collector, the roots and their references lead to; the
//! [`census`] of all blocks finds the objects that nothing exact refers to; [`emit`] writes them in address order
//! and counts references; [`roots`] and [`holders`] write what holds them from outside the graph.

mod bitmap;
mod census;
mod discover;
mod emit;
mod facts;
mod holders;
mod malloc;
mod node;
mod roots;
mod shapes;
mod types;
mod walk;

pub use walk::{SnapshotError, Source, StoppedThread, Summary, snapshot};
