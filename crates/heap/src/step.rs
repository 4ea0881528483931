//! The text of one step of a trail, by type kind and label kind only.
