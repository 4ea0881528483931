//! The object graph: roots, dominators, retained sizes, trails, growth and queries, as pure functions over columns.
//!
//! Knows type kinds and labels, nothing of Python's versions. No I/O, no clock, no unsafe, no recursion on the
//! graph: a linked list of millions is an ordinary input. Start at [`Heap::load`].

mod accumulation;
mod anchors;
mod chain;
mod cycles;
mod dominators;
mod equation;
mod find;
mod forms;
mod garbage;
mod graph;
mod growth;
mod heap;
mod holders;
mod independent;
mod matching;
mod refs;
mod retained;
mod roots;
mod scc;
mod semi_nca;
mod shapes;
mod step;
mod subgraph;
pub mod synthetic;
mod trail;
mod tree;
mod types;
mod why;

pub use chain::{Chain, chain};
pub use cycles::{CycleGroup, CycleOptions, Cycles, cycles};
pub use equation::{Coverage, equation};
pub use find::{Field, Find, FindError};
pub use growth::{
    ContainerGrowth, Growth, GrowthOptions, HolderGrowth, PartCount, RegionGrowth, TypeGrowth, growth,
};
pub use heap::{Heap, PhaseSink, Region};
pub use holders::{Holder, HolderOptions, holders};
pub use refs::{Reference, referents, referrers};
pub use subgraph::{Direction, Picture, PictureEdge, PictureNode, PictureOptions, Role, subgraph};
pub use trail::{HolderKind, RootKind, Trail};
pub use types::{TypeCount, TypeOrder, TypeUsage, count_types, types};
pub use why::{Cut, TrailGroup, Why, WhyOptions, why};
