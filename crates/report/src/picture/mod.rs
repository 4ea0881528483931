//! Pictures of a small graph: SVG, PNG and DOT, without any program or font of the system.

mod dot;
mod font;
mod layout;
mod png;
mod scene;
mod svg;
mod words;

pub use dot::dot;
pub use png::{PngError, png};
pub use svg::svg;
