//! What the binary says and how it ends where it is asked wrongly. No process is touched.

use std::path::PathBuf;
use std::process::{Command, Output};

fn heapray(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_heapray")).args(args).output().expect("the binary runs")
}

/// Runs, expects an error with this in its message, and nothing on stdout.
fn check(args: &[&str], expected: &str) {
    let output = heapray(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {message}");
    assert!(message.starts_with("heapray: ") || message.contains("Usage:"), "{args:?}: {message}");
    assert!(message.contains(expected), "{args:?}: {message}");
    assert!(output.stdout.is_empty(), "{args:?}");
    assert!(!message.contains("panicked"), "{args:?}: {message}");
}

#[test]
fn wrong_arguments_are_errors_with_status_two() {
    check(&[], "Usage:");
    check(&["nonsense"], "unrecognized subcommand");
    check(&["types"], "TARGET");
    check(&["types", "0"], "is no process id");
    check(&["types", "99999999999999999999"], "./99999999999999999999");
    check(&["types", "x", "--limit", "many"], "invalid value");
    check(&["leaks", "x", "--interval", "3 parsecs"], "unknown unit");
    check(&["leaks", "1", "--snapshots", "1"], "2..=100");
    check(&["leaks", "one.snapshot"], "at least two");
    check(&["leaks", "1", "2"], "one process id, or snapshot files only");
    check(&["find", "x", "len>"], "cannot read the expression");
    check(&["why", "x", "type=("], "cannot read the expression");
    check(&["why", "x", "y", "--output", "picture.jpeg"], "end it in .svg, .png or .dot");
    check(&["snapshot"], "required");
    check(&["snapshot", "1", "--core", "core"], "cannot be used with");
}

#[test]
fn missing_and_foreign_files_are_named() {
    check(&["types", "/nonexistent/x.snapshot"], "cannot read /nonexistent/x.snapshot: No such file");
    check(&["info", env!("CARGO_MANIFEST_PATH")], "Cargo.toml");
    check(&["info", env!("CARGO_MANIFEST_DIR")], "name a process id, or a file");
    check(&["top", env!("CARGO_MANIFEST_DIR")], "name a file that `heapray run`");
    check(&["top", "/nonexistent/x.hr"], "check its name");
}

#[test]
fn names_of_files_cannot_reach_the_terminal() {
    let output = heapray(&["types", "\x1b[31mx"]);
    assert!(!output.stderr.contains(&0x1b), "{:?}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn help_and_version_go_to_stdout() {
    for args in [&["--help"][..], &["--version"], &["find", "--help"], &["leaks", "--help"]] {
        let output = heapray(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn wrong_questions_about_recordings_are_errors_with_status_two() {
    check(&["top"], "FILE|PID");
    check(&["top", "x", "--sort", "beauty"], "invalid value");
    check(&["top", "x", "--from", "yesterday"], "invalid value");
    check(&["top", "x", "--to", "150%"], "between 0% and 100%");
    check(&["top", "x", "--own", "--cumulative"], "cannot be used with");
    check(&["top", "/nonexistent/x.hr"], "cannot read /nonexistent/x.hr: No such file");
    check(&["tree", env!("CARGO_MANIFEST_PATH")], "Cargo.toml");
    check(&["timeline", "x", "-o", "t.dot"], "end the name in .svg or .png");
    check(&["flamegraph", "x", "-o", "f.jpeg"], ".svg, .html or .png");
    check(&["export", "x"], "cannot tell the format");
    check(&["export", "x", "--format", "xml"], "invalid value");
    check(&["watch", "x", "--every", "1ms"], "at least 100ms");
    check(&["leaks", "1", "--from", "10s"], "`heapray attach 1` first");
    check(&["leaks", "a", "b", "--from", "10s"], "give one recording");
    check(&["leaks", "a", "b", "--process", "1", "--process", "2"], "--process once");
    check(&["tree", "x", "--min", "200"], "between 0 and 100 percent");
    check(&["timeline", "x", "--steps", "0"], "1..=100000");
    check(&["top", &std::process::id().to_string()], "is not being recorded");
}

/// A recording of the synthetic kind, in a file of its own: twelve seconds of a leak.
fn recording(name: &str) -> PathBuf {
    use heapray_capture::synthetic::RecordingBuilder;
    let mut builder = RecordingBuilder::exact();
    let task = builder.task(4242, None);
    let site = (builder.stack(&["thread:MainThread", "leak /srv/shop/app.py:7"]), 8);
    for _ in 0..12 {
        for _ in 0..4 {
            builder.alloc(task, site, 100_000);
        }
        builder.reading(task, 1_000_000);
        builder.advance(1_000_000_000);
    }
    written(name, builder)
}

fn written(name: &str, builder: heapray_capture::synthetic::RecordingBuilder) -> PathBuf {
    let path = std::env::temp_dir().join(format!("heapray-{}-{name}.hr", std::process::id()));
    std::fs::write(&path, builder.bytes()).expect("the temporary directory is writable");
    path
}

/// The answer to a question that has one.
fn answer(args: &[&str]) -> String {
    let output = heapray(args);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {message}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn every_question_about_a_recording_has_an_answer_and_json() {
    let path = recording("questions");
    let file = path.to_str().expect("UTF-8");
    let questions: [&[&str]; 11] = [
        &["top", file],
        &["top", file, "--by", "stack", "--sort", "growth", "--cumulative"],
        &["tree", file, "--what", "growth"],
        &["stats", file],
        &["timeline", file],
        &["peak", file],
        &["temporary", file],
        &["diff", file, file],
        &["watch", file, "--every", "4s"],
        &["info", file],
        &["leaks", file],
    ];
    for question in questions {
        let output = heapray(question);
        let status = if question[0] == "leaks" { 1 } else { 0 };
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{question:?}: {message}");
        assert!(!output.stdout.is_empty(), "{question:?}");
        let output = heapray(&[question, &["--json"]].concat());
        for document in serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>()
        {
            assert!(document.expect("valid JSON").is_object(), "{question:?}");
        }
    }
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn a_truncated_recording_is_read_as_far_as_it_goes() {
    let path = recording("truncated");
    let bytes = std::fs::read(&path).expect("it is there");
    std::fs::write(&path, &bytes[..bytes.len() - 120]).expect("it is writable");
    let output = heapray(&["top", path.to_str().expect("UTF-8")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("leak (app.py:7)") && text.contains("not ended"), "{text}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn exports_and_pictures_are_written() {
    let path = recording("exports");
    let file = path.to_str().expect("UTF-8");
    for ending in ["folded", "pb.gz", "json", "csv", "parquet"] {
        let to = path.with_extension(ending);
        let output = heapray(&["export", file, "-o", to.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{ending}: {}", String::from_utf8_lossy(&output.stderr));
        assert!(std::fs::metadata(&to).expect("it was written").len() > 0);
        std::fs::remove_file(to).expect("it is there");
    }
    for ending in ["svg", "html", "png"] {
        let to = path.with_extension(ending);
        let output = heapray(&["flamegraph", file, "--diff", file, "-o", to.to_str().expect("UTF-8")]);
        assert_eq!(output.status.code(), Some(0), "{ending}: {}", String::from_utf8_lossy(&output.stderr));
        std::fs::remove_file(to).expect("it was written");
    }
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn no_output_goes_over_what_is_read() {
    let path = recording("input");
    let file = path.to_str().expect("UTF-8");
    let before = std::fs::read(&path).expect("it is there");
    let link = path.with_extension("svg");
    std::fs::hard_link(&path, &link).expect("on one file system");
    let other = link.to_str().expect("UTF-8");
    check(&["export", file, "--format", "csv", "-o", file], "it is the file that is read");
    check(&["export", file, "--format", "csv", "-o", other], "it is the file that is read");
    check(&["flamegraph", file, "-o", other], "it is the file that is read");
    check(&["flamegraph", other, "--diff", file, "-o", other], "it is the file that is read");
    check(&["timeline", file, "-o", other], "it is the file that is read");
    check(&["why", file, "0x1", "-o", other], "it is the file that is read");
    assert_eq!(std::fs::read(&path).expect("it is there"), before);
    check(&["export", file, "-o", "/nonexistent/x.csv"], "its directory is not there");
    std::fs::remove_file(link).expect("it is there");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn filters_that_match_nothing_are_told() {
    let path = recording("unmatched");
    let file = path.to_str().expect("UTF-8");
    for filter in [["--function", "nope"], ["--thread", "nope"], ["--module", "nope"], ["--tag", "nope"]] {
        for question in ["top", "tree", "stats", "timeline", "peak", "temporary", "watch"] {
            let text = answer(&[&[question, file], &filter[..]].concat());
            let pattern = format!("nothing in the recording matches {} nope", &filter[0][2..]);
            assert!(text.starts_with(&pattern), "{question} {filter:?}: {text}");
        }
        let json = answer(&[&["top", file, "--json"], &filter[..]].concat());
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(json["rows"].as_array().map(Vec::len), Some(0));
        assert_eq!(json["recording"]["unmatched"][0], format!("{} nope", &filter[0][2..]));
        let output = heapray(&[&["export", file, "--format", "csv"], &filter[..]].concat());
        assert_eq!(output.status.code(), Some(0));
        assert!(String::from_utf8_lossy(&output.stderr).contains("nothing in the recording matches"));
    }
    check(&["flamegraph", file, "--function", "nope", "-o", "/nonexistent/x.svg"], "matches function nope");
    let both = answer(&["top", file, "--function", "leak", "--function", "nope"]);
    assert!(!both.contains("nothing in the recording"), "several of one kind are alternatives: {both}");
    let none = answer(&["top", file, "--limit", "0"]);
    assert!(none.starts_with("4.80 MB live"), "{none}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn empty_windows_say_why() {
    let path = recording("window");
    let file = path.to_str().expect("UTF-8");
    check(&["top", file, "--from", "3s", "--to", "3.1s"], "no slice ends in the window 3.0 s to 3.1 s");
    check(&["top", file, "--from", "4s", "--to", "3s"], "--from must be earlier than --to");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn several_processes_are_chosen() {
    use heapray_capture::synthetic::RecordingBuilder;
    let mut builder = RecordingBuilder::exact();
    let site = (builder.stack(&["work /srv/shop/app.py:7"]), 8);
    for (pid, size) in [(11, 1_000), (12, 20_000), (13, 300_000)] {
        let task = builder.task(pid, None);
        builder.alloc(task, site, size);
    }
    builder.advance(1_000_000_000);
    let path = written("processes", builder);
    let file = path.to_str().expect("UTF-8");
    let live = |more: &[&str]| -> i64 {
        let json = answer(&[&["top", file, "--json"], more].concat());
        let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        json["live"]["bytes"].as_i64().expect("a number")
    };
    assert_eq!(live(&[]), 321_000);
    assert_eq!(live(&["--process", "12"]), 20_000);
    assert_eq!(live(&["--process", "11", "--process", "13"]), 301_000);
    check(&["top", file, "--process", "11", "--process", "14"], "no process 14");
    std::fs::remove_file(path).expect("it is there");
}

/// The recording without its last bytes: as its collector leaves it that is killed, or has not written it all yet.
fn cut_off(name: &str) -> PathBuf {
    let path = recording(name);
    let bytes = std::fs::read(&path).expect("it is there");
    std::fs::write(&path, &bytes[..bytes.len() - 120]).expect("it is writable");
    path
}

#[test]
fn a_recording_that_is_being_written_is_not_told_as_lost() {
    let path = cut_off("writing");
    let file = path.to_str().expect("UTF-8");
    let writer = std::fs::File::options().append(true).open(&path).expect("it is writable");
    // As a collector does.
    writer.lock().expect("nobody else has it");
    let text = answer(&["top", file]);
    assert!(text.contains("still being written") && !text.contains("lost"), "{text}");
    drop(writer);
    let text = answer(&["top", file]);
    assert!(text.contains("not ended") && text.contains("lost"), "{text}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn watching_what_nobody_writes_ends() {
    let path = cut_off("watched");
    let file = path.to_str().expect("UTF-8");
    let output = heapray(&["watch", file, "--every", "5s"]);
    assert_eq!(output.status.code(), Some(0));
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("nobody writes it any more"), "{message}");
    std::fs::remove_file(path).expect("it is there");
}

#[test]
fn the_last_tick_is_at_the_end_and_names_files_in_full() {
    let path = recording("ticks");
    let file = path.to_str().expect("UTF-8");
    let ticks = |more: &[&str]| -> Vec<serde_json::Value> {
        let text = answer(&[&["watch", file, "--json"], more].concat());
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    let times = |ticks: &[serde_json::Value]| -> Vec<f64> {
        ticks.iter().filter_map(|tick| tick["recording"]["window"]["to_seconds"].as_f64()).collect()
    };
    let all = ticks(&["--every", "5s"]);
    assert_eq!(times(&all), [5.0, 10.0, 12.0]);
    let top: serde_json::Value = serde_json::from_str(&answer(&["top", file, "--json"])).expect("JSON");
    assert_eq!(all[2]["live"], top["live"]);
    assert_eq!(all[2]["rows"][0]["file"], "/srv/shop/app.py");
    let diff: serde_json::Value =
        serde_json::from_str(&answer(&["diff", file, file, "--what", "growth", "--json"])).expect("JSON");
    assert_eq!(diff["rows"].as_array().map(Vec::len), Some(0));
    assert_eq!(times(&ticks(&["--every", "4s"])), [4.0, 8.0, 12.0]);
    assert_eq!(times(&ticks(&["--every", "30s"])), [12.0]);
    assert_eq!(times(&ticks(&["--every", "5s", "--count", "2"])), [5.0, 10.0]);
    assert_eq!(times(&ticks(&["--every", "2s", "--from", "5s", "--to", "9s"])), [6.0, 8.0, 9.0]);
    std::fs::remove_file(path).expect("it is there");
}
