//! Whole outputs against `fixtures/golden/report`: text, JSON, SVG and DOT of synthetic snapshots. With
//! `HEAPRAY_BLESS` set the files are written anew; review the difference.

mod common;

use common::{empty, hostile, session, story};
use heapray_query::answer::{Picture, Role};
use heapray_query::{Comparison, Find, Leaks, LeaksOptions, Session, Subject, TypeOrder, Walk, growth};
use heapray_report::{Style, json, picture, text};
use std::path::PathBuf;

/// Compares with the golden file of this name.
fn check(name: &str, got: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/report").join(name);
    if std::env::var_os("HEAPRAY_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("fixtures are writable");
        std::fs::write(&path, got).expect("fixtures are writable");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == expected, "{name} differs; got:\n{got}\nexpected:\n{expected}");
}

fn walk() -> Walk {
    Walk::new(5, None, 10)
}

fn subject(text: &str) -> Subject {
    text.parse().expect("a subject")
}

/// Every answer about one session as text, one after the other.
fn all_texts(session: &Session, asked: &str) -> String {
    let style = Style::default();
    let query = Find::parse("type=list").expect("a query");
    let mut all = vec![
        text::types(&session.types(TypeOrder::Bytes, 10), &style),
        text::holders(&session.holders(10), &style),
        text::find(&session.find("type=list", &query, 10), &style),
        text::cycles(&session.cycles(10), &style),
    ];
    if let Ok(answer) = session.why(&subject(asked), walk()) {
        all.push(text::why(&answer, &style));
    }
    if let Ok(answer) = session.refs(&subject(asked), walk()) {
        all.push(text::refs(&answer, &style));
    }
    if let Ok(answer) = session.chain(&subject(asked)) {
        all.push(text::chain(&answer, &style));
    }
    all.join("\n----\n")
}

fn leaks(
    files: impl IntoIterator<Item = heapray_capture::SnapshotFile>,
) -> heapray_query::answer::LeaksAnswer {
    let mut leaks = Leaks::new(LeaksOptions::default());
    for (i, file) in files.into_iter().enumerate() {
        leaks.add(file, None, Some(i as f64 * 30.0)).expect("comparable");
    }
    leaks.verdict().expect("enough snapshots")
}

#[test]
fn every_question_about_the_story_reads_as_agreed() {
    let session = session(story(300));
    check("story.txt", &all_texts(&session, "data_pipeline.buffer[7]"));
    let why = session.why(&subject("numpy.ndarray"), walk()).expect("there are arrays");
    check("why.txt", &text::why(&why, &Style::default()));
    check("why.json", &json::to_text(&why));
    check("types.json", &json::to_text(&session.types(TypeOrder::Count, 3)));
    check("cycles.json", &json::to_text(&session.cycles(3)));
    check("info.txt", &text::info(&heapray_query::info(&story(3), None), &Style::default()));
}

#[test]
fn pictures_of_the_story_are_drawn_as_agreed() {
    let session = session(story(300));
    let why = session.why(&subject("numpy.ndarray"), walk()).expect("there are arrays").picture;
    check("why.svg", &picture::svg(&why));
    check("why.dot", &picture::dot(&why));
    assert!(why.edges.iter().any(|edge| edge.cut), "{why:?}");
    let chain = session.chain(&subject("data_pipeline.buffer[7]")).expect("there is one").picture;
    check("chain.dot", &picture::dot(&chain));
}

#[test]
fn neighbours_left_out_of_a_picture_are_one_box() {
    let session = session(story(5));
    let answer = session.refs(&subject("data_pipeline"), Walk::new(5, Some(3), 1)).expect("a module");
    assert!(answer.picture.nodes.iter().any(|node| node.role == Role::More), "{:?}", answer.picture);
    assert!(picture::svg(&answer.picture).contains(" more</text>"));
}

#[test]
fn growth_of_the_story_names_the_buffer() {
    let (before, after) = (session(story(300)), session(story(400)));
    let answer = growth(&before, &after, Comparison { limit: 10, any_process: false });
    let answer = answer.expect("one process");
    check("growth.txt", &text::growth(&answer, &Style::default()));
    check("growth.json", &json::to_text(&answer));
}

#[test]
fn verdicts_name_the_buffer_or_nothing() {
    let answer = leaks((0..4).map(|i| story(300 + i * 2_000)));
    check("leaks.txt", &text::leaks(&answer, &Style::default()));
    check("leaks.json", &json::to_text(&answer));
    assert_eq!(answer.findings[0].holder, "data_pipeline.buffer");
    let answer = leaks((0..4).map(|_| story(300)));
    check("no_leak.txt", &text::leaks(&answer, &Style::default()));
    assert!(answer.findings.is_empty());
}

#[test]
fn leaks_json_has_exactly_the_keys_of_the_contract() {
    let answer = leaks((0..4).map(|i| story(300 + i * 2_000)));
    let value: serde_json::Value = serde_json::from_str(&json::to_text(&answer)).expect("valid JSON");
    let keys = |value: &serde_json::Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().expect("an object").keys().cloned().collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&value), ["coverage", "findings", "process", "unexplained_bytes_per_hour"]);
    assert_eq!(
        keys(&value["findings"][0]),
        [
            "advice",
            "allocated_at",
            "bytes_per_hour",
            "confidence",
            "holder",
            "interval",
            "kind",
            "root",
            "share",
            "trail",
            "types"
        ]
    );
    assert_eq!(keys(&value["findings"][0]["types"][0]), ["bytes", "count", "name"]);
}

/// No control character but line ends, and nothing that reorders text.
fn is_clean(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn hostile_names_stay_inside_every_format() {
    let session = session(hostile());
    let all = all_texts(&session, "0x1100");
    assert!(is_clean(&all), "{all}");
    let lists = session.why(&subject("type=list"), walk()).expect("there is a list").picture;
    for drawn in [&lists, &Picture { title: "\x1b]<&\"'\n".into(), ..Picture::default() }] {
        let (svg, dot) = (picture::svg(drawn), picture::dot(drawn));
        assert!(is_clean(&svg) && is_clean(&dot), "{svg}\n{dot}");
        assert!(!svg.contains("<script"), "{svg}");
        assert!(picture::png(drawn).expect("the SVG is well-formed").starts_with(b"\x89PNG"));
    }
}

#[test]
fn empty_snapshots_have_answers() {
    let session = session(empty());
    check("empty.txt", &all_texts(&session, "x"));
    assert!(session.why(&subject("x"), walk()).is_err());
    check("empty.svg", &picture::svg(&Picture::default()));
}

#[test]
fn outputs_are_the_same_every_time() {
    let answer = || {
        let session = session(story(50));
        let why = session.why(&subject("numpy.ndarray"), walk()).expect("there are arrays");
        json::to_text(&why) + &picture::svg(&why.picture) + &all_texts(&session, "data_pipeline.buffer")
    };
    assert_eq!(answer(), answer());
}
