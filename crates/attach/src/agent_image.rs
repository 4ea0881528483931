//! The agent image that this build of heapray carries.

/// Bytes at an address that ELF structures may be read at.
#[repr(C, align(16))]
struct Aligned<B: ?Sized>(B);

static IMAGE: &Aligned<[u8]> = &Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/agent.so")));

/// The agent: a shared object without dependencies, ready to be preloaded or mapped. Empty in a build for another
/// architecture than the one that built it; who uses it then answers [`crate::AttachError::NoImage`].
pub fn agent_image() -> &'static [u8] {
    &IMAGE.0
}
