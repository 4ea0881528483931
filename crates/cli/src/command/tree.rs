//! `tree`: who called whom until memory was allocated.

use crate::allocations::{self, RecordingFlags, WhatWord};
use crate::flags::FormatFlags;
use crate::output;
use clap::{Args, ValueEnum};
use heapray_query::{Detail, TreeCut};
use heapray_report::text;

/// Options of `heapray tree`.
#[derive(Args, Debug)]
pub(crate) struct TreeFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// What is counted.
    #[arg(long, value_enum, default_value_t)]
    what: WhatWord,
    /// How finely places are told apart.
    #[arg(long, value_enum, default_value_t)]
    by: DetailWord,
    /// Fold places below this part of all.
    #[arg(long, default_value = "1", value_name = "PERCENT", value_parser = parse_part)]
    min: f64,
    /// Callers above a place at most.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    max_depth: u32,
    #[command(flatten)]
    format: FormatFlags,
}

/// How finely places are told apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum DetailWord {
    /// By line.
    #[default]
    Line,
    /// By function.
    Function,
}

impl From<DetailWord> for Detail {
    fn from(word: DetailWord) -> Self {
        match word {
            DetailWord::Line => Self::Line,
            DetailWord::Function => Self::Function,
        }
    }
}

/// Parses a percentage, with or without its sign, to a part of a whole.
fn parse_part(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent / 100.0),
        _ => Err("a part of all is between 0 and 100 percent".to_owned()),
    }
}

/// Prints the tree.
pub(crate) fn run(flags: &TreeFlags) -> anyhow::Result<()> {
    let allocations = allocations::allocations(&flags.recording)?;
    let cut = TreeCut { part_min: flags.min, depth_max: flags.max_depth, detail: flags.by.into() };
    output::print(flags.format, &allocations.tree(flags.what.into(), cut), text::tree)
}
