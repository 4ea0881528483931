//! The rows of the table, by CPython version.

mod v3_10;
mod v3_11;
mod v3_12;
mod v3_13;
mod v3_14_0;
mod v3_14_5;
mod v3_15;

use super::{Layout, objects};

/// All rows. Where a layout changed inside a minor series, its rows overlap in the versions for which the change is
/// not known to the release: the first row that the process itself bears out is taken.
#[rustfmt::skip]
pub static LAYOUTS: &[Layout] = &[
    Layout { first: 0x030a_00f0, last: 0x030a_ffff, runtime: v3_10::V3_10, objects: objects::V3_10 },
    Layout { first: 0x030b_00f0, last: 0x030b_ffff, runtime: v3_11::V3_11, objects: objects::V3_11 },
    Layout { first: 0x030c_00f0, last: 0x030c_ffff, runtime: v3_12::V3_12, objects: objects::V3_12 },
    Layout { first: 0x030d_00f0, last: 0x030d_ffff, runtime: v3_13::V3_13, objects: objects::V3_13 },
    Layout { first: 0x030d_01a0, last: 0x030d_ffff, runtime: v3_13::V3_13_PACKED, objects: objects::V3_13 },
    Layout { first: 0x030e_00f0, last: 0x030e_03ff, runtime: v3_14_0::V3_14_0, objects: objects::V3_14 },
    Layout { first: 0x030e_00f0, last: 0x030e_03ff, runtime: v3_14_0::V3_14_0_LONG, objects: objects::V3_14 },
    Layout { first: 0x030e_04a0, last: 0x030e_04ff, runtime: v3_14_0::V3_14_4, objects: objects::V3_14 },
    Layout { first: 0x030e_04a0, last: 0x030e_04ff, runtime: v3_14_0::V3_14_4_LONG, objects: objects::V3_14 },
    Layout { first: 0x030e_05a0, last: 0x030e_ffff, runtime: v3_14_5::V3_14_5, objects: objects::V3_14 },
    Layout { first: 0x030f_00f0, last: 0x030f_ffff, runtime: v3_15::V3_15, objects: objects::V3_15 },
];
