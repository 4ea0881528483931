//! `timeline`: memory over time.

use crate::allocations::{self, RecordingFlags};
use crate::flags::{DrawFlags, FormatFlags};
use crate::output::{self, PictureFormat};
use anyhow::bail;
use clap::Args;
use heapray_query::TIMELINE_STEPS;
use heapray_report::{picture, text};

/// Steps of a picture: one for every few pixels.
const PICTURE_STEPS: usize = 400;

/// Options of `heapray timeline`.
#[derive(Args, Debug)]
pub(crate) struct TimelineFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// Steps of time at most.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    steps: Option<u32>,
    #[command(flatten)]
    draw: DrawFlags,
    #[command(flatten)]
    format: FormatFlags,
}

/// Prints the timeline, and draws it.
pub(crate) fn run(flags: &TimelineFlags) -> anyhow::Result<()> {
    let form = flags.draw.output.as_deref().map(PictureFormat::of).transpose()?;
    if form == Some(PictureFormat::Dot) {
        bail!("cannot draw a timeline as a graph: end the name in .svg or .png");
    }
    if let Some(path) = &flags.draw.output {
        output::refuse_input(path, &allocations::path_of(&flags.recording.target)?)?;
    }
    let allocations = allocations::allocations(&flags.recording)?;
    let steps = |usual: usize| flags.steps.map_or(usual, |steps| steps as usize);
    if let Some(path) = &flags.draw.output {
        let answer = allocations.timeline(steps(PICTURE_STEPS));
        output::write_svg(path, &picture::timeline(&answer))?;
    }
    let answer = allocations.timeline(steps(TIMELINE_STEPS));
    output::print(flags.format, &answer, text::timeline)
}
