//! Names for addresses of a process: which library, which symbol; and the other way.
//!
//! Lazy: a library's file is opened when the first address inside it is asked for, so hundreds of libraries cost
//! nothing. Debug information is read for one file at a time, by who asks for lines.

mod code_file;
mod object_file;
mod plain;
mod source_lines;
mod symbols;

pub use code_file::{CodeFile, CodePlace};
pub use symbols::{DataRange, SymbolName, Symbols};
