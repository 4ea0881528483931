//! Answers to text, JSON and pictures, one file per format. Formats only: every number is computed in `query` or
//! below. Nothing here writes: the caller gets text or bytes.
//!
//! Names come from a process that may be hostile: nothing of them reaches a terminal, an SVG or a DOT file
//! without [`sanitize`] and the escaping of that format.

mod clean;
mod flame;
mod flame_change;
pub mod format;
pub mod json;
mod number;
pub mod picture;
mod place;
mod spark;
mod style;
mod table;
pub mod text;

pub use clean::sanitize;
pub use flame::{FlameDirection, FlameError, flame, flame_diff, page};
pub use number::{
    bytes, bytes_signed, duration, percent, rate, rate_interval, short_time, thousands, thousands_signed,
};
pub use style::Style;
