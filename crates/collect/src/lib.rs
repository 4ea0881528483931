//! Turns what agents write into a recording: drains their rings, keeps what is alive, and gives chunks of a file.
//!
//! [`Engine`] is pure: records and times in, chunks out. [`Drain`] moves the records and reads `/proc`.

mod engine;

pub use engine::{
    Engine, LoadedObject, MAX_PROCESSES, NativeNames, NativePlace, NoNames, Numbered, Settings,
};
