//! One file per subcommand: its flags, its plan, its run.

pub(crate) mod attach;
pub(crate) mod chain;
pub(crate) mod cycles;
pub(crate) mod diff;
pub(crate) mod export;
pub(crate) mod find;
pub(crate) mod flamegraph;
pub(crate) mod growth;
pub(crate) mod holders;
pub(crate) mod info;
pub(crate) mod leaks;
pub(crate) mod refs;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod stats;
pub(crate) mod survivors;
pub(crate) mod switch;
pub(crate) mod temporary;
pub(crate) mod timeline;
pub(crate) mod top;
pub(crate) mod tree;
pub(crate) mod types;
pub(crate) mod watch;
pub(crate) mod why;

use crate::flags::{Cli, Command};
use std::process::ExitCode;

/// Runs the command that was asked for.
pub(crate) fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let done = match cli.command {
        Command::Run(flags) => return run::run(&flags),
        Command::Attach(flags) => attach::run(&flags),
        Command::Detach(flags) => switch::detach(&flags),
        Command::On(flags) => switch::switch(&flags, true),
        Command::Off(flags) => switch::switch(&flags, false),
        Command::Top(flags) => top::run(&flags),
        Command::Tree(flags) => tree::run(&flags),
        Command::Flamegraph(flags) => flamegraph::run(&flags),
        Command::Timeline(flags) => timeline::run(&flags),
        Command::Stats(flags) => stats::run(&flags),
        Command::Peak(flags) => top::peak(&flags),
        Command::Temporary(flags) => temporary::run(&flags),
        Command::Diff(flags) => diff::run(&flags),
        Command::Watch(flags) => watch::run(&flags),
        Command::Export(flags) => export::run(&flags),
        Command::Leaks(flags) => return leaks::run(&flags),
        Command::Snapshot(flags) => snapshot::run(&flags),
        Command::Types(flags) => types::run(&flags),
        Command::Growth(flags) => growth::run(&flags),
        Command::Holders(flags) => holders::run(&flags),
        Command::Find(flags) => find::run(&flags),
        Command::Why(flags) => why::run(&flags),
        Command::Refs(flags) => refs::run(&flags),
        Command::Chain(flags) => chain::run(&flags),
        Command::Cycles(flags) => cycles::run(&flags),
        Command::Info(flags) => info::run(&flags),
    };
    done.map(|()| ExitCode::SUCCESS)
}
