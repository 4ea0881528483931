//! The command line as typed: subcommands and the options that several of them share. Meaning is checked later,
//! when each command makes its plan.

use crate::command::{
    attach, chain, cycles, diff, export, find, flamegraph, growth, holders, info, leaks, refs, run, snapshot,
    stats, switch, temporary, timeline, top, tree, types, watch, why,
};
use crate::target::Target;
use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

/// Names, for a running CPython process, what grows and what holds it.
#[derive(Parser, Debug)]
#[command(name = "heapray", version, about, after_help = AFTER_HELP, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const AFTER_HELP: &str = "\
TARGET is a process id, or a file that `heapray snapshot` wrote; a snapshot loads nothing into a process.
FILE is a recording that `heapray run` or `heapray attach` wrote or is writing.
Exit status: 0 done, 1 a leak was found, 2 error.";

/// One variant per subcommand, in the order of the help.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Start a program and record its allocations, with all processes that it starts.
    Run(run::RunFlags),
    /// Record the allocations of a running process, without restarting it.
    Attach(attach::AttachFlags),
    /// End the recording of a process; it runs on.
    Detach(switch::SwitchFlags),
    /// Switch the recording of a process on.
    On(switch::SwitchFlags),
    /// Switch the recording of a process off.
    Off(switch::SwitchFlags),
    /// Show where the live memory of a recording was allocated, and what grows.
    Top(top::TopFlags),
    /// Show who called whom until memory was allocated.
    Tree(tree::TreeFlags),
    /// Draw all stacks of a recording: live, peak, growth, temporary, or two compared.
    Flamegraph(flamegraph::FlamegraphFlags),
    /// Show resident memory, live bytes and the rate of allocation over time.
    Timeline(timeline::TimelineFlags),
    /// Show totals, allocators and sizes of a recording.
    Stats(stats::StatsFlags),
    /// Show what was alive at the high-water mark.
    Peak(top::PeakFlags),
    /// Show where memory is allocated to be freed soon after.
    Temporary(temporary::TemporaryFlags),
    /// Compare two recordings, place by place.
    Diff(diff::DiffFlags),
    /// Print what changed, tick by tick, as tracemalloc's compare_to does.
    Watch(watch::WatchFlags),
    /// Write a recording as collapsed stacks, pprof, speedscope, csv or parquet.
    Export(export::ExportFlags),
    /// Say what leaks: repeated snapshots and a verdict, or what survived in a recording.
    Leaks(leaks::LeaksFlags),
    /// Write the object graph of a process, or of a core file, to a file.
    Snapshot(snapshot::SnapshotFlags),
    /// Count objects by type, with shallow and retained bytes.
    Types(types::TypesFlags),
    /// Compare two snapshots: by type, by holder, by container length.
    Growth(growth::GrowthFlags),
    /// Rank module globals, class attributes, closures, caches, … by what they retain.
    Holders(holders::HoldersFlags),
    /// Find objects: `type=list and len>100 and elem=numpy.ndarray`.
    Find(find::FindFlags),
    /// Say what keeps an object alive: trails from roots as Python expressions, and where to cut.
    Why(why::WhyFlags),
    /// Show what an object refers to.
    Refs(refs::RefsFlags),
    /// Show the shortest chain from a module to an object.
    Chain(chain::ChainFlags),
    /// Show reference cycles: garbage that waits, that can never go, and cycles that are held.
    Cycles(cycles::CyclesFlags),
    /// Show what a snapshot or a recording holds and how good it is.
    Info(info::InfoFlags),
}

/// Which snapshot to ask.
#[derive(Args, Debug, Clone)]
pub(crate) struct SourceFlags {
    /// Process id, or snapshot file.
    #[arg(value_name = "TARGET")]
    pub(crate) target: Target,
    #[command(flatten)]
    pub(crate) live: LiveFlags,
    #[command(flatten)]
    pub(crate) process: ProcessFlags,
}

/// How to take a snapshot of a running process.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct LiveFlags {
    /// Stop the process for the time of the read instead of copying it (no extra memory, longer pause).
    #[arg(long)]
    pub(crate) in_place: bool,
}

/// Which process of a file.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct ProcessFlags {
    /// Process to ask about, where the file holds several.
    #[arg(long = "process", value_name = "PID")]
    pub(crate) process: Option<u32>,
}

/// How to print an answer.
#[derive(Args, Debug, Clone, Copy, Default)]
pub(crate) struct FormatFlags {
    /// Print JSON (the contract is in docs/output.md).
    #[arg(long)]
    pub(crate) json: bool,
    /// Print type names without their modules.
    #[arg(long)]
    pub(crate) shortnames: bool,
}

/// How far a picture or a search goes.
#[derive(Args, Debug, Clone)]
pub(crate) struct WalkFlags {
    /// Longest trail, in references (default: any), and depth of the picture (default: 5).
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_depth: Option<u32>,
    /// Neighbours of one object to draw before the rest is folded.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) too_many: u32,
}

/// Where to draw.
#[derive(Args, Debug, Clone)]
pub(crate) struct DrawFlags {
    /// Draw a picture too: FILE.svg, FILE.png or FILE.dot.
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Parses the arguments of this process.
pub(crate) fn parse() -> Result<Cli, clap::Error> {
    Cli::try_parse()
}

/// Prints help and version on stdout; any other problem becomes an error in our own words.
pub(crate) fn explain(problem: &clap::Error) -> anyhow::Result<ExitCode> {
    let text = problem.to_string();
    match problem.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            std::io::stdout().write_all(text.as_bytes())?;
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            crate::failure::to_stderr(&text);
            Ok(ExitCode::from(crate::failure::STATUS_ERROR))
        }
        _ => {
            let text = text.strip_prefix("error: ").unwrap_or(&text);
            crate::failure::to_stderr(&format!("heapray: {text}"));
            Ok(ExitCode::from(crate::failure::STATUS_ERROR))
        }
    }
}
