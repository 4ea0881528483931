//! The font of all pictures, DejaVu Sans, embedded: its licence (Bitstream Vera and public domain) allows that.
//! Widths come from it, so that boxes fit their text wherever a picture is drawn with it.

use skrifa::instance::{LocationRef, Size};
use skrifa::{FontRef, MetadataProvider};

/// Families for SVG viewers without DejaVu; Verdana has nearly its widths.
pub(super) const FAMILIES: &str = "DejaVu Sans, Verdana, sans-serif";

/// The two cuts as font files.
pub(super) fn files() -> [&'static [u8]; 2] {
    [dejavu::sans::regular(), dejavu::sans::bold()]
}

/// How a text is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Face {
    /// Pixels.
    pub(super) size: f64,
    /// The bold cut.
    pub(super) bold: bool,
}

/// Width of a text in pixels; characters that the font lacks count as its replacement box.
pub(super) fn width(text: &str, face: Face) -> f64 {
    let [regular, bold] = files();
    let Ok(font) = FontRef::new(if face.bold { bold } else { regular }) else {
        return text.chars().count() as f64 * face.size * 0.7;
    };
    let charmap = font.charmap();
    let metrics = font.glyph_metrics(Size::new(face.size as f32), LocationRef::default());
    let advance = |c: char| metrics.advance_width(charmap.map(c).unwrap_or_default()).unwrap_or_default();
    f64::from(text.chars().map(advance).sum::<f32>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_the_font() {
        // DejaVu Sans 2.37: 2048 units an em; `M` is 1767 wide, bold `M` 2038.
        let close = |a: f64, b: f64| (a - b).abs() < 0.05;
        assert!(close(width("M", Face { size: 2048.0, bold: false }), 1767.0));
        assert!(close(width("M", Face { size: 2048.0, bold: true }), 2038.0));
        assert_eq!(width("", Face { size: 12.0, bold: false }), 0.0);
    }
}
