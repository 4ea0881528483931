//! Takes an image of a process, reads all of it, and keeps it until standard input closes: what the tests kill.
//!
//! `hold PID [copy|in-place [SOCKET]]` prints a line when the image is read, and one when nothing of it is left. On
//! SOCKET its guardian tells its moments and waits for a byte at each.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use heapray_attach::CopyOptions;

fn main() -> std::process::ExitCode {
    match hold() {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            let _nobody = writeln!(std::io::stderr(), "{error}");
            std::process::ExitCode::FAILURE
        }
    }
}

fn hold() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let pid: i32 = args.next().ok_or("usage: hold PID [copy|in-place [SOCKET]]")?.parse()?;
    let in_place = args.next().as_deref() == Some("in-place");
    let hook = args.next().map(UnixStream::connect).transpose()?.map(Into::into);
    let options = CopyOptions { hook, ..CopyOptions::default() };
    let image =
        if in_place { heapray_attach::in_place(pid, options)? } else { heapray_attach::copy(pid, options)? };
    for region in &image.regions {
        image.memory.prefetch(region.start..region.end);
    }
    image.check()?;
    let mut out = std::io::stdout();
    let (pause, fork) = (image.pause.as_micros(), image.fork_cost.as_micros());
    writeln!(
        out,
        "ready pause_us={pause} fork_us={fork} threads={} {:?}",
        image.threads.len(),
        image.memory.stats()
    )?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    image.check()?;
    let released = image.release();
    writeln!(
        out,
        "released pause_us={} lifetime_ms={}",
        released.pause.as_micros(),
        released.lifetime.as_millis()
    )?;
    Ok(())
}
