//! A core file is read like a process: the same objects, the same trails; cut short, it is met calmly.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use heapray_testkit::{Target, find_pythons};
use heapray_tests::{Answer, Scratch, heapray, one_line_error};

const HEAP: &str = "
import sys
class Widget:
    def __init__(self, n): self.n = n
widgets = [Widget(n) for n in range(777)]
print('ready', flush=True)
sys.stdin.readline()
";

#[test]
fn a_core_file_holds_the_same_objects_as_the_process() {
    let (target, scratch) = (start(), Scratch::new());
    let (live, from_core) = (scratch.file("live.snapshot"), scratch.file("core.snapshot"));
    let core = dump(&target, &scratch);
    let pid = target.pid().to_string();
    let taken = heapray(["snapshot".as_ref(), pid.as_ref(), "-o".as_ref(), live.as_os_str()]);
    assert_eq!(taken.status, Some(0), "{taken:?}");
    let read = read_core(&core, &from_core);
    assert_eq!(read.status, Some(0), "{read:?}");
    for question in [&["find", "type=__main__.Widget"][..], &["chain", "type=__main__.Widget"], &["types"]] {
        let (ours, theirs) = (ask(&live, question), ask(&from_core, question));
        for field in ["/n_matches", "/objects", "/types", "/trail/expression"] {
            assert_eq!(ours.pointer(field), theirs.pointer(field), "{question:?}: {field}");
        }
    }
}

#[test]
fn a_core_cut_short_is_met_calmly() {
    let (target, scratch) = (start(), Scratch::new());
    let core = dump(&target, &scratch);
    let whole = std::fs::metadata(&core).expect("the core file is there").len();
    let snapshot = scratch.file("cut.snapshot");
    for sixteenths in [12, 8, 4, 1, 0] {
        let file = std::fs::File::options().write(true).open(&core).expect("the core file is writable");
        file.set_len(whole * sixteenths / 16).expect("a file can be cut");
        let answer = read_core(&core, &snapshot);
        if answer.status != Some(0) {
            one_line_error(&answer, &["core"]);
        }
    }
}

fn start() -> Target {
    let here = find_pythons().iter().rfind(|python| python.root.is_none());
    let mut target = Target::start(here.expect("a supported Python is installed"), HEAP);
    assert_eq!(target.line(), "ready");
    // Waits until the target sits in its read: before, it still makes objects.
    drop(target.memory());
    target
}

/// A core file of the target, by gdb's gcore.
fn dump(target: &Target, scratch: &Scratch) -> PathBuf {
    let status = Command::new("gcore")
        .arg("-o")
        .arg(scratch.file("core"))
        .arg(target.pid().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("gcore runs: install gdb");
    assert!(status.success(), "gcore writes a core file");
    scratch.file(&format!("core.{}", target.pid()))
}

fn read_core(core: &Path, snapshot: &Path) -> Answer {
    heapray(["snapshot".as_ref(), "--core".as_ref(), core.as_os_str(), "-o".as_ref(), snapshot.as_os_str()])
}

fn ask(file: &Path, question: &[&str]) -> serde_json::Value {
    let mut words = vec![question[0].as_ref(), file.as_os_str()];
    words.extend(question[1..].iter().map(std::ffi::OsStr::new));
    words.push("--json".as_ref());
    let answer = heapray(words);
    assert_eq!(answer.status, Some(0), "{question:?}: {answer:?}");
    answer.json()
}
