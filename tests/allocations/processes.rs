//! Processes that fork, exec, spawn and end in a hurry are recorded, and come out as they would have.

use heapray_tests::{Program, is_full};

use crate::claims::{PYTHON, outer_pythons, pythons};

const FORKS: &str = r#"
import os, sys
def work(n): return [bytes(600) for _ in range(n)]
kept = work(100)
codes = []
for round in range(ROUNDS):
    child = os.fork()
    if child == 0:
        mine = work(50)
        if round % 10 == 0:
            grandchild = os.fork()
            if grandchild == 0:
                mine += work(50)
                os._exit(len(mine))
            assert os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == 100
        os._exit(len(mine))
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(set(codes), len(codes))
sys.stdout.flush()
os._exit(0)
"#;

/// Children of all kinds, twenty at once.
const SPAWNS: &str = r#"
import os, subprocess, sys
def work(n): return [bytes(600) for _ in range(n)]
kept = work(100)
codes = []
for round in range(ROUNDS):
    some = [subprocess.Popen(["/bin/sh", "-c", "exit 3"], close_fds=bool(n % 2)) for n in range(10)]
    spawned = [os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], {"A": "1"}) for n in range(10)]
    codes += [child.wait() for child in some]
    codes += [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in spawned]
codes.append(os.waitstatus_to_exitcode(os.system("exit 3")))
print(set(codes), len(codes))
missing = 0
for n in range(5):
    try: subprocess.run(["/no/such/program"])
    except FileNotFoundError: missing += 1
print(missing)
sys.stdout.flush()
os._exit(0)
"#;

/// Commands of a shell, started by the C library itself.
const SHELLS: &str = r##"
import os, shlex, sys
def work(n): return [bytes(600) for _ in range(n)]
if len(sys.argv) == 2:
    kept = work(100)
    print(sorted(name for name in os.environ if "RAY" in name or "PRELOAD" in name), flush=True)
    os._exit(int(sys.argv[1]))
again = shlex.join([sys.executable, __file__])
commands = [f"{again} 3", f"echo \"it's\"; {again} 0", "kill -9 $$", "no_such_program", ")", "#", "", f"{again} 5 #" + "x" * 5000]
print([os.waitstatus_to_exitcode(os.system(command)) for command in commands], flush=True)
os._exit(0)
"##;

const EXECS: &str = r#"
import os, sys
def work(n): return [bytes(600) for _ in range(n)]
n = int(os.environ.get("LEFT", "3"))
kept = work(100 * n)
print(n, sorted(name for name in os.environ if "RAY" in name or "PRELOAD" in name), flush=True)
if n:
    os.environ["LEFT"] = str(n - 1)
    os.execv(sys.executable, [sys.executable, __file__])
os._exit(5)
"#;

const POOL: &str = r#"
import multiprocessing, os
def work(n): return len([bytes(600) for _ in range(n)])
if __name__ == "__main__":
    for method in ("fork", "spawn", "forkserver"):
        with multiprocessing.get_context(method).Pool(3) as pool:
            print(method, sum(pool.map(work, range(100))))
"#;

/// Shells that execute one program after the other and end at once: several programs of a process may be there when the collector
/// looks, in slots whose order says nothing.
const CHAINS: &str = r##"
import os, subprocess, sys
script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "chain.sh")
with open(script, "w") as file:
    file.write("#!/usr/bin/env bash\nset -e\na() { for j in 1 2 3; do y=\"$(compgen -v)$y\"; done; }\na\nexec \"$@\"\n")
os.chmod(script, 0o755)
chains = 'for i in $(seq ROUNDS); do { cat <("$0" true) <("$0" echo a); } | "$0" cat; done'
print(subprocess.run(["bash", "-c", chains, script], stdout=subprocess.PIPE, check=True).stdout)
sys.stdout.flush()
os._exit(0)
"##;

#[test]
fn no_program_of_a_chain_is_taken_for_another() {
    let text = CHAINS.replace("ROUNDS", if is_full() { "200" } else { "15" });
    for python in outer_pythons() {
        let plain = Program::new(python, &text).plain();
        let recorded = Program::new(python, &text).exact().record_well();
        assert_eq!(recorded.answer.stdout, plain.stdout, "{}", python.version());
        for (name, task) in ["damaged_cells", "lost_events"]
            .iter()
            .flat_map(|name| recorded.tables.tasks.iter().map(move |task| (name, task)))
        {
            assert_eq!(
                task.int(name).unwrap_or(0),
                0,
                "{}: {name} of process {}",
                python.version(),
                task.number
            );
        }
    }
}

