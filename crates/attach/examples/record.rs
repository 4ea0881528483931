//! Puts an agent into a process and keeps it until standard input closes, but collects nothing: what the tests kill.
//!
//! `record PID IMAGE [SOCKET]`; `-` is the image that heapray carries. `record PID detach` takes out what somebody left.
//! Prints a line when it records, and one when the agent is out. On SOCKET its guardian tells its moments and waits for
//! a byte at each.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use heapray_attach::{AttachOptions, Detached, attach_agent, detach_agent};

fn main() -> ExitCode {
    match record() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _nobody = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

fn record() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let usage = "usage: record PID IMAGE|-|detach [SOCKET]";
    let pid: i32 = args.next().ok_or(usage)?.parse()?;
    let image = args.next().ok_or(usage)?;
    let hook = args.next().map(UnixStream::connect).transpose()?.map(Into::into);
    if image == "detach" {
        return tell(&detach_agent(pid, &AttachOptions { hook, ..AttachOptions::default() })?);
    }
    let image = if image == "-" { None } else { Some(std::fs::read(image)?) };
    let attached = attach_agent(pid, AttachOptions { hook, image, ..AttachOptions::default() })?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "recording pause_us={} elapsed_us={} python={:#x}",
        attached.pause.as_micros(),
        attached.elapsed.as_micros(),
        attached.python_hex
    )?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    attached.check()?;
    tell(&attached.detach()?)
}

fn tell(detached: &Detached) -> Result<(), Box<dyn std::error::Error>> {
    writeln!(
        std::io::stdout(),
        "detached pause_us={} elapsed_us={} left={:?}",
        detached.pause.as_micros(),
        detached.elapsed.as_micros(),
        detached.left_mapped
    )?;
    Ok(())
}
