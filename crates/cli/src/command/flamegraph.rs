//! `flamegraph`: a picture of all stacks, as SVG, as a page or as pixels.

use super::tree::DetailWord;
use crate::allocations::{self, RecordingFlags, WhatWord};
use crate::failure::to_stderr;
use crate::output;
use crate::target::Target;
use anyhow::bail;
use clap::Args;
use heapray_query::answer::StackProfile;
use heapray_report::{FlameDirection, flame, flame_diff, page, sanitize};
use std::path::{Path, PathBuf};

/// Options of `heapray flamegraph`.
#[derive(Args, Debug)]
pub(crate) struct FlamegraphFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// File to write, ending in .svg, .html or .png [default: FILE.svg].
    #[arg(long, short = 'o', value_name = "FILE")]
    output: Option<PathBuf>,
    /// What is drawn.
    #[arg(long, value_enum, default_value_t)]
    what: WhatWord,
    /// Colour by the difference to this recording: red is more than there, blue is less.
    #[arg(long, value_name = "BEFORE")]
    diff: Option<Target>,
    /// How finely places are told apart.
    #[arg(long, value_enum, default_value_t)]
    by: DetailWord,
    /// Callers at the top instead of the bottom.
    #[arg(long)]
    icicle: bool,
}

/// Draws the picture and says where it is.
pub(crate) fn run(flags: &FlamegraphFlags) -> anyhow::Result<()> {
    let path = flags.output.clone().unwrap_or_else(|| name(&flags.recording.target));
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    if !matches!(ending, "svg" | "html" | "htm" | "png") {
        bail!("cannot draw to {}: end its name in .svg, .html or .png", path.display());
    }
    for target in flags.diff.iter().chain([&flags.recording.target]) {
        output::refuse_input(&path, &allocations::path_of(target)?)?;
    }
    let direction = if flags.icicle { FlameDirection::Down } else { FlameDirection::Up };
    let after = profile(flags, &flags.recording.target)?;
    let svg = match &flags.diff {
        Some(before) => flame_diff(&profile(flags, before)?, &after, direction)?,
        None => flame(&after, direction)?,
    };
    match ending {
        "html" | "htm" => output::write(&path, page(&svg, &after).as_bytes())?,
        _ => output::write_svg(&path, &svg)?,
    }
    to_stderr(&format!("{}\n", sanitize(&path.display().to_string())));
    Ok(())
}

fn profile(flags: &FlamegraphFlags, target: &Target) -> anyhow::Result<StackProfile> {
    let recording = RecordingFlags { target: target.clone(), ..flags.recording.clone() };
    Ok(allocations::allocations(&recording)?.stacks(flags.what.into(), flags.by.into()))
}

/// Beside the working directory's other files, never over a recording.
fn name(target: &Target) -> PathBuf {
    match target {
        Target::Pid(pid) => PathBuf::from(format!("heapray-{pid}.svg")),
        Target::File(path) => {
            let stem = path.file_stem().filter(|_| path.extension().is_some_and(|e| e != "svg"));
            let stem = stem.or(path.file_name()).unwrap_or_default();
            Path::new(stem).with_added_extension("svg")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn picture_is_called_as_its_recording() {
        assert_eq!(name(&Target::File("a/story.hr".into())), Path::new("story.svg"));
        assert_eq!(name(&Target::File("story".into())), Path::new("story.svg"));
        assert_eq!(name(&Target::Pid(7)), Path::new("heapray-7.svg"));
    }
}
