//! What the stack reader needs of the ring: places are told before events refer to them.

use heapray_wire::ring::cells::Cell;

/// Takes records for the collector, in order.
///
/// Both methods answer whether the record will arrive. Where it will not (the ring is full), the caller must forget
/// what it was about to announce, so that it is announced again when it next comes up.
pub(crate) trait Emit {
    /// Takes one record of a few cells, such as [`heapray_wire::ring::cells::node`] makes.
    fn record(&mut self, cells: &[Cell]) -> bool;

    /// Takes one record of a first cell with `tag` and `id`, and a payload: the bytes of `parts`, one after the other.
    /// At most [`heapray_wire::ring::MAX_PAYLOAD_BYTES`] in sum; the caller cuts what is longer.
    fn payload(&mut self, tag: u8, id: u64, parts: &[&[u8]]) -> bool;
}
