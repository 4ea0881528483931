//! Turns what agents write into a recording: drains their rings, keeps what is alive, and gives chunks of a file.
//!
//! [`Engine`] is pure: records and times in, chunks out. [`Drain`] moves the records and reads `/proc`.

mod drain;
mod engine;
mod native;
mod output;
mod pauses;
mod pids;
mod plan;
mod slots;
mod spread;
mod tenant;

pub use drain::{Drain, Round, Summary};
pub use engine::{
    Engine, LoadedObject, MAX_PROCESSES, NativeNames, NoNames, Numbered, ReservedRange, Settings,
};
pub use plan::{Level, Mode, Plan, RssLimit};
