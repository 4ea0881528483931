//! Prints answers on stdout, as text or JSON, and writes pictures to files.

use crate::failure::cannot_write;
use crate::flags::FormatFlags;
use crate::target::Target;
use anyhow::{Context, bail};
use heapray_query::answer::Picture;
use heapray_report::{Style, json, picture};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Prints an answer in the form asked for.
pub(crate) fn print<A: Serialize>(
    format: FormatFlags,
    answer: &A,
    text: impl FnOnce(&A, &Style) -> String,
) -> anyhow::Result<()> {
    let printed = if format.json { json::to_text(answer) } else { text(answer, &style(format)) };
    let mut out = std::io::stdout().lock();
    out.write_all(printed.as_bytes()).context("cannot write the answer to stdout")?;
    out.flush().context("cannot write the answer to stdout")
}

/// Prints one answer of many: JSON on one line.
pub(crate) fn print_line<A: Serialize>(
    format: FormatFlags,
    answer: &A,
    text: impl FnOnce(&A, &Style) -> String,
) -> anyhow::Result<()> {
    let printed = if format.json { json::to_line(answer) } else { text(answer, &style(format)) };
    let mut out = std::io::stdout().lock();
    out.write_all(printed.as_bytes()).context("cannot write the answer to stdout")?;
    out.flush().context("cannot write the answer to stdout")
}

/// Writes a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    std::fs::write(path, bytes).map_err(|error| cannot_write(path, error))
}

/// Refuses to write over what is read, by whatever name; asked before anything is opened.
pub(crate) fn refuse_input(output: &Path, input: &Path) -> anyhow::Result<()> {
    let both = std::fs::metadata(output).ok().zip(std::fs::metadata(input).ok());
    if both.is_some_and(|(output, input)| {
        output.is_file() && (output.dev(), output.ino()) == (input.dev(), input.ino())
    }) {
        bail!("cannot write {}: it is the file that is read; give another name with -o", output.display());
    }
    Ok(())
}

/// Writes an SVG, or its pixels where the name ends in `.png`.
pub(crate) fn write_svg(path: &Path, svg: &str) -> anyhow::Result<()> {
    match PictureFormat::of(path)? {
        PictureFormat::Png => write(path, &picture::rasterised(svg)?),
        _ => write(path, svg.as_bytes()),
    }
}

/// Colour only on a terminal, never where `NO_COLOR` is set (no-color.org: any non-empty value).
fn style(format: FormatFlags) -> Style {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    Style { colour: std::io::stdout().is_terminal() && !no_color && !dumb, short_names: format.shortnames }
}

/// The form of a picture, by the ending of its file's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PictureFormat {
    /// Scalable, with tooltips.
    Svg,
    /// Pixels.
    Png,
    /// For Graphviz and its kin.
    Dot,
}

impl PictureFormat {
    /// Reads the ending; asked before anything slow is done.
    pub(crate) fn of(path: &Path) -> anyhow::Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("svg") => Ok(Self::Svg),
            Some("png") => Ok(Self::Png),
            Some("dot" | "gv") => Ok(Self::Dot),
            _ => bail!(
                "cannot draw to {}: its ending says no known form; end it in .svg, .png or .dot",
                path.display()
            ),
        }
    }
}

/// Checks where a picture of what is asked about is to go; asked before anything slow is done.
pub(crate) fn check_picture(output: Option<&Path>, target: &Target) -> anyhow::Result<()> {
    let Some(output) = output else { return Ok(()) };
    PictureFormat::of(output)?;
    match target {
        Target::File(input) => refuse_input(output, input),
        Target::Pid(_) => Ok(()),
    }
}

/// Draws a picture into a file.
pub(crate) fn draw(path: &Path, drawing: &Picture) -> anyhow::Result<()> {
    let bytes = match PictureFormat::of(path)? {
        PictureFormat::Svg => picture::svg(drawing).into_bytes(),
        PictureFormat::Dot => picture::dot(drawing).into_bytes(),
        PictureFormat::Png => picture::png(drawing)?,
    };
    write(path, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_names_the_form() {
        assert_eq!(PictureFormat::of(Path::new("a/b.svg")).ok(), Some(PictureFormat::Svg));
        assert_eq!(PictureFormat::of(Path::new("b.gv")).ok(), Some(PictureFormat::Dot));
        assert!(PictureFormat::of(Path::new("b.jpeg")).is_err());
        assert!(PictureFormat::of(Path::new("b")).is_err());
    }
}
