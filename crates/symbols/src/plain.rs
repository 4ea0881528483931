//! Names of functions and variables as they stand in their source: C++ and Rust write them with their types and paths into symbols.

use std::borrow::Cow;

/// The name as it stands in the source; names of C stay as they are.
pub(crate) fn plain(symbol: &str) -> String {
    addr2line::demangle_auto(Cow::from(symbol), None).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_source() {
        for (symbol, name) in [
            ("_ZN5arrow9ArrayData4MakeEi", "arrow::ArrayData::Make(int)"),
            (
                "_ZNSt6vectorIiSaIiEE9push_backERKi",
                "std::vector<int, std::allocator<int> >::push_back(int const&)",
            ),
            ("_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"),
            ("_RNvC7mycrate3bar", "mycrate::bar"),
            ("PyList_New", "PyList_New"),
            ("_PyObject_GC_New", "_PyObject_GC_New"),
            ("", ""),
        ] {
            assert_eq!(plain(symbol), name);
        }
    }
}
