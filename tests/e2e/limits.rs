//! Near the memory limit of its control group a process is not brought to its end by being asked.
//!
//! Needs the right to make control groups (root, and a writable hierarchy of either version); says so where it is missing.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use heapray_testkit::{Target, find_pythons};
use heapray_tests::{heapray, heapray_command, one_line_error};

const MIB: u64 = 1 << 20;

/// Fills 160 MiB once it is in its group, and writes to all of it when told to.
const TARGET: &str = r#"
import sys
class Widget: pass
sys.stdin.readline()
widgets = [Widget() for _ in range(777)]
pages = [bytearray(b"x" * 4096) for _ in range(40_000)]
texts = [str(n) * 3 for n in range(400_000)]
print("ready", flush=True)
for line in sys.stdin:
    for page in pages:
        page[7] = 1
    for text in texts:
        pass
    print("alive", flush=True)
"#;

/// A memory control group of our own; removed on drop, when its processes have ended.
struct Group {
    folder: PathBuf,
    usage: &'static str,
    limit: &'static str,
}

impl Group {
    /// A group below our own; `None` where none may be made.
    fn make(name: &str) -> Option<Group> {
        let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
        let own = |controller: &str| {
            let mut lines = membership.lines().map(|line| line.splitn(3, ':').collect::<Vec<_>>());
            lines.find(|line| line[1] == controller).map(|line| line[2].trim_start_matches('/').to_owned())
        };
        let v1 = own("memory").map(|path| {
            (Path::new("/sys/fs/cgroup/memory").join(path), "memory.usage_in_bytes", "memory.limit_in_bytes")
        });
        let v2 = own("").map(|path| (Path::new("/sys/fs/cgroup").join(path), "memory.current", "memory.max"));
        let (parent, usage, limit) = v1.or(v2)?;
        let folder = parent.join(format!("heapray-test-{}-{name}", std::process::id()));
        fs::create_dir(&folder).ok()?;
        let group = Group { folder, usage, limit };
        group.path_of(group.limit).exists().then_some(group)
    }

    fn path_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn usage_bytes(&self) -> u64 {
        let text = fs::read_to_string(self.path_of(self.usage)).expect("a group says its usage");
        text.trim().parse().expect("usage is a number")
    }

    /// Starts the target in the group, filled, and leaves it this much room.
    fn target(&self, room_bytes: u64) -> Target {
        let python =
            find_pythons().iter().rfind(|python| python.root.is_none()).expect("a Python is installed");
        let mut target = Target::start(python, TARGET);
        fs::write(self.path_of("cgroup.procs"), target.pid().to_string()).expect("a process may be moved");
        assert_eq!(target.ask("fill"), "ready");
        let limit = self.usage_bytes() + room_bytes;
        fs::write(self.path_of(self.limit), limit.to_string()).expect("a limit may be set");
        target
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Fails while a process that was killed is still on its way out; an empty group costs nothing.
        let _ = fs::remove_dir(&self.folder);
    }
}

/// A group, or a line that says why the test ends here.
fn group(name: &str) -> Option<Group> {
    let group = Group::make(name);
    if group.is_none() {
        eprintln!("skipped: no control group with a memory limit can be made here");
    }
    group
}

#[test]
fn too_little_room_is_said_and_in_place_needs_none() {
    let Some(group) = group("near") else { return };
    let mut target = group.target(20 * MIB);
    let pid = target.pid().to_string();
    one_line_error(&heapray(["types", &pid]), &[&pid, "memory limit", "--in-place"]);
    assert_eq!(target.ask("still there?"), "alive");
    let found = heapray(["find", &pid, "type=__main__.Widget", "--json", "--in-place"]);
    assert_eq!(found.status, Some(0), "{found:?}");
    assert_eq!(found.json()["n_matches"], 777, "{found:?}");
    assert_eq!(target.ask("still there?"), "alive");
    drop(target);
}

#[test]
fn a_target_that_writes_up_to_its_limit_loses_the_copy_and_lives() {
    let Some(group) = group("full") else { return };
    let mut target = group.target(60 * MIB);
    let pid = target.pid().to_string();
    // Its output is a pipe that nobody reads, so heapray keeps the copy until we do.
    let mut asked = heapray_command(["snapshot", &pid, "-o", "-"]).spawn().expect("heapray starts");
    let mut output = asked.stdout.take().expect("its output is piped");
    // Behind the file's header comes what was read of the copy.
    if output.read_exact(&mut [0; 4096]).is_err() {
        panic!("the copy is not being read: {:?}", asked.wait_with_output());
    }
    // 160 MiB of pages that it shares with the copy, where 60 MiB are left.
    assert_eq!(target.ask("write"), "alive");
    assert_eq!(target.ask("still there?"), "alive");
    let mut rest = Vec::new();
    output.read_to_end(&mut rest).expect("a pipe is readable");
    let ended = asked.wait_with_output().expect("heapray ends");
    let message = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(2), "{message}");
    assert!(message.contains("given up while it was read"), "{message}");
    assert_eq!(target.ask("still there?"), "alive");
    drop(target);
}
