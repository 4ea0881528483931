//! Takes an image of a process and keeps it until its standard input closes: what tests kill, and a tool to look by hand.
//!
//! `hold PID [copy|in-place]` prints one line when the image is there, and ends when standard input does.

use std::io::{Read, Write};

use heapray_attach::{CopyOptions, Image};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let pid: i32 = args.next().ok_or("usage: hold PID [copy|in-place]")?.parse()?;
    let take = if args.next().as_deref() == Some("in-place") {
        heapray_attach::in_place
    } else {
        heapray_attach::copy
    };
    let image: Image = take(pid, CopyOptions::default())?;
    for region in &image.regions {
        image.memory.prefetch(region.start..region.end);
    }
    let mut out = std::io::stdout();
    writeln!(
        out,
        "ready pause_us={} fork_us={} threads={} regions={} {:?}",
        image.pause.as_micros(),
        image.fork_cost.as_micros(),
        image.threads.len(),
        image.regions.len(),
        image.memory.stats()
    )?;
    out.flush()?;
    let mut rest = Vec::new();
    std::io::stdin().read_to_end(&mut rest)?;
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
