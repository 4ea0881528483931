//! The object layouts of each CPython version.

/// Where the parts of objects lie, per version.
#[derive(Debug)]
pub struct ObjectLayout {}

/// CPython 3.10.
pub const V3_10: ObjectLayout = ObjectLayout {};
/// CPython 3.11.
pub const V3_11: ObjectLayout = ObjectLayout {};
/// CPython 3.12.
pub const V3_12: ObjectLayout = ObjectLayout {};
/// CPython 3.13.
pub const V3_13: ObjectLayout = ObjectLayout {};
/// CPython 3.14.
pub const V3_14: ObjectLayout = ObjectLayout {};
/// CPython 3.15.
pub const V3_15: ObjectLayout = ObjectLayout {};
