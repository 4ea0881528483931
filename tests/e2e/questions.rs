//! Every question about a real heap with known holders: exit status 0, and the holder is named, as text and as JSON.

use std::io::Read;
use std::path::{Path, PathBuf};

use heapray_testkit::{Python, Target, find_pythons};
use heapray_tests::{Answer, Scratch, heapray, heapray_command, one_line_error};
use serde_json::Value;

/// Two snapshots of questions.py, between which its buffer grew, and what the process counted at the first.
struct Heaps {
    scratch: Scratch,
    /// Lists above 100 elements, `Row`s, instances of `Base`, dicts of 300 to 999 items: all tracked.
    seen: Vec<u64>,
}

impl Heaps {
    fn take(python: &Python) -> Heaps {
        let mut target = Target::start(python, include_str!("questions.py"));
        let seen = target.numbers();
        let heaps = Heaps { scratch: Scratch::new(), seen };
        snapshot(&target, &heaps.before());
        target.say("grow");
        target.line();
        snapshot(&target, &heaps.after());
        heaps
    }

    fn before(&self) -> PathBuf {
        self.scratch.file("before.snapshot")
    }

    fn after(&self) -> PathBuf {
        self.scratch.file("after.snapshot")
    }

    /// Asks about the first snapshot; the answer is good.
    fn ask(&self, command: &str, words: &[&str]) -> Answer {
        let before = self.before();
        let mut all = vec![command.as_ref(), before.as_os_str()];
        all.extend(words.iter().map(|word| std::ffi::OsStr::new(*word)));
        good(heapray(all), command)
    }

    /// As text and as JSON, the answer has all of `names`.
    fn names(&self, command: &str, words: &[&str], names: &[&str]) -> Value {
        let text = self.ask(command, words);
        let json = self.ask(command, &[words, &["--json"]].concat()).json();
        for name in names {
            assert!(text.stdout.contains(name), "{command} {words:?} names {name}: {text:?}");
            assert!(json.to_string().contains(name), "{command} {words:?} names {name} in JSON: {json:#}");
        }
        json
    }

    fn n_matches(&self, expression: &str) -> Option<u64> {
        self.ask("find", &[expression, "--json"]).json()["n_matches"].as_u64()
    }
}

fn snapshot(target: &Target, file: &Path) {
    let pid = target.pid().to_string();
    let taken = heapray(["snapshot".as_ref(), pid.as_ref(), "-o".as_ref(), file.as_os_str()]);
    good(taken, "snapshot");
}

fn good(answer: Answer, command: &str) -> Answer {
    assert_eq!(answer.status, Some(0), "{command}: {answer:?}");
    assert_eq!(answer.stderr, "", "{command} has nothing to complain about: {answer:?}");
    answer
}

fn any_python() -> &'static Python {
    find_pythons().iter().find(|python| python.minor() == 12).unwrap_or(&find_pythons()[0])
}

#[test]
fn every_question_names_the_holder() {
    let heaps = Heaps::take(any_python());
    let types = heaps.names("types", &[], &["__main__.Row"]);
    let row = types["types"].as_array().into_iter().flatten().find(|row| row["name"] == "__main__.Row");
    assert_eq!(row.expect("a row of the type")["count"], 2000);
    let holders = heaps.names("holders", &[], &["__main__.buffer", "__main__.Registry.entries"]);
    assert_eq!(holders["holders"][0]["holder"], "__main__.buffer", "{holders:#}");
    heaps.names("find", &["type=list and elem=Row"], &["__main__.buffer"]);
    heaps.names("refs", &["__main__.buffer"], &["__main__.Row"]);
    let chain = heaps.names("chain", &["__main__.buffer[7].payload"], &["__main__.buffer[7].payload"]);
    assert_eq!(chain["from_module"], true, "{chain:#}");
    let why = heaps.names("why", &["__main__.Row"], &["__main__.buffer", "__main__.buffer[*]"]);
    assert_eq!(why["n_objects"], 2000, "{why:#}");
    let cycles = heaps.names("cycles", &[], &["Node"]);
    assert!(cycles["n_garbage"].as_u64() >= Some(30), "{cycles:#}");
    heaps.names("info", &[], &["gc.enabled"]);
}

