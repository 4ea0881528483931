//! Memory and task limits of the control group that a process is in, version 1 or 2.
//!
//! A limit anywhere above the group binds it too, so the tightest level on the way up is the one reported. Files
//! that cannot be read (another mount namespace, no controller) leave their figure at `None`.

use std::fs::read_to_string;
use std::path::{Path, PathBuf};

/// What binds a process: figures of the tightest level of its control group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// The group's path in its hierarchy.
    pub path: String,
    /// Memory charged at the tightest level, in bytes.
    pub current_bytes: Option<u64>,
    /// Memory limit at that level, in bytes; `None` where there is none.
    pub max_bytes: Option<u64>,
    /// Anonymous memory of the group itself, in bytes.
    pub anonymous_bytes: Option<u64>,
    /// Page cache of the group itself, in bytes.
    pub file_bytes: Option<u64>,
    /// Page cache that the kernel drops before it kills, at the tightest level, in bytes.
    pub droppable_bytes: u64,
    /// Tasks at the tightest level.
    pub tasks: Option<u64>,
    /// Task limit at that level; `None` where there is none.
    pub tasks_max: Option<u64>,
}

impl Cgroup {
    /// Bytes that can still be charged before the kernel must kill: limit − charge + droppable page cache.
    /// `None` where nothing limits the group.
    pub fn headroom_bytes(&self) -> Option<u64> {
        let used = self.current_bytes?.saturating_sub(self.droppable_bytes);
        Some(self.max_bytes?.saturating_sub(used))
    }

    /// Tasks that can still be made; `None` where nothing limits the group.
    pub fn task_headroom(&self) -> Option<u64> {
        Some(self.tasks_max?.saturating_sub(self.tasks?))
    }
}

/// The names of one controller's files in one version of the interface.
struct Names {
    current: &'static str,
    max: &'static str,
    anonymous: &'static str,
    file: &'static str,
    /// The kernel's two lists of page cache: it takes from the first, and fills that from the second.
    droppable: [&'static str; 2],
}

const V2: Names = Names {
    current: "memory.current",
    max: "memory.max",
    anonymous: "anon ",
    file: "file ",
    droppable: ["inactive_file ", "active_file "],
};
const V1: Names = Names {
    current: "memory.usage_in_bytes",
    max: "memory.limit_in_bytes",
    anonymous: "total_rss ",
    file: "total_cache ",
    droppable: ["total_inactive_file ", "total_active_file "],
};
/// Version 1 writes "no limit" as the largest multiple of the page size; anything near it is none.
const NO_LIMIT_BYTES: u64 = 1 << 60;

/// The control group of process `pid`; all figures are `None` where nothing is readable. Costs some 10 file reads a level.
pub fn cgroup(pid: i32) -> Cgroup {
    let membership = read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    let mounts = read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let mut out = Cgroup::default();
    if let Some((folders, path, names)) = find(&membership, &mounts, "memory") {
        out.path = path;
        fill_memory(&mut out, &folders, names);
    }
    if let Some((folders, _, _)) = find(&membership, &mounts, "pids") {
        fill_tasks(&mut out, &folders);
    }
    out
}

/// The folders of the group that `controller` works in, the group itself first, then each level above it.
fn find(membership: &str, mounts: &str, controller: &str) -> Option<(Vec<PathBuf>, String, &'static Names)> {
    let of = |wanted: &str| {
        membership.lines().find_map(|line| {
            let mut fields = line.splitn(3, ':');
            let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
            controllers.split(',').any(|name| name == wanted).then(|| path.to_owned())
        })
    };
    if let Some(path) = of(controller)
        && let Some(mount) = mount_of(mounts, "cgroup", Some(controller))
    {
        return Some((levels(&mount, &path), path, &V1));
    }
    let path = of("")?;
    let mount = mount_of(mounts, "cgroup2", None)?;
    Some((levels(&mount, &path), path, &V2))
}

/// Mount point and root of the hierarchy, from the lines of mountinfo (proc_pid_mountinfo(5)).
fn mount_of(mounts: &str, kind: &str, controller: Option<&str>) -> Option<(PathBuf, String)> {
    mounts.lines().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let mut fields = right.split(' ');
        let fits = fields.next()? == kind
            && controller.is_none_or(|name| right.split([' ', ',']).skip(2).any(|word| word == name));
        let mut fields = left.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        fits.then(|| (PathBuf::from(point), root.to_owned()))
    })
}

