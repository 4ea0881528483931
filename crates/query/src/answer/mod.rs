//! The answers: plain structs, one file per question. They hold every number that a window shows; windows only
//! format them. Field names are the JSON contract of `docs/output.md`: bytes end in `_bytes`, counts start with `n_`.

mod call_tree;
mod chain;
mod common;
mod cycles;
mod find;
mod growth;
mod holders;
mod info;
mod leaks;
mod picture;
mod recorded;
mod recording_stats;
mod refs;
mod stack_profile;
mod survivors;
mod top;
mod trail;
mod types;
mod why;

pub use call_tree::{TreeAnswer, TreeRow};
pub use chain::ChainAnswer;
pub use common::{Coverage, Process, Skipped};
pub use cycles::{CycleRow, CyclesAnswer};
pub use find::{FindAnswer, ObjectRow};
pub use growth::{ContainerGrowth, GrowthAnswer, HolderGrowth, RegionGrowth, TypeGrowth};
pub use holders::{Accumulation, HolderRow, HoldersAnswer};
pub use info::{FactRow, InfoAnswer, ProcessInfo};
pub use leaks::{Figures, Finding, LeaksAnswer, Measured, TypeShare};
pub use picture::{Picture, PictureEdge, PictureNode, Role};
pub use recorded::{
    Estimate, PlaceRow, Recorded, RecordedProcess, RecordedWindow, RecordingCost, RecordingDoubt,
    RecordingInfo, TaskInfo,
};
pub use recording_stats::{AllocatorRow, SizeRow, StatsAnswer, TimelineAnswer, TimelinePoint};
pub use refs::{RefRow, RefsAnswer};
pub use stack_profile::{ProfileSite, ProfileStack, StackProfile};
pub use survivors::{
    DiffAnswer, DiffRow, SurvivorRow, SurvivorsAnswer, TemporaryAnswer, TemporaryRow, WatchAnswer, WatchRow,
};
pub use top::{TopAnswer, TopRow};
pub use trail::{Trail, TrailObject};
pub use types::{TypeLine, TypesAnswer};
pub use why::{Cut, TrailGroup, WhyAnswer};
