//! What one file says of its code: function, source file and line of an address.

use std::fs::File;
use std::path::{Path, PathBuf};

use heapray_linux::{ElfFile, FileReader};

use crate::plain::plain;
use crate::source_lines::SourceLines;

/// Where distributions put what they strip off, by build id, below a root.
const DEBUG_FILES: &str = "usr/lib/debug/.build-id";

/// A library or program, read for its names and lines.
pub struct CodeFile {
    elf: ElfFile,
    /// Where there is debug information.
    lines: Option<SourceLines>,
}

/// A place in native code.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CodePlace {
    /// The function as its source names it; `None` where neither debug information nor a symbol does.
    pub function: Option<String>,
    /// Its source file, where debug information says so.
    pub file: Option<String>,
    /// Line in that file from 1, 0 unknown.
    pub line: u32,
}

impl CodeFile {
    /// Reads the symbols and the debug information of the file at `path`, with what was stripped off it into
    /// `/usr/lib/debug` below `root`; `None` where it is not there or no ELF file. Debug information of more than 128 MiB is
    /// left out. Costs a few milliseconds for 20,000 symbols, and a copy of the debug information: up to seconds.
    pub fn read(root: &Path, path: &Path) -> Option<Self> {
        // A pipe that nobody writes would be waited for.
        let is_file = |path: &Path| path.metadata().is_ok_and(|found| found.is_file());
        let open = |path: &Path| is_file(path).then(|| File::open(path).ok().map(FileReader::new))?;
        let file = open(path)?;
        let mut elf = ElfFile::parse(&file).ok()?;
        let debug = debug_file(root, &elf.build_id).and_then(|path| open(&path));
        if elf.stripped
            && let Some(debug) = debug.as_ref().and_then(|file| ElfFile::parse(file).ok())
        {
            elf.add_symbols_of(debug);
        }
        let lines = |file| SourceLines::parse(file).ok().flatten();
        let lines = lines(&file).or_else(|| lines(debug.as_ref()?));
        Some(Self { elf, lines })
    }

    /// The places of an address as linked, outermost first: the one in the function that was compiled, then those in functions
    /// that were inlined there, as far as debug information says so. At least one. Decodes the lines of a unit when the first
    /// address in it is asked for.
    pub fn places(&self, address: u64) -> Vec<CodePlace> {
        let mut places = self.lines.as_ref().map_or(Vec::new(), |lines| lines.at(address));
        if places.is_empty() {
            places.push(CodePlace::default());
        }
        if places[0].function.is_none() {
            places[0].function = self.elf.symbol_at(address).map(|symbol| plain(&symbol.name));
        }
        places
    }
}

/// Where what was stripped off a file of this build id would be.
fn debug_file(root: &Path, build_id: &[u8]) -> Option<PathBuf> {
    let [first, rest @ ..] = build_id else { return None };
    let rest: String = rest.iter().map(|byte| format!("{byte:02x}")).collect();
    Some(root.join(DEBUG_FILES).join(format!("{first:02x}")).join(format!("{rest}.debug")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::process::Command;

    const SOURCE: &str = "static int hidden(int n) { return n + 1; }\nint (*shown)(int) = hidden;\n";

    fn run(words: &[&str], folder: &Path) {
        let status = Command::new(words[0]).args(&words[1..]).current_dir(folder).status();
        assert!(status.is_ok_and(|status| status.success()), "{words:?}");
    }

    #[test]
    fn a_pipe_is_no_file_of_code() {
        let folder = std::env::temp_dir().join(format!("heapray-pipes-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        run(&["mkfifo", "pipe.so"], &folder);
        assert!(CodeFile::read(&folder, &folder.join("pipe.so")).is_none());
        fs::remove_dir_all(&folder).expect("removable");
    }

    #[test]
    fn what_was_stripped_off_is_found_by_its_build_id() {
        let folder = std::env::temp_dir().join(format!("heapray-debug-files-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a temporary folder");
        fs::write(folder.join("hidden.c"), SOURCE).expect("writable");
        run(&["cc", "-g", "-shared", "-Wl,--build-id", "-o", "full.so", "hidden.c"], &folder);
        run(&["strip", "-o", "bare.so", "full.so"], &folder);
        let full = ElfFile::read(File::open(folder.join("full.so")).expect("made")).expect("an ELF file");
        let hidden = full.address_of("hidden").expect("it has all symbols");
        let read = || CodeFile::read(&folder, &folder.join("bare.so")).expect("an ELF file");
        assert_eq!(read().places(hidden), [CodePlace::default()]);

        let debug = debug_file(&folder, &full.build_id).expect("it has a build id");
        fs::create_dir_all(debug.parent().expect("a folder")).expect("a temporary folder");
        run(&["objcopy", "--only-keep-debug", "full.so", debug.to_str().expect("plain")], &folder);
        let place = read().places(hidden).remove(0);
        assert_eq!((place.function.as_deref(), place.line), (Some("hidden"), 1));
        assert!(place.file.is_some_and(|file| file.ends_with("/hidden.c")));
        fs::remove_dir_all(&folder).expect("removable");
    }
}
