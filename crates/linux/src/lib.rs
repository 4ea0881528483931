//! Raw Linux: what `/proc` tells, memory of other processes, ptrace, ELF symbols and core files.
//!
//! Thin and stateless: each module wraps one kernel interface or one file format. Policy (which threads to stop,
//! what to inject, what to give up) stands in `attach`. Nothing here knows about Python.

pub mod arch;
mod cgroup;
mod core_file;
mod elf;
mod file_reader;
mod files;
mod guard;
mod in_use;
mod load_image;
mod loader;
mod maps;
mod noexec;
mod pidfd;
mod process;
mod ptrace;
mod remote;
mod shared;
mod signals;
mod smaps;
mod stat;
mod status;

pub use cgroup::{Cgroup, cgroup, machine_bytes};
pub use core_file::{CoreFile, CoreLoad, CoreThread};
pub use elf::{ElfFile, ElfSegment, ElfSymbol};
pub use file_reader::FileReader;
pub use files::{FileRoot, OPEN_NO_WAIT};
pub use guard::{
    Interest, drain, fork_detached, hurry, ignore_signals, poll, protect_from_oom, reap, rename,
    signals_as_descriptor, silence,
};
pub use in_use::used_bytes;
pub use load_image::{ImageSegment, LoadImage};
pub use loader::{Loader, loader};
pub use maps::{Mapping, mappings, parse_mappings};
pub use noexec::may_execute_in;
pub use pidfd::{PidFd, kill};
pub use process::{
    boot_id, children, command_line, executable, file_descriptors, is_same_namespace, page_bytes,
    thread_name, threads,
};
pub use ptrace::{Resume, Stop, Tracee, options};
pub use remote::RemoteMemory;
pub use shared::SharedMemory;
pub use signals::{
    ChildNews, Received, SignalQueue, SignalSet, child_news, forwardable_signals, spawn, suffer,
};
pub use smaps::{Rollup, smaps_rollup};
pub use stat::{Stat, parse_stat, stat, thread_stat};
pub use status::{Status, parse_status, status, thread_status};
