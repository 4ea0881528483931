//! Names for addresses of a process: which library, which symbol; and the other way.
//!
//! Lazy: a library's file is opened when the first address inside it is asked for, so hundreds of libraries cost
//! nothing. Only symbol tables are read, no debug information.

mod object_file;
mod symbols;

pub use symbols::{DataRange, SymbolName, Symbols};
