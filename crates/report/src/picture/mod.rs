//! Pictures of a small graph and of memory over time: SVG, PNG and DOT, without any program or font of the system.

mod dot;
mod font;
mod layout;
mod png;
mod scene;
mod svg;
mod timeline;
mod words;

pub use dot::dot;
pub use png::{PngError, png, rasterised};
pub use svg::svg;
pub use timeline::timeline;
