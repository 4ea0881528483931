//! Native frames have the line of their source where their library has debug information, compressed or not.

use std::collections::BTreeSet;

use heapray_tests::Program;
use heapray_wire::FrameKind;

use crate::claims::{LIBC, outer_pythons};
use crate::native::{libraries, prelude};

const SOURCE: &str = include_str!("native/lined.c");

/// The line of lined.c that ends in a comment.
fn line_of(comment: &str) -> u32 {
    let at = SOURCE.lines().position(|line| line.ends_with(comment)).expect("it is there");
    at as u32 + 1
}

#[test]
fn native_frames_have_the_lines_of_their_source() {
    let expected = [
        ("lined_outer".to_owned(), "lined.c".to_owned(), line_of("// outer")),
        ("lined_inner".to_owned(), "lined.c".to_owned(), line_of("// inner")),
        ("inlined".to_owned(), "lined.c".to_owned(), line_of("// inlined")),
    ];
    for library in [&libraries().lined, &libraries().lined_packed] {
        let text = format!(
            "{}lined = ctypes.CDLL({library:?}).lined_outer\n\
             lined.restype, lined.argtypes = c_void_p, [c_size_t]\n\
             kept = [lined(4321) for _ in range(10)]\n\
             os._exit(0)\n",
            prelude()
        );
        for python in outer_pythons() {
            let recorded = Program::new(python, &text).exact_malloc().options(&["--native"]).record_well();
            let tables = &recorded.tables;
            let slices = recorded.task().slices.iter();
            let row = slices
                .flat_map(|slice| slice.allocs)
                .find(|row| row.bytes == 43_210.0 && LIBC.contains(&row.allocator))
                .unwrap_or_else(|| panic!("{}: the blocks are recorded", python.version()));
            let mut natives: Vec<_> = tables
                .stack(row.node)
                .map(|node| tables.frame(node))
                .take_while(|frame| frame.kind == FrameKind::Native)
                .map(|frame| {
                    let file = tables.text(frame.file).rsplit('/').next().unwrap_or_default();
                    (tables.text(frame.function).to_owned(), file.to_owned(), frame.line)
                })
                .collect();
            natives.truncate(expected.len());
            natives.reverse();
            assert_eq!(natives, expected, "{} {library}", python.version());
        }
    }
}

#[test]
fn each_program_of_a_tree_has_its_own_code() {
    let pythons = outer_pythons();
    let (first, last) = (pythons[0], pythons[pythons.len() - 1]);
    let path = last.exe.to_str().expect("its path is UTF-8");
    let text = format!(
        "import subprocess, os\n\
         kept = [bytearray(100_000) for _ in range(10)]\n\
         words = [{path:?}, '-c', 'import os; kept = [bytearray(200_000) for _ in range(10)]; os._exit(0)']\n\
         subprocess.run(words, check=True)\n\
         os._exit(0)\n"
    );
    let recorded = Program::new(first, &text).exact_malloc().options(&["--native"]).record_well();
    let tables = &recorded.tables;
    for python in [first, last] {
        let program = std::fs::canonicalize(&python.exe).expect("it is there");
        let program = program.to_str().expect("its path is UTF-8");
        let task = tables.tasks.iter().find(|task| task.fact_text("executable") == Some(program));
        let task = task.unwrap_or_else(|| panic!("{program} is recorded"));
        let rows = task.slices.iter().flat_map(|slice| slice.allocs);
        let outermost = rows
            .filter(|row| row.bytes >= 1e6)
            .filter_map(|row| {
                tables.stack(row.node).filter(|node| tables.frame(*node).kind == FrameKind::Native).last()
            })
            .map(|node| (tables.text(tables.frame(node).function), tables.text(tables.frame(node).file)));
        assert_eq!(outermost.collect::<BTreeSet<_>>(), BTreeSet::from([("_start", program)]));
    }
}
