//! One file per subcommand: its flags, its plan, its run.

pub(crate) mod attach;
pub(crate) mod chain;
pub(crate) mod cycles;
pub(crate) mod find;
pub(crate) mod growth;
pub(crate) mod holders;
pub(crate) mod info;
pub(crate) mod leaks;
pub(crate) mod refs;
pub(crate) mod run;
pub(crate) mod snapshot;
pub(crate) mod switch;
pub(crate) mod types;
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
