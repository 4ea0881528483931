//! `export`: a recording in the format of another tool.

use super::tree::DetailWord;
use crate::allocations::{self, RecordingFlags, WhatWord};
use crate::failure::to_stderr;
use crate::output;
use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use heapray_report::{format, text};
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

/// Options of `heapray export`.
#[derive(Args, Debug)]
pub(crate) struct ExportFlags {
    #[command(flatten)]
    recording: RecordingFlags,
    /// The format; by default what the ending of the output's name says.
    #[arg(long, value_enum)]
    format: Option<FormatWord>,
    /// File to write; `-` is stdout.
    #[arg(long, short = 'o', value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// What is weighed.
    #[arg(long, value_enum, default_value_t)]
    what: WhatWord,
    /// How finely places are told apart.
    #[arg(long, value_enum, default_value_t)]
    by: DetailWord,
}

/// A format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatWord {
    /// Folded stacks, a line each (.folded, .collapsed, .txt).
    Collapsed,
    /// pprof's protobuf, gzipped (.pb.gz, .pprof).
    Pprof,
    /// speedscope's JSON (.json).
    Speedscope,
    /// Comma-separated values, a row a site (.csv).
    Csv,
    /// Parquet, a row a site (.parquet).
    Parquet,
}

impl FormatWord {
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let endings = [
            (".pb.gz", Self::Pprof),
            (".pprof", Self::Pprof),
            (".json", Self::Speedscope),
            (".csv", Self::Csv),
            (".parquet", Self::Parquet),
            (".folded", Self::Collapsed),
            (".collapsed", Self::Collapsed),
            (".txt", Self::Collapsed),
        ];
        endings.iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, format)| *format)
    }

    /// A row a site, not a stack.
    fn has_sites(self) -> bool {
        matches!(self, Self::Pprof | Self::Csv | Self::Parquet)
    }

    /// The file says what is lost.
    fn has_remarks(self) -> bool {
        self.is_binary()
    }

    fn is_binary(self) -> bool {
        matches!(self, Self::Pprof | Self::Parquet)
    }
}

/// Writes the file.
pub(crate) fn run(flags: &ExportFlags) -> anyhow::Result<()> {
    let to_stdout = flags.output.as_os_str() == "-";
    let Some(form) = flags.format.or_else(|| FormatWord::of(&flags.output)) else {
        bail!("cannot tell the format: give --format collapsed, pprof, speedscope, csv or parquet");
    };
    if to_stdout && form.is_binary() && std::io::stdout().is_terminal() {
        bail!("cannot write a binary format to a terminal: give -o FILE");
    }
    if !to_stdout {
        output::refuse_input(&flags.output, &allocations::path_of(&flags.recording.target)?)?;
    }
    let allocations = allocations::allocations(&flags.recording)?;
    let (what, detail) = (flags.what.into(), flags.by.into());
    let profile =
        if form.has_sites() { allocations.profile(what, detail) } else { allocations.stacks(what, detail) };
    if let Some(note) = text::note_of_nothing(&profile) {
        to_stderr(&format!("heapray: {note}\n"));
    }
    if !form.has_remarks() {
        let losses = text::losses(&profile);
        losses.lines().for_each(|line| to_stderr(&format!("heapray: {line}\n")));
    }
    let bytes = match form {
        FormatWord::Collapsed => format::collapsed(&profile).into_bytes(),
        FormatWord::Pprof => format::pprof(&profile),
        FormatWord::Speedscope => format::speedscope(&profile).into_bytes(),
        FormatWord::Csv => format::csv(&profile).into_bytes(),
        FormatWord::Parquet => format::parquet(&profile)?,
    };
    if to_stdout {
        let mut out = std::io::stdout().lock();
        return out.write_all(&bytes).and_then(|()| out.flush()).context("cannot write to stdout");
    }
    output::write(&flags.output, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ending_names_the_format() {
        assert_eq!(FormatWord::of(Path::new("a/heap.pb.gz")), Some(FormatWord::Pprof));
        assert_eq!(FormatWord::of(Path::new("x.speedscope.json")), Some(FormatWord::Speedscope));
        assert_eq!(FormatWord::of(Path::new("-")), None);
    }
}
