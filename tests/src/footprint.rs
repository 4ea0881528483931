//! What a process looks like from outside, so that two looks can be compared.

use std::fs;

/// All that heapray could leave behind in a target. Equal before and after, or something was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Mappings: range, rights, offset and file of each.
    pub maps: Vec<String>,
    /// Descriptors and what they are open on.
    pub descriptors: Vec<String>,
    /// Child processes of all its threads, zombies and those without an exit signal too.
    pub children: Vec<u32>,
    /// Threads.
    pub threads: Vec<u32>,
    /// Tracer, and pending, blocked, ignored and caught signals, of the process and each thread.
    pub status: Vec<String>,
}

const STATUS: &[&str] =
    &["TracerPid", "SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Seccomp", "NoNewPrivs"];

impl Footprint {
    /// A look at `pid`, which must exist. Exact only for a target that waits.
    pub fn of(pid: u32) -> Footprint {
        let threads = threads(pid);
        Footprint {
            maps: read(&format!("/proc/{pid}/maps")).lines().map(str::to_owned).collect(),
            descriptors: descriptors(pid),
            children: threads.iter().flat_map(|tid| children(pid, *tid)).collect(),
            status: threads.iter().flat_map(|tid| status(pid, *tid)).collect(),
            threads,
        }
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {path}: {error}"))
}

fn threads(pid: u32) -> Vec<u32> {
    let entries = fs::read_dir(format!("/proc/{pid}/task")).expect("the target runs");
    let names = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let mut threads: Vec<u32> = names.collect();
    threads.sort_unstable();
    threads
}

fn children(pid: u32, tid: u32) -> Vec<u32> {
    let text = read(&format!("/proc/{pid}/task/{tid}/children"));
    text.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn status(pid: u32, tid: u32) -> Vec<String> {
    let text = read(&format!("/proc/{pid}/task/{tid}/status"));
    let wanted =
        text.lines().filter(|line| line.split(':').next().is_some_and(|name| STATUS.contains(&name)));
    wanted.map(|line| format!("{tid} {line}")).collect()
}

fn descriptors(pid: u32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).expect("the target runs");
    let mut descriptors: Vec<String> = entries
        .flatten()
        .map(|entry| {
            let open_on = fs::read_link(entry.path()).unwrap_or_default();
            format!("{} {}", entry.file_name().to_string_lossy(), open_on.display())
        })
        .collect();
    descriptors.sort();
    descriptors
}
