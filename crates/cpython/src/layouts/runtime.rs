//! Offsets and behaviours of the runtime: interpreters, threads, frames, the collector, code objects, strings.

/// See the module.
#[derive(Debug)]
pub struct RuntimeLayout {}