#[test]
fn a_storm_of_forks_comes_out_as_without() {
    let rounds: usize = if is_full() { 1000 } else { 60 };
    let text = FORKS.replace("ROUNDS", &rounds.to_string());
    for python in pythons() {
        for options in [&["--sample-interval", "4096"][..], &["--mode", "exact", "--level", "objects"]] {
            let plain = Program::new(python, &text).plain();
            let recorded = Program::new(python, &text).options(options).record_well();
            let who = format!("{} {options:?}", python.version());
            assert_eq!(recorded.answer.stdout, plain.stdout, "{who}");
            assert_eq!(
                recorded.tables.tasks.len(),
                1 + rounds + rounds.div_ceil(10),
                "{who}: every process is there"
            );
            if options.contains(&"exact") {
                let children = recorded.tables.tasks.iter().skip(1);
                let thin = children.filter(|task| {
                    recorded.allocated(task, PYTHON).get(&3).is_none_or(|sum| sum.bytes < 50.0 * 633.0)
                });
                assert_eq!(thin.count(), 0, "{who}: each child's own work is there");
            }
        }
    }
}

#[test]
fn spawned_processes_come_out_as_without() {
    let text = SPAWNS.replace("ROUNDS", if is_full() { "100" } else { "5" });
    for python in pythons() {
        for options in [&[][..], &["--mode", "exact", "--level", "objects"]] {
            let plain = Program::new(python, &text).plain();
            let recorded = Program::new(python, &text).options(options).record_well();
            assert_eq!(recorded.answer.stdout, plain.stdout, "{} {options:?}", python.version());
        }
    }
}

#[test]
fn programs_that_are_executed_are_recorded_on() {
    for python in pythons() {
        let plain = Program::new(python, EXECS).plain();
        let recorded = Program::new(python, EXECS).exact().record();
        assert_eq!(recorded.answer.status, Some(5), "{}: {:?}", python.version(), recorded.answer);
        assert_eq!(recorded.answer.stdout, plain.stdout, "{}", python.version());
        let made: Vec<u64> = recorded
            .tables
            .tasks
            .iter()
            .map(|task| recorded.allocated(task, PYTHON).get(&3).map_or(0, |sum| sum.bytes as u64 / 63_300))
            .filter(|hundreds| *hundreds > 0)
            .collect();
        assert_eq!(made, [3, 2, 1], "{}: the work of each program", python.version());
    }
}

#[test]
fn what_a_shell_starts_is_recorded_and_comes_out_as_without() {
    for python in pythons() {
        for options in [&[][..], &["--mode", "exact"]] {
            let who = format!("{} {options:?}", python.version());
            let plain = Program::new(python, SHELLS).plain();
            let recorded = Program::new(python, SHELLS).options(options).record_well();
            assert_eq!(recorded.answer.stdout, plain.stdout, "{who}");
            let said = |answer: &str| answer.lines().filter(|line| !line.starts_with("heapray: ")).count();
            assert_eq!(said(&recorded.answer.stderr), said(&plain.stderr), "{who}: {:?}", recorded.answer);
            if options.contains(&"exact") {
                let works = recorded.tables.tasks.iter().filter(|task| {
                    recorded.allocated(task, PYTHON).get(&3).is_some_and(|sum| sum.bytes >= 100.0 * 633.0)
                });
                assert_eq!(works.count(), 2, "{who}: the work of both programs that a shell started");
            }
        }
    }
}

#[test]
fn pools_of_processes_work() {
    for python in outer_pythons() {
        for options in [&[][..], &["--mode", "exact", "--level", "objects"]] {
            let plain = Program::new(python, POOL).plain();
            let recorded = Program::new(python, POOL).options(options).record_well();
            assert_eq!(recorded.answer.stdout, plain.stdout, "{} {options:?}", python.version());
        }
    }
}

/// As a program in another root: the agent's file is not where it was.
const CUT_OFF: &str = r#"
import os, subprocess, sys
files = {line.split()[-1] for line in open("/proc/self/maps") if line.rstrip().endswith("heapray-agent.so")}
for file in files: os.remove(file)
print(subprocess.run(["/bin/echo", "fine"], stdout=subprocess.PIPE, stderr=subprocess.PIPE))
sys.stdout.flush()
os._exit(0)
"#;

#[test]
fn a_program_that_cannot_find_the_agent_runs_without_a_word() {
    for python in outer_pythons() {
        let plain = Program::new(python, CUT_OFF).plain();
        let recorded = Program::new(python, CUT_OFF).record_well();
        assert_eq!(recorded.answer.stdout, plain.stdout, "{}", python.version());
        let told = recorded
            .answer
            .stderr
            .contains("1 program executed in another root or as another user not recorded");
        assert!(told, "{}: {:?}", python.version(), recorded.answer);
    }
}
