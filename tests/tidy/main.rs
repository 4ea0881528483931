//! The house rules that a machine can check, one file each. Reads the tree as git sees it, changes nothing.

mod layers;
mod purity;
mod shape;
mod source;
mod unsafe_code;
mod versions;
mod words;
