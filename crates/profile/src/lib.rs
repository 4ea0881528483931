//! What a recording of allocations says: live sets, growth, survivors, temporaries, trees, series. Pure functions over
//! [`heapray_capture::Recording`]; no I/O, no clock, and no order from a hash map.
//!
//! Weights stay weights here: sums of estimates with their variances. Rounding is for those who print.

mod amount;
mod births;
mod figures;
mod filter;
mod group;
mod heirs;
mod moment;
mod paths;
mod peak;
mod places;
mod series;
mod sizes;
mod span;
mod tree;

pub use amount::Amount;
pub use figures::{Figures, Site, TREND_POINTS, figures};
pub use filter::{Filter, Selection};
pub use group::{Charge, Group, GroupBy, group};
pub use moment::Moment;
pub use paths::{Paths, module_of};
pub use peak::{Highest, highest, peak_figures};
pub use places::{Detail, Place, PlaceKind, Places};
pub use series::{Point, series};
pub use sizes::{AllocatorTotals, Histogram, allocator_totals, histogram};
pub use span::{Span, Time, span};
pub use tree::{StackTree, TreeNode, TreeOptions};
