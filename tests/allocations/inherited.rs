//! A forked worker knows what it inherited, under the lines that allocated it before the fork.

use heapray_tests::Program;

use crate::claims::{PYTHON, pythons};

/// As `gunicorn --preload`: the application is loaded before the workers are forked.
const TEXT: &str = r#"
import gc, os, sys
def loads(): return bytes(1000)
def serves(): return bytes(500)
def preload(): return [loads() for _ in range(2000)]
def serve(n): return [serves() for _ in range(n)]
cache = preload()
gc.freeze()
pids = []
for n in (1000, 2000):
    pid = os.fork()
    if pid == 0:
        mine = serve(n)
        if n == 2000: del cache[:1500]
        os._exit(0)
    os.waitpid(pid, 0)
    pids.append(pid)
print(*pids)
sys.stdout.flush()
os._exit(0)
"#;

#[test]
fn a_forked_worker_knows_what_it_inherited() {
    let line =
        |text: &str| TEXT.lines().position(|line| line.starts_with(text)).expect("it is there") as u32 + 1;
    let (preload, serve) = (line("def loads"), line("def serves"));
    for python in pythons() {
        let recorded = Program::new(python, TEXT).exact().record_well();
        let pids: Vec<u32> = recorded.last_line().split(' ').map(|pid| pid.parse().expect("a pid")).collect();
        for (pid, kept, own) in [(pids[0], 2000, 1000), (pids[1], 500, 2000)] {
            let task = recorded.task_of(pid);
            let who = format!("{} process {pid}", python.version());
            assert_eq!(task.parent(), Some(recorded.task().number), "{who}");
            let inherited = task.inherited.as_ref().unwrap_or_else(|| panic!("{who} inherited"));
            assert_eq!(inherited.parent, recorded.task().number, "{who}");
            let live = recorded.live(task, PYTHON);
            assert!((live[&preload].bytes - f64::from(kept) * 1033.0).abs() < 2_000.0, "{who}: {live:?}");
            assert!((live[&serve].bytes - f64::from(own) * 533.0).abs() < 2_000.0, "{who}: {live:?}");
        }
        let parent = recorded.live(recorded.task(), PYTHON);
        assert!((parent[&preload].bytes - 2_066_000.0).abs() < 2_000.0, "{}: {parent:?}", python.version());
        // The function itself, which its own line defines, and nothing of what the workers made.
        assert!(parent[&serve].bytes < 2_000.0, "{}: {parent:?}", python.version());
    }
}

#[test]
fn a_sampled_worker_inherits_samples_and_sees_them_go() {
    let line =
        |text: &str| TEXT.lines().position(|line| line.starts_with(text)).expect("it is there") as u32 + 1;
    for python in pythons() {
        let recorded = Program::new(python, TEXT).options(&["--sample-interval", "4096"]).record_well();
        let pids: Vec<u32> = recorded.last_line().split(' ').map(|pid| pid.parse().expect("a pid")).collect();
        let bytes = |pid: u32| recorded.live(recorded.task_of(pid), PYTHON)[&line("def loads")].bytes;
        // 2 MB at 4 KiB: 500 samples, 4.5 % of standard deviation; 4 of them are 18 %.
        assert!(
            (bytes(pids[0]) / 2_066_000.0 - 1.0).abs() < 0.18,
            "{}: {}",
            python.version(),
            bytes(pids[0])
        );
        assert!((bytes(pids[1]) / 516_500.0 - 1.0).abs() < 0.36, "{}: {}", python.version(), bytes(pids[1]));
    }
}
