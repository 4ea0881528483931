//! The shell that makes a loadable image of the allocation agent: entry points, panic handler, nothing else.
//!
//! Built with `panic = "abort"` (the workspace's profile `agent`) it is a shared object without a needed library, that
//! a loader or `heapray attach` can put into a process. Built otherwise, as the workspace's ordinary builds do, it is empty.
#![cfg_attr(panic = "abort", no_std)]

#[cfg(panic = "abort")]
mod image;
