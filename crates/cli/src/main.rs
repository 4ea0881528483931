//! The binary: parses flags, validates them into a plan, runs one command, and turns its end into an exit status.
//!
//! Exit status: 0 done, 1 finding (`leaks`), 2 error. A closed pipe is no error. No panic reaches a user.

mod allocations;
mod below;
mod command;
mod duration;
mod failure;
mod flags;
mod live;
mod load;
mod output;
mod progress;
mod recording;
mod target;
mod writer;

use std::process::ExitCode;

fn main() -> ExitCode {
    failure::silence_panics();
    let done = std::panic::catch_unwind(run);
    match done {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => failure::report(&error),
        Err(_) => failure::report_bug(),
    }
}

/// Parses the command line and runs what it asks for.
fn run() -> anyhow::Result<ExitCode> {
    match flags::parse() {
        Ok(cli) => command::run(cli),
        Err(error) => flags::explain(&error),
    }
}
