//! What a recording of allocations says is true, and the program that is recorded does not notice.
//!
//! Every file here is one claim, tried on every interpreter found: generated programs beside an independent count
//! (tracemalloc's, a preloaded library's, the program's own), and programs that do to a process what is hard on hooks.

mod claims;
mod native;
mod native_stacks;

mod asked_by_process;
mod attach;
mod borders;
mod daemons;
mod endings;
mod frees;
mod full_disk;
mod inherited;
mod killed;
mod libraries;
mod malloc;
mod mappings;
mod musl;
mod native_threads;
mod objects;
mod other_allocators;
mod processes;
mod profile_functions;
mod sampled;
mod sampled_changing;
mod signals;
mod small_objects;
mod source_lines;
mod stacks;
mod started_threads;
mod stopped_collector;
mod threads;
mod transparent;
