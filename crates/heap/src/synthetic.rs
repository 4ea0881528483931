//! A small builder of snapshots for tests and benches.
