//! Who gave a block, as the cells of a ring have it.

/// Which function gave a block. Numbers as in the cells and in the capture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Allocator {
    /// `malloc`.
    Malloc = 1,
    /// `calloc`.
    Calloc = 2,
    /// `realloc`, `reallocarray`.
    Realloc = 3,
    /// `posix_memalign`, `aligned_alloc`, `memalign`, `valloc`, `pvalloc`.
    Memalign = 4,
    /// `mmap`, `mremap`.
    Mmap = 5,
    /// `PyMem_RawMalloc` and its like.
    PythonRaw = 6,
    /// `PyMem_Malloc` and its like.
    PythonMem = 7,
    /// `PyObject_Malloc` and its like.
    PythonObject = 8,
    /// An arena of CPython's small-object allocator: where objects are seen it is not counted again.
    Arena = 9,
    /// Address space that was reserved, `size` bytes of it: it counts as far as it is in use, which only a look at it tells.
    Reserved = 10,
}

impl Allocator {
    /// The allocator of a number in a cell.
    pub const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Malloc,
            2 => Self::Calloc,
            3 => Self::Realloc,
            4 => Self::Memalign,
            5 => Self::Mmap,
            6 => Self::PythonRaw,
            7 => Self::PythonMem,
            8 => Self::PythonObject,
            9 => Self::Arena,
            10 => Self::Reserved,
            _ => return None,
        })
    }
}
