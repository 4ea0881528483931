//! `heapray run` is not noticed: exit status, output, environment, signals and terminal are the program's own.

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;

use heapray_tests::Program;

use crate::claims::{newest, pythons};

const MODES: &[&[&str]] =
    &[&[], &["--mode", "exact"], &["--mode", "exact", "--level", "malloc"], &["--mode", "exact", "--native"]];

#[test]
fn the_exit_status_is_the_programs() {
    for python in pythons() {
        for (code, status) in [(0, 0), (1, 1), (7, 7), (255, 255)] {
            let answer = Program::new(python, &format!("import sys\nsys.exit({code})")).record().answer;
            assert_eq!(answer.status, Some(status), "{}: {answer:?}", python.version());
        }
    }
    let program = Program::new(newest(), "import os\nos.kill(os.getpid(), 15)");
    let status = program.command_recorded().status().expect("heapray starts");
    assert_eq!(status.signal(), Some(15), "ended by the same signal");
}

#[test]
fn the_output_is_the_programs() {
    let text = "import os, sys, subprocess\n\
                print('out', len(sys.argv), os.path.basename(__file__))\n\
                print('err', file=sys.stderr)\n\
                print({k: v for k, v in os.environ.items() if 'HEAPRAY' in k or 'PRELOAD' in k})\n\
                sys.stdout.flush()\n\
                subprocess.run(['sh', '-c', 'echo child; env | grep -E \"HEAPRAY|PRELOAD\"; exit 0'])\n\
                subprocess.run([sys.executable, '-c', 'import os; print(sorted(os.environ))'], env={'A': '1'})\n\
                print(open('/proc/self/comm').read())\n";
    for python in pythons() {
        for options in MODES {
            let plain = Program::new(python, text).plain();
            let recorded = Program::new(python, text).options(options).record_well().answer;
            assert_eq!(recorded.stdout, plain.stdout, "{} {options:?}", python.version());
            assert!(recorded.stderr.contains("err\n"), "{recorded:?}");
            assert!(!recorded.stderr.contains("ld.so"), "the loader is content: {recorded:?}");
        }
    }
}

#[test]
fn a_preload_of_the_users_stays() {
    let count = crate::native::libraries().count.as_str();
    let text = "import ctypes, os\nprint(os.environ['LD_PRELOAD'], bool(ctypes.CDLL(None).count_of))";
    let program = || Program::new(newest(), text).variable("LD_PRELOAD", count);
    assert_eq!(program().record_well().answer.stdout, program().plain().stdout);
}

#[test]
fn signals_reach_the_program_once() {
    let text = "import signal, sys\n\
                def told(number, frame): print('told', number, flush=True)\n\
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1): signal.signal(number, told)\n\
                print('ready', flush=True)\n\
                while True:\n    signal.pause()\n    if input_ends(): break\n";
    let text = text.replace("input_ends()", "signal.getsignal(signal.SIGTERM) is None");
    let program = Program::new(newest(), &text);
    let mut child = program.command_recorded().spawn().expect("heapray starts");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
    let mut next = || lines.next().expect("the program goes on").expect("it prints UTF-8");
    assert_eq!(next(), "ready");
    for number in [15, 1, 10] {
        kill(child.id(), number);
        assert_eq!(next(), format!("told {number}"));
    }
    let python = child_of(child.id());
    kill(python, 9);
    let status = child.wait().expect("heapray can be waited for");
    assert_eq!((status.code(), status.signal()), (None, Some(9)));
}

/// The only child of a process.
fn child_of(pid: u32) -> u32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it runs");
    text.split_whitespace().next().and_then(|word| word.parse().ok()).expect("it has a child")
}

fn kill(pid: u32, signal: u32) {
    let status = std::process::Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
    assert!(status.expect("kill runs").success(), "process {pid} is there");
}
