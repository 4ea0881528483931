//! A full disk ends the recording with a message, not the target.

use std::process::Command;

use heapray_tests::{Answer, Program, heapray};

use crate::claims::newest;

const TEXT: &str =
    "kept = [[str(n)] for n in range(300_000)]\nprint('done', len(kept))\nraise SystemExit(6)\n";

#[test]
fn a_full_disk_stops_the_recording_and_not_the_target() {
    let program = Program::new(newest(), TEXT).exact().options(&["--force"]).output("/dev/full");
    let answer = Answer::from(program.command_recorded());
    assert_eq!((answer.status, answer.stdout.as_str()), (Some(6), "done 300000\n"), "{answer:?}");
    assert!(answer.stderr.contains("No space left"), "{answer:?}");
}

#[test]
fn what_was_written_before_the_disk_was_full_is_readable() {
    let program = Program::new(newest(), TEXT).exact().options(&["--all-events"]);
    let folder = program.folder().join("small");
    std::fs::create_dir(&folder).expect("the scratch folder takes folders");
    let inner = program.command_recorded();
    let words: Vec<String> = inner
        .get_args()
        .map(|word| word.to_str().expect("words are UTF-8").replace("recording.hr", "small/recording.hr"))
        .collect();
    let mut command = Command::new("unshare");
    let keep = "mount -t tmpfs -o size=256k none small || exit 99; \"$@\"; echo \"status $?\"; cp small/recording.hr kept.hr";
    command.args(["--mount", "bash", "-c", keep, "small"]).arg(inner.get_program()).args(words);
    command.current_dir(program.folder()).env("NO_COLOR", "1");
    let answer = Answer::from(command);
    if answer.status == Some(99) || answer.stderr.contains("Operation not permitted") {
        return; // only root may mount
    }
    assert!(answer.stdout.ends_with("done 300000\nstatus 6\n"), "{answer:?}");
    assert!(answer.stderr.contains("No space left"), "{answer:?}");
    let kept = program.folder().join("kept.hr");
    let stats = heapray(["stats".as_ref(), kept.as_os_str()]);
    assert_eq!(stats.status, Some(0), "{stats:?}");
}
