//! Starts a program with the agent and stands for it, as `heapray run` does, but collects nothing: what the tests signal.
//!
//! `stand COMMAND…`

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use heapray_attach::{SharedFile, SharedPlan};

fn main() -> ExitCode {
    let command: Vec<OsString> = std::env::args_os().skip(1).collect();
    let shared = match SharedFile::create(&SharedPlan::default()) {
        Ok(shared) => shared,
        Err(error) => return fail(&error.to_string(), 2),
    };
    let ending = match heapray_attach::launch(&command, &shared) {
        Ok(mut launched) => loop {
            if let Some(ending) = launched.wait(Duration::from_millis(50)) {
                break ending;
            }
        },
        Err(error) => return fail(&error.to_string(), error.exit_status()),
    };
    drop(shared);
    ExitCode::from(ending.mirror())
}

fn fail(text: &str, status: u8) -> ExitCode {
    let _nobody = writeln!(std::io::stderr(), "{text}");
    ExitCode::from(status)
}