#[test]
fn growth_and_leaks_of_two_files_name_the_buffer() {
    let heaps = Heaps::take(any_python());
    let (before, after) = (heaps.before(), heaps.after());
    for json in [false, true] {
        let mut words = vec!["growth".as_ref(), before.as_os_str(), after.as_os_str()];
        words.extend(json.then_some(std::ffi::OsStr::new("--json")));
        let grown = good(heapray(&words), "growth");
        assert!(grown.stdout.contains("__main__.buffer"), "{grown:?}");
        words[0] = "leaks".as_ref();
        let leaks = heapray(&words);
        assert!(matches!(leaks.status, Some(0 | 1)), "{leaks:?}");
        assert!(leaks.stdout.contains("__main__.buffer"), "grown, be it a leak or not: {leaks:?}");
    }
}

#[test]
fn growth_of_two_processes_is_refused_unless_asked_for() {
    let (one, other) = (Heaps::take(any_python()), Heaps::take(any_python()));
    let (before, after) = (one.before(), other.after());
    let mut words = vec!["growth".as_ref(), before.as_os_str(), after.as_os_str()];
    one_line_error(&heapray(&words), &["not of one process", "--any-process"]);
    words[0] = "leaks".as_ref();
    one_line_error(&heapray(&words), &["not of one process"]);
    words[0] = "growth".as_ref();
    words.push("--any-process".as_ref());
    let grown = good(heapray(&words), "growth");
    assert!(grown.stdout.contains("__main__.buffer"), "{grown:?}");
    let (before, after) = (one.after(), one.before());
    let turned = ["growth".as_ref(), before.as_os_str(), after.as_os_str()];
    one_line_error(&heapray(turned), &["older one first"]);
}

#[test]
fn find_counts_what_the_process_counts() {
    for python in find_pythons() {
        let heaps = Heaps::take(python);
        let expressions = [
            "isinstance=list and len>100 and tracked",
            "type=Row and tracked",
            "isinstance=Base and tracked",
            "type=dict and len>=300 and len<1000 and tracked",
        ];
        for (expression, seen) in expressions.iter().zip(&heaps.seen) {
            let found = heaps.n_matches(expression);
            assert_eq!(found, Some(*seen), "Python {}: {expression}", python.version());
        }
        for (expression, n) in [
            ("type=Node and garbage", 30),
            ("type=Row and garbage", 0),
            ("type=Closing and finalizer", 1),
            (
                "type~_.Ro and not isinstance=list and not finalizer and not frozen and not orphan and not immortal",
                2000,
            ),
            ("attr=closing and type=Closing", 1),
        ] {
            assert_eq!(heaps.n_matches(expression), Some(n), "Python {}: {expression}", python.version());
        }
    }
}

#[test]
fn pictures_are_drawn_in_every_form() {
    let heaps = Heaps::take(any_python());
    for (form, head) in [("svg", "<"), ("png", "\u{fffd}PNG"), ("dot", "digraph")] {
        for (command, subject) in
            [("why", "__main__.Row"), ("refs", "__main__.buffer"), ("chain", "__main__.closing")]
        {
            let file = heaps.scratch.file(&format!("{command}.{form}"));
            heaps.ask(command, &[subject, "--output", &file.to_string_lossy()]);
            let picture = std::fs::read(&file).expect("the picture was drawn");
            assert!(String::from_utf8_lossy(&picture).starts_with(head), "{command} as {form}");
        }
    }
}

#[test]
fn reader_that_closes_the_pipe_is_no_error() {
    let heaps = Heaps::take(any_python());
    let before = heaps.before();
    let words =
        ["find".as_ref(), before.as_os_str(), "size>0".as_ref(), "--limit".as_ref(), "100000".as_ref()];
    let mut child = heapray_command(words).spawn().expect("heapray starts");
    let mut head = [0; 16];
    let mut output = child.stdout.take().expect("its output is piped");
    output.read_exact(&mut head).expect("an answer begins");
    drop(output);
    let ended = child.wait_with_output().expect("heapray ends");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(ended.stderr.is_empty(), "a closed pipe is quiet: {ended:?}");
}
