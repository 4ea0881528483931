//! Numbered moments of a copy's or an agent's life at which a test can hold the guardian.
//!
//! Without a hook (always, outside tests) a moment costs nothing. With one, the guardian writes the moment's number and
//! waits for a byte, or for the other end to close.

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

/// Where a test waits for the guardian's moments: 1 before the stop, 2 stopped, 3 about to make the helper, 4 helper made,
/// 5 copy made, 6 about to resume, 7 resumed, 8 descriptors closed, 9 holding, 10 about to kill the copy, 11 copy dead,
/// 12 reaped.
///
/// Of an agent's: 1 before the stop, 2 stopped, 3 arena mapped, 4 image written, 5 memory file mapped, 6 about to start, 7 started,
/// 8 about to resume, 9 recording, 10 about to stop it, 11 stopped again, 12 hooks out, 13 resumed, 14 searched, 15 about to
/// unmap, 16 unmapped, 17 resumed.
#[derive(Debug, Default)]
pub(crate) struct Hook(Option<UnixStream>);

impl Hook {
    /// A hook on this socket.
    pub(crate) fn new(socket: Option<OwnedFd>) -> Self {
        Self(socket.map(UnixStream::from))
    }

    /// The descriptor that must stay open in the guardian.
    pub(crate) fn descriptor(&self) -> Option<i32> {
        self.0.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Tells the test, and waits until it agrees.
    pub(crate) fn reached(&self, moment: u8) {
        if let Some(mut socket) = self.0.as_ref() {
            let mut answer = [0];
            // A test that is gone holds nobody.
            let _gone = socket.write_all(&[moment]).and_then(|()| socket.read_exact(&mut answer));
        }
    }
}
