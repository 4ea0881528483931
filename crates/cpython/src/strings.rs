//! The text of `str` objects.

use alloc::string::String;

use crate::{Memory, Runtime};

/// The first `limit` characters of the `str` (or subclass) at `addr`, lone surrogates replaced;
/// `None` where it is no string or unreadable.
pub fn read<M: Memory>(_mem: &M, _rt: &Runtime, _addr: u64, _limit: usize) -> Option<String> {
    None
}
