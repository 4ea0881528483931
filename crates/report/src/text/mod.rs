//! Text for people, one file per question: the answer first, then the evidence, then the doubt.

mod chain;
mod cycles;
mod find;
mod footer;
mod growth;
mod holders;
mod info;
mod leaks;
mod refs;
mod trail;
mod types;
mod why;

pub use chain::chain;
pub use cycles::cycles;
pub use find::find;
pub use growth::growth;
pub use holders::holders;
pub use info::info;
pub use leaks::leaks;
pub use refs::refs;
pub use types::types;
pub use why::why;
