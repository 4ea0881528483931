//! Pictures of a small graph: SVG, PNG and DOT, without any program or font of the system.

use heapray_query::answer::Picture;

/// SVG.
pub fn svg(_picture: &Picture) -> String {
    String::new()
}
/// DOT.
pub fn dot(_picture: &Picture) -> String {
    String::new()
}
/// PNG.
pub fn png(_picture: &Picture) -> Result<Vec<u8>, PngError> {
    Ok(Vec::new())
}

/// A picture that could not be rasterised.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw the picture as PNG: {0}; write an .svg instead")]
pub struct PngError(String);
