//! Finds the Python interpreters of this machine: the supported ones, and others that must be refused.
//!
//! Looked at: `$HEAPRAY_PYTHONS` (colon-separated executables) or else pyenv's versions; `/usr/bin/python3.*`;
//! and the same in the root file systems `$HEAPRAY_PYTHON_ROOTS` (colon-separated; the workspace's `target/newer-pythons` where unset),
//! which are run through `chroot` and so need root.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// An interpreter that can be run here.
#[derive(Clone, Debug)]
pub struct Python {
    /// `sys.hexversion`.
    pub version_hex: u32,
    /// `sys.implementation.name`.
    pub implementation: String,
    /// `sys.abiflags`: empty for release builds, `d` for debug, `t` for free-threaded ones.
    pub abi_flags: String,
    /// The executable, as seen inside `root`.
    pub exe: PathBuf,
    /// The root file system it lives in, when not ours.
    pub root: Option<PathBuf>,
    /// Its directory with `Python.h` as we see it (with `root` in front), whether or not that exists.
    pub include: PathBuf,
}

impl Python {
    /// A command that runs this interpreter; give it arguments and pipes. The child's pid is the interpreter's.
    pub fn command(&self) -> Command {
        launcher(&self.exe, self.root.as_deref())
    }

    /// `3.12.1`, for messages.
    pub fn version(&self) -> String {
        let v = self.version_hex;
        format!("{}.{}.{}", v >> 24, v >> 16 & 0xff, v >> 8 & 0xff)
    }

    /// The minor version: 12 for 3.12.1.
    pub fn minor(&self) -> u32 {
        self.version_hex >> 16 & 0xff
    }

    /// Whether this is a build that heapray promises to read: CPython 3.10 to 3.15, release, with a GIL.
    pub fn is_supported(&self) -> bool {
        let known = (0x030a_0000..0x0310_0000).contains(&self.version_hex);
        known && self.implementation == "cpython" && self.abi_flags.is_empty()
    }

    /// The folder with the packages that `make test` gets for every version (greenlet), as seen inside `root`.
    pub fn wheels(&self) -> PathBuf {
        let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../.demo/wheels");
        let folder =
            Path::new(if self.root.is_some() { "/wheels" } else { here }).join(format!("3.{}", self.minor()));
        let outside = self.outside(&folder);
        assert!(
            outside.exists(),
            "no packages for {} in {}: run make test once",
            self.version(),
            outside.display()
        );
        folder
    }

    /// Where `path`, a path of the interpreter's world, lies in ours.
    pub fn outside(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => root.join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_owned(),
        }
    }
}

/// Every supported interpreter found, in rising order of version; at least one, or the machine cannot test.
pub fn find_pythons() -> &'static [Python] {
    static FOUND: OnceLock<Vec<Python>> = OnceLock::new();
    let found = FOUND.get_or_init(|| all().iter().filter(|python| python.is_supported()).cloned().collect());
    assert!(!found.is_empty(), "no CPython 3.10 to 3.15 found: install one or name it in $HEAPRAY_PYTHONS");
    found
}

/// The interpreters found that heapray does not support (older ones, debug builds, PyPy, …); may be empty.
pub fn find_other_pythons() -> Vec<Python> {
    all().iter().filter(|python| !python.is_supported()).cloned().collect()
}

fn all() -> &'static [Python] {
    static ALL: OnceLock<Vec<Python>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut found: Vec<Python> =
            candidates().into_iter().filter_map(|(exe, root)| describe(exe, root)).collect();
        found.sort_by(|a, b| (a.version_hex, &a.root, &a.exe).cmp(&(b.version_hex, &b.root, &b.exe)));
        found
    })
}

fn launcher(exe: &Path, root: Option<&Path>) -> Command {
    match root {
        Some(root) => {
            let mut command = Command::new("chroot");
            command.arg(root).arg(exe);
            command
        }
        None => Command::new(exe),
    }
}

fn candidates() -> Vec<(PathBuf, Option<PathBuf>)> {
    let mut found: Vec<(PathBuf, Option<PathBuf>)> = Vec::new();
    match env::var("HEAPRAY_PYTHONS") {
        Ok(list) => found.extend(split(&list).map(|exe| (exe, None))),
        Err(_) => found.extend(pyenv().into_iter().map(|exe| (exe, None))),
    }
    found.extend(system(Path::new("/")).into_iter().map(|exe| (exe, None)));
    let here = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/newer-pythons");
    let roots = env::var("HEAPRAY_PYTHON_ROOTS").unwrap_or_else(|_| here.into());
    for root in split(&roots).filter(|root| root.is_dir()) {
        found.extend(system(&root).into_iter().map(|exe| (exe, Some(root.clone()))));
    }
    found
}

fn split(list: &str) -> impl Iterator<Item = PathBuf> + '_ {
    list.split(':').filter(|entry| !entry.is_empty()).map(PathBuf::from)
}

/// The interpreters of pyenv, empty without pyenv.
fn pyenv() -> Vec<PathBuf> {
    let root = match Command::new("pyenv").arg("root").stderr(Stdio::null()).output() {
        Ok(out) if out.status.success() => PathBuf::from(String::from_utf8_lossy(&out.stdout).trim()),
        _ => return Vec::new(),
    };
    let Ok(entries) = std::fs::read_dir(root.join("versions")) else { return Vec::new() };
    entries.flatten().map(|entry| entry.path().join("bin/python")).filter(|exe| exe.exists()).collect()
}

/// `/usr/bin/python3.N` and their debug and free-threaded siblings under `root`, as paths inside it.
fn system(root: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for minor in 9..=17 {
        for suffix in ["", "d", "t", "-dbg", "t-dbg"] {
            let exe = format!("usr/bin/python3.{minor}{suffix}");
            if root.join(&exe).exists() {
                found.push(Path::new("/").join(exe));
            }
        }
    }
    found
}

fn describe(exe: PathBuf, root: Option<PathBuf>) -> Option<Python> {
    // sysconfig fails on builds whose development files are not installed.
    const SCRIPT: &str = "import sys\n\
        print(sys.hexversion)\n\
        print(getattr(getattr(sys, 'implementation', None), 'name', 'cpython'))\n\
        flags, include = '-' + getattr(sys, 'abiflags', ''), ''\n\
        try:\n\
        \x20   import sysconfig\n\
        \x20   include = sysconfig.get_paths()['include']\n\
        \x20   flags += 't' if sysconfig.get_config_var('Py_GIL_DISABLED') else ''\n\
        except ImportError: pass\n\
        print(flags)\n\
        print(include)";
    let out =
        launcher(&exe, root.as_deref()).args(["-E", "-c", SCRIPT]).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(out.stdout).ok()?;
    let mut lines = text.lines();
    let mut python = Python {
        version_hex: lines.next()?.parse().ok()?,
        implementation: lines.next()?.to_owned(),
        abi_flags: lines.next()?.strip_prefix('-')?.to_owned(),
        exe,
        root,
        include: PathBuf::new(),
    };
    if python.version_hex < 0x0308_0000 {
        python.abi_flags.clear();
    }
    python.include = python.outside(Path::new(lines.next().unwrap_or_default()));
    Some(python)
}
