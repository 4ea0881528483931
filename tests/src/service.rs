//! The story's service under gunicorn, by way of demo/service.py, as `make demo` runs it.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::Scratch;

/// A running service; stopped with all its processes on drop.
pub struct Service {
    director: Child,
    /// Its port on the loopback interface.
    pub port: u16,
    /// gunicorn's arbiter.
    pub master: u32,
    /// gunicorn's workers, oldest first.
    pub workers: Vec<u32>,
}

impl Service {
    /// Starts `variant` (a key of demo/service.py's VARIANTS) of the service in `folder` and waits until it answers.
    pub fn start(variant: &str, folder: &Path) -> Service {
        let script = story_folder().join("service.py");
        let mut director = Command::new(test_python())
            .arg("-B")
            .args([script.as_os_str(), variant.as_ref(), folder.as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the tests' Python starts");
        let mut line = String::new();
        let stdout = director.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("the director prints UTF-8");
        let numbers: Vec<u32> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
        let [port, master, workers @ ..] = numbers.as_slice() else {
            panic!("the service ({variant}) did not start: {line:?}");
        };
        let port = u16::try_from(*port).expect("a port has 16 bits");
        Service { director, port, master: *master, workers: workers.to_vec() }
    }

    /// The process to ask about.
    pub fn worker(&self) -> u32 {
        *self.workers.first().expect("gunicorn has a worker")
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The director ends its service when its input ends.
        drop(self.director.stdin.take());
        let _ = self.director.wait();
    }
}

/// Where the story's service lies.
pub fn story_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../demo").canonicalize().expect("demo/ is part of the tree")
}

/// A copy of the service with the line that was missing, as `make demo` makes it.
pub fn fixed_copy(scratch: &Scratch) -> PathBuf {
    for name in ["app.py", "data_pipeline.py", "gunicorn_preload.py"] {
        std::fs::copy(story_folder().join(name), scratch.file(name))
            .expect("the service's files are readable");
    }
    let path = scratch.file("data_pipeline.py");
    let leaking = std::fs::read_to_string(&path).expect("the copy is readable");
    let line = "    n_flushed += len(buffer)\n";
    assert_eq!(leaking.matches(line).count(), 1, "the line before the fix stands once");
    let fixed = leaking.replace(line, &format!("{line}    buffer = []\n"));
    std::fs::write(&path, fixed).expect("the copy is writable");
    scratch.path().to_owned()
}

/// The interpreter with the packages of demo/requirements-test.txt; `make test` makes it.
pub fn test_python() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.demo/venv-test/bin/python");
    let path = std::env::var_os("HEAPRAY_TEST_PYTHON").map_or(here, PathBuf::from);
    assert!(path.exists(), "no Python with the tests' packages at {}: run make test once", path.display());
    path
}
