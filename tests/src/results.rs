//! Writes what a long test measured to benches/results, where it is committed.

use std::path::Path;
use std::{fs, thread};

/// Writes `benches/results/NAME.md`: a title, a line on the machine, the text.
pub fn record(name: &str, title: &str, text: &str) {
    let n_cores = thread::available_parallelism().map_or(0, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('.').take(2).collect::<Vec<_>>().join(".");
    let page = format!("# {title}\n\n{n_cores}-core virtual machine, Linux {kernel}.\n\n{text}\n");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../benches/results/{name}.md"));
    fs::write(path, page).expect("benches/results takes files");
}
