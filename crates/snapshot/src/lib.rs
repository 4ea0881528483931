//! Walks the memory of a frozen copy.
mod bitmap;