fn levels((mount, root): &(PathBuf, String), path: &str) -> Vec<PathBuf> {
    // Inside a container the mount shows a part of the hierarchy only: what is above its root is not there to be read.
    let below = if root == "/" { path } else { path.strip_prefix(root.as_str()).unwrap_or(path) };
    let leaf = mount.join(below.trim_start_matches('/'));
    let leaf = if leaf.is_dir() { leaf } else { mount.clone() };
    leaf.ancestors().take_while(|folder| folder.starts_with(mount)).map(Path::to_path_buf).collect()
}

fn fill_memory(out: &mut Cgroup, folders: &[PathBuf], names: &Names) {
    if let Some(stat) = folders.first().and_then(|leaf| read_to_string(leaf.join("memory.stat")).ok()) {
        out.anonymous_bytes = field(&stat, names.anonymous);
        out.file_bytes = field(&stat, names.file);
    }
    let mut tightest = u64::MAX;
    for folder in folders {
        let (Some(current), max) = (number(folder, names.current), number(folder, names.max)) else {
            continue;
        };
        let max = max.filter(|bytes| *bytes < NO_LIMIT_BYTES);
        let stat = read_to_string(folder.join("memory.stat")).unwrap_or_default();
        let droppable: u64 = names.droppable.iter().filter_map(|key| field(&stat, key)).sum();
        let headroom = max.map_or(u64::MAX, |max| max.saturating_sub(current.saturating_sub(droppable)));
        if out.current_bytes.is_none() || headroom < tightest {
            tightest = headroom;
            (out.current_bytes, out.max_bytes, out.droppable_bytes) = (Some(current), max, droppable);
        }
    }
}

fn fill_tasks(out: &mut Cgroup, folders: &[PathBuf]) {
    let mut tightest = u64::MAX;
    for folder in folders {
        let (Some(tasks), Some(max)) = (number(folder, "pids.current"), number(folder, "pids.max")) else {
            continue;
        };
        if max.saturating_sub(tasks) < tightest {
            tightest = max.saturating_sub(tasks);
            (out.tasks, out.tasks_max) = (Some(tasks), Some(max));
        }
    }
}

fn number(folder: &Path, file: &str) -> Option<u64> {
    read_to_string(folder.join(file)).ok()?.trim().parse().ok()
}

fn field(stat: &str, key: &str) -> Option<u64> {
    stat.lines().find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
}

/// Memory of the machine in bytes; `u64::MAX` where it does not say.
pub fn machine_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up hierarchy on disk: the leaf has no limit, the level above has 100 bytes of which 15 can be dropped.
    fn hierarchy(name: &str) -> PathBuf {
        let root = std::env::temp_dir().join(format!("heapray-cgroup-{name}-{}", std::process::id()));
        let leaf = root.join("a/b");
        std::fs::create_dir_all(&leaf).expect("temporary folder");
        let write = |path: PathBuf, text: &str| std::fs::write(path, text).expect("temporary file");
        write(leaf.join("memory.current"), "60\n");
        write(leaf.join("memory.max"), "max\n");
        write(leaf.join("memory.stat"), "anon 50\nfile 10\ninactive_file 7\n");
        write(root.join("a/memory.current"), "90\n");
        write(root.join("a/memory.max"), "100\n");
        write(root.join("a/memory.stat"), "anon 70\nfile 20\ninactive_file 10\nactive_file 5\n");
        write(root.join("a/pids.current"), "5\n");
        write(root.join("a/pids.max"), "8\n");
        root
    }

    #[test]
    fn the_tightest_level_above_binds() {
        let root = hierarchy("tight");
        let folders = levels(&(root.clone(), "/".into()), "/a/b");
        let mut out = Cgroup::default();
        fill_memory(&mut out, &folders, &V2);
        fill_tasks(&mut out, &folders);
        assert_eq!((out.current_bytes, out.max_bytes, out.anonymous_bytes), (Some(90), Some(100), Some(50)));
        assert_eq!((out.headroom_bytes(), out.task_headroom()), (Some(25), Some(3)));
        std::fs::remove_dir_all(root).expect("temporary folder");
    }

    #[test]
    fn both_versions_are_found_in_mountinfo() {
        let mounts = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
            36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let v1 = find("4:memory:/x\n0::/y\n", mounts, "memory").expect("found");
        assert_eq!((v1.1.as_str(), v1.2.max), ("/x", "memory.limit_in_bytes"));
        let v2 = find("0::/y\n", mounts, "memory").expect("found");
        assert_eq!((v2.1.as_str(), v2.2.max), ("/y", "memory.max"));
        assert!(find("", "", "memory").is_none());
    }
}
