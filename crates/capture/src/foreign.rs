//! What a file that is no capture looks like, by its first bytes.

/// First bytes, what they mean, what to try.
type Look = (&'static [u8], &'static str, &'static str);

const GIVE_CAPTURE: &str = "give a file written by heapray snapshot, run or attach";

const LOOKS: &[Look] = &[
    (b"\x1f\x8b", "is gzip data", "unpack it with gunzip first"),
    (b"\x28\xb5\x2f\xfd", "is zstd data", "unpack it with unzstd first"),
    (b"\xfd7zXZ\0", "is xz data", "unpack it with unxz first"),
    (b"BZh", "is bzip2 data", "unpack it with bunzip2 first"),
    (b"PK\x03\x04", "is a zip archive", "unpack it first"),
    (b"memray", "is a memray capture, which holds allocations and no objects", "read it with memray"),
    (b"JAVA PROFILE", "is a Java heap dump", GIVE_CAPTURE),
    (b"\x80\x04", "is a Python pickle", GIVE_CAPTURE),
    (b"\x80\x05", "is a Python pickle", GIVE_CAPTURE),
    (b"SQLite format 3\0", "is an SQLite database", GIVE_CAPTURE),
    (b"%PDF", "is a PDF document", GIVE_CAPTURE),
    (b"\x89PNG", "is a PNG picture", GIVE_CAPTURE),
    (b"<svg", "is an SVG picture", GIVE_CAPTURE),
    (b"{", "is JSON text", GIVE_CAPTURE),
    (b"[", "is JSON text", GIVE_CAPTURE),
];

/// What `head`, the first bytes of a file, look like, and what to try.
pub(crate) fn look(head: &[u8]) -> (&'static str, &'static str) {
    if head.is_empty() {
        return ("is empty", "make it again, and check that the disk was not full");
    }
    if head.starts_with(b"\x7fELF") {
        return elf(head);
    }
    if head.iter().all(|byte| *byte == 0) {
        return ("begins with zeros", "make it again, and check that the disk was not full");
    }
    match LOOKS.iter().find(|(magic, ..)| head.starts_with(magic)) {
        Some((_, looks_like, advice)) => (looks_like, advice),
        None if head.iter().all(|byte| (b' '..0x7f).contains(byte) || b"\t\r\n".contains(byte)) => {
            ("is text", GIVE_CAPTURE)
        }
        None => ("begins with bytes of no kind known here", GIVE_CAPTURE),
    }
}

/// ELF: `e_type` at byte 16 tells a core file (4) from a program (elf.h).
fn elf(head: &[u8]) -> (&'static str, &'static str) {
    match head.get(16) {
        Some(4) => ("is a core file", "read it with heapray snapshot --core FILE"),
        _ => ("is an ELF program or library", GIVE_CAPTURE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_kinds_are_named() {
        assert_eq!(look(b"").0, "is empty");
        assert_eq!(look(b"\x1f\x8b\x08\0").0, "is gzip data");
        assert_eq!(look(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x04\0").0, "is a core file");
        assert_eq!(look(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0").0, "is an ELF program or library");
        assert_eq!(look(b"memray\0").0, "is a memray capture, which holds allocations and no objects");
        assert_eq!(look(b"import gc\nprint").0, "is text");
        assert_eq!(look(&[0; 20]).0, "begins with zeros");
        assert_eq!(look(&[0xee, 1, 2]).0, "begins with bytes of no kind known here");
    }
}
