//! PNG: the SVG rasterised with the embedded font, nothing of the system's.

use super::{font, svg};
use heapray_query::answer::Picture;
use resvg::{tiny_skia, usvg};
use std::sync::Arc;

/// Pixels per SVG unit: sharp on dense screens.
const SCALE: f32 = 2.0;
/// Most pixels of a picture (400 MB of memory); larger ones are drawn smaller.
const PIXELS_MAX: f32 = 1e8;

/// A picture that could not be rasterised.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the picture as PNG: {problem}; write an .svg instead")]
pub struct PngError {
    /// What failed.
    problem: String,
}

/// The whole file.
///
/// # Errors
/// A picture too large for memory, or a fault of the rasteriser.
pub fn png(picture: &Picture) -> Result<Vec<u8>, PngError> {
    rasterised(&svg(picture))
}

/// The pixels of an SVG.
///
/// # Errors
/// As [`png`]; an SVG that is none.
pub fn rasterised(svg: &str) -> Result<Vec<u8>, PngError> {
    let problem = |problem: String| PngError { problem };
    let tree = usvg::Tree::from_str(svg, &options()).map_err(|error| problem(error.to_string()))?;
    let size = tree.size();
    let scale = SCALE.min((PIXELS_MAX / (size.width() * size.height())).sqrt());
    let (width, height) = ((size.width() * scale).ceil() as u32, (size.height() * scale).ceil() as u32);
    let mut pixels = tiny_skia::Pixmap::new(width.max(1), height.max(1))
        .ok_or_else(|| problem(format!("{width} × {height} pixels are too many")))?;
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| problem(error.to_string()))
}

fn options() -> usvg::Options<'static> {
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
    let fonts = Arc::make_mut(&mut options.fontdb);
    for file in font::files() {
        fonts.load_font_source(usvg::fontdb::Source::Binary(Arc::new(file)));
    }
    fonts.set_sans_serif_family("DejaVu Sans");
    fonts.set_monospace_family("DejaVu Sans");
    options
}
