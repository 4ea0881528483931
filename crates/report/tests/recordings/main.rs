//! Everything that is told of a recording, against `fixtures/golden/recording`: text, JSON, exports and pictures of a
//! made-up service with a leak, a cache, temporaries and a forked worker. With `HEAPRAY_BLESS` set the files are written
//! anew; review the difference.

mod growth;
mod pprof;
mod story;

use heapray_query::answer::StackProfile;
use heapray_query::{
    AllocationOptions, Allocations, Charge, Detail, GroupBy, Time, Top, TopOrder, TreeCut, Watch, WatchBy,
    What, diff, recording_info,
};
use heapray_report::{FlameDirection, Style, flame, flame_diff, format, json, page, picture, text};
use std::path::PathBuf;
use story::{exact, hostile, sampled};

/// Compares with the golden file of this name.
fn check(name: &str, got: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/golden/recording").join(name);
    if std::env::var_os("HEAPRAY_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().expect("in a folder")).expect("fixtures are writable");
        std::fs::write(&path, got).expect("fixtures are writable");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(got == expected, "{name} differs; got:\n{got}\nexpected:\n{expected}");
}

fn style() -> Style {
    Style::default()
}

fn by_size(by: GroupBy) -> Top {
    Top { by, charge: Charge::Own, order: TopOrder::Size, limit: 5 }
}

fn cut() -> TreeCut {
    TreeCut { part_min: 0.01, depth_max: 100, detail: Detail::Line }
}

#[test]
fn top_of_the_story_reads_as_agreed() {
    let story = exact(AllocationOptions::default());
    let ways = [
        by_size(GroupBy::Line),
        Top { order: TopOrder::Growth, ..by_size(GroupBy::Function) },
        Top { order: TopOrder::Rate, ..by_size(GroupBy::File) },
        Top { order: TopOrder::Count, charge: Charge::Cumulative, ..by_size(GroupBy::Function) },
        Top { limit: 2, ..by_size(GroupBy::Stack) },
    ];
    let all: Vec<String> = ways.map(|how| text::top(&story.top(how), &style())).into();
    check("top.txt", &all.join("\n----\n"));
    check("top.json", &json::to_text(&story.top(Top { limit: 2, ..by_size(GroupBy::Line) })));
    check(
        "top_sampled.txt",
        &text::top(&sampled(AllocationOptions::default()).top(by_size(GroupBy::Line)), &style()),
    );
}

#[test]
fn other_reports_of_the_story_read_as_agreed() {
    let story = exact(AllocationOptions::default());
    check("tree.txt", &text::tree(&story.tree(What::Live, cut()), &style()));
    check("tree.json", &json::to_text(&story.tree(What::Growth, cut())));
    check("stats.txt", &text::stats(&story.stats(), &style()));
    check("stats.json", &json::to_text(&story.stats()));
    check("timeline.txt", &text::timeline(&story.timeline(60), &style()));
    check("timeline.json", &json::to_text(&story.timeline(3)));
    check("timeline.svg", &picture::timeline(&story.timeline(400)));
    check("peak.txt", &text::top(&story.peak(by_size(GroupBy::Line)), &style()));
    check("temporary.txt", &text::temporary(&story.temporary(GroupBy::Line, 5), &style()));
    check("temporary.json", &json::to_text(&story.temporary(GroupBy::Stack, 1)));
    let info = recording_info(story::recording(), AllocationOptions::default()).expect("it has processes");
    check("info.txt", &text::recording_info(&info, &style()));
    check("info.json", &json::to_text(&info));
}

#[test]
fn survivors_name_the_leak_and_no_cache() {
    let story = exact(AllocationOptions::default());
    let answer = story.survivors(GroupBy::Line, 10, None);
    check("leaks.txt", &text::survivors(&answer, &style()));
    check("leaks.json", &json::to_text(&answer));
    assert_eq!(answer.n_leaks, 1);
    assert_eq!(answer.rows[0].place.function.as_deref(), Some("normalize_vectors"));
    let sampled = sampled(AllocationOptions::default()).survivors(GroupBy::Line, 10, None);
    assert_eq!(sampled.n_leaks, 1, "{sampled:?}");
    let short = AllocationOptions { from: Some(Time::Part(0.8)), ..AllocationOptions::default() };
    let answer = exact(short).survivors(GroupBy::Line, 10, None);
    assert!(answer.n_leaks == 0 && !answer.is_decided);
    check("leaks_short.txt", &text::survivors(&answer, &style()));
}

#[test]
fn differences_and_ticks_read_as_agreed() {
    let before = exact(AllocationOptions { to: Some(Time::Part(0.5)), ..AllocationOptions::default() });
    let after = exact(AllocationOptions::default());
    let answer = diff(&before, &after, What::Live, (GroupBy::Line, 5));
    check("diff.txt", &text::diff(&answer, &style()));
    check("diff.json", &json::to_text(&answer));
    let mut watch = Watch::new(WatchBy::Line, 4);
    let ticks: Vec<String> = [0.4, 0.7, 1.0]
        .map(|part| {
            let options = AllocationOptions { to: Some(Time::Part(part)), ..AllocationOptions::default() };
            text::watch(&watch.tick(&exact(options)), &style())
        })
        .into();
    check("watch.txt", &ticks.concat());
    let tick = Watch::new(WatchBy::Traceback, 1).tick(&after);
    check("watch.json", &json::to_line(&tick));
}

#[test]
fn filters_leave_their_part_only() {
    let whole = exact(AllocationOptions::default()).top(by_size(GroupBy::Line));
    let part = |options: AllocationOptions| exact(options).top(by_size(GroupBy::Line));
    let list = |text: &str| vec![text.to_owned()];
    let thread = part(AllocationOptions { threads: list("pool-*"), ..AllocationOptions::default() });
    let tag = part(AllocationOptions { tags: list("/normalize"), ..AllocationOptions::default() });
    let module = part(AllocationOptions { modules: list("flask"), ..AllocationOptions::default() });
    for filtered in [&thread, &tag, &module] {
        assert!(filtered.live.bytes > 0 && filtered.live.bytes < whole.live.bytes, "{filtered:?}");
    }
    check("filtered.txt", &text::top(&tag, &style()));
    let none = part(AllocationOptions { functions: list("nobody"), ..AllocationOptions::default() });
    check("filtered_none.txt", &text::top(&none, &style()));
    let process = part(AllocationOptions { processes: vec![4243], ..AllocationOptions::default() });
    check("process.txt", &text::top(&process, &style()));
}

#[test]
fn nothing_live_is_no_place_that_holds_most() {
    let none = AllocationOptions {
        to: Some(Time::Ns(2_000_000_000)),
        functions: vec!["lookup".into()],
        ..AllocationOptions::default()
    };
    let text = text::top(&exact(none).top(by_size(GroupBy::Line)), &style());
    assert!(text.starts_with("nothing is live at 2.0 s"), "{text}");
    let text = text::top(
        &exact(AllocationOptions::default()).top(Top { limit: 0, ..by_size(GroupBy::Line) }),
        &style(),
    );
    assert!(text.contains("MB live ") && !text.contains("nothing"), "{text}");
}

#[test]
fn a_recording_asked_for_by_a_process_is_told_as_all_of_it() {
    let text = |options| text::top(&exact(options).top(by_size(GroupBy::Line)), &style());
    let by_child = AllocationOptions { asked_process: Some(4243), ..AllocationOptions::default() };
    let said = "of all processes of the recording that process 4243 is in";
    assert!(text(by_child).contains(said));
    assert!(!text(AllocationOptions::default()).contains("of all processes"));
}

#[test]
fn wrong_questions_are_errors() {
    let fails = |options| Allocations::new(story::recording(), options).expect_err("wrong").to_string();
    let message = fails(AllocationOptions { processes: vec![1], ..AllocationOptions::default() });
    assert!(message.contains("4242, 4243"), "{message}");
    let message = fails(AllocationOptions {
        from: Some(Time::Ns(30_000_000_000)),
        to: Some(Time::Ns(10_000_000_000)),
        ..AllocationOptions::default()
    });
    assert!(message.contains("--from"), "{message}");
}

fn live() -> StackProfile {
    exact(AllocationOptions::default()).profile(What::Live, Detail::Line)
}

#[test]
fn exports_are_as_agreed() {
    check("live.collapsed", &format::collapsed(&live()));
    check("live.speedscope.json", &format::speedscope(&live()));
    check("live.csv", &format::csv(&live()));
    let file: serde_json::Value =
        serde_json::from_str(&format::speedscope(&live())).expect("speedscope is JSON");
    let profile = &file["profiles"][0];
    let n_samples = profile["samples"].as_array().expect("samples").len();
    assert_eq!(n_samples, profile["weights"].as_array().expect("weights").len());
    let n_frames = file["shared"]["frames"].as_array().expect("frames").len() as u64;
    let samples = profile["samples"].as_array().into_iter().flatten();
    let frames = samples.flat_map(|sample| sample.as_array().into_iter().flatten());
    assert!(frames.into_iter().all(|frame| frame.as_u64().is_some_and(|frame| frame < n_frames)));
}

/// The numbers of a column of csv, summed up.
fn column(csv: &str, name: &str) -> i64 {
    let at = csv.lines().next().and_then(|head| head.split(',').position(|column| column == name));
    let from_end = csv.lines().next().map_or(0, |head| head.split(',').count()) - at.expect("a column");
    let cell = |line: &str| line.rsplit(',').nth(from_end - 1).and_then(|cell| cell.parse::<i64>().ok());
    csv.lines().skip(1).map(|line| cell(line).expect("a number")).sum()
}

#[test]
fn columns_of_csv_sum_up_to_what_other_reports_say() {
    let story = || exact(AllocationOptions::default());
    let (stats, top) = (story().stats(), story().top(by_size(GroupBy::Line)));
    for what in [What::Live, What::Peak, What::Growth, What::Temporary, What::Allocated] {
        let (profile, stacks) = (story().profile(what, Detail::Line), story().stacks(what, Detail::Line));
        assert_eq!(format::collapsed(&stacks), format::collapsed(&profile), "{what:?}");
        assert_eq!((stacks.total, stacks.shrunk_bytes), (profile.total, profile.shrunk_bytes), "{what:?}");
        let csv = format::csv(&profile);
        assert_eq!(column(&csv, "allocated_bytes"), stats.allocated.bytes, "{what:?}");
        assert_eq!(column(&csv, "temporary_count"), stats.temporary.count, "{what:?}");
        assert_eq!(column(&csv, "live_bytes"), top.live.bytes, "{what:?}");
        assert_eq!(column(&csv, "growth_bytes"), top.growth.bytes, "{what:?}");
    }
}

#[test]
fn empty_blocks_count_the_same_everywhere() {
    let story = story::with_empty_blocks();
    let n = story.top(by_size(GroupBy::Line)).live.count;
    assert_eq!(n, 8);
    assert_eq!(story.tree(What::Live, cut()).total.count, n);
    let profile = story.profile(What::Live, Detail::Line);
    assert_eq!(profile.total.count, n);
    assert_eq!(column(&format::csv(&profile), "weight_count"), n);
}

#[test]
fn the_peak_of_a_window_is_told_from_the_high_water_mark() {
    let part = |from: u64, to: u64| AllocationOptions {
        from: Some(Time::Ns(from * 1_000_000_000)),
        to: Some(Time::Ns(to * 1_000_000_000)),
        processes: vec![4243],
        ..AllocationOptions::default()
    };
    let within = exact(part(20, 24)).peak(by_size(GroupBy::Line));
    assert_eq!(within.recording.window.live, "peak");
    assert_eq!(within.live, exact(part(0, 24)).peak(by_size(GroupBy::Line)).live);
    let outside = exact(part(4, 8));
    let answer = outside.peak(by_size(GroupBy::Line));
    assert_eq!(answer.recording.window.live, "fullest border");
    assert_eq!(answer.live.bytes, outside.top(by_size(GroupBy::Line)).live.bytes, "it grows, so at its end");
    assert_eq!(outside.profile(What::Peak, Detail::Line).total, outside.tree(What::Peak, cut()).total);
    check("peak_window.txt", &text::top(&answer, &style()));
}

/// Sums over sets that do not depend on the draw are unbiased; the moment of a peak depends on it.
#[test]
fn the_peak_of_estimates_is_said_to_read_high() {
    let half = || AllocationOptions { to: Some(Time::Part(0.5)), ..AllocationOptions::default() };
    let told = |open: fn(AllocationOptions) -> Allocations, recording| {
        let story = || open(half());
        let info = recording_info(recording, AllocationOptions::default()).expect("it has processes");
        let profile = story().profile(What::Peak, Detail::Line);
        [
            text::top(&story().peak(by_size(GroupBy::Line)), &style()),
            text::tree(&story().tree(What::Peak, cut()), &style()),
            text::diff(&diff(&story(), &story(), What::Peak, (GroupBy::Line, 5)), &style()),
            text::stats(&story().stats(), &style()),
            text::timeline(&story().timeline(5), &style()),
            text::recording_info(&info, &style()),
            flame(&profile, FlameDirection::Up).expect("something was live"),
            page("<svg/>", &profile),
        ]
    };
    for text in told(sampled, story::sampled_recording()) {
        assert!(text.contains("reads high"), "{text}");
    }
    for text in told(exact, story::recording()) {
        assert!(!text.contains("reads high"), "{text}");
    }
    let story = sampled(half());
    let live = story.top(by_size(GroupBy::Line));
    assert!(!live.recording.doubt.peak_reads_high && !text::top(&live, &style()).contains("reads high"));
    let peak = json::to_text(&story.peak(by_size(GroupBy::Line)));
    assert!(peak.contains("\"peak_reads_high\": true"), "{peak}");
    check(
        "peak_sampled.txt",
        &text::top(&sampled(AllocationOptions::default()).peak(by_size(GroupBy::Line)), &style()),
    );
}

#[test]
fn parquet_is_read_back() {
    use parquet::file::reader::{FileReader, SerializedFileReader};
    use parquet::record::RowAccessor;
    let bytes = format::parquet(&live()).expect("it can be written");
    let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).expect("it is parquet");
    let metadata = reader.metadata().file_metadata().key_value_metadata().expect("remarks");
    let remarks = metadata.iter().find(|pair| pair.key == "heapray").and_then(|pair| pair.value.as_deref());
    assert!(
        remarks.is_some_and(|text| text.contains("recording cost") && text.contains("lost:")),
        "{remarks:?}"
    );
    let rows: Vec<_> = reader.get_row_iter(None).expect("rows").map(|row| row.expect("a row")).collect();
    let csv = format::csv(&live());
    assert_eq!(rows.len(), csv.lines().count() - 1);
    let first = csv.lines().nth(1).expect("a row");
    assert!(first.starts_with(rows[0].get_string(0).expect("the function")), "{first}");
    let total: i64 = rows.iter().map(|row| row.get_long(6).expect("weight_bytes")).sum();
    assert_eq!(total, live().total.bytes);
}

#[test]
fn flame_graphs_hold_everything_they_need() {
    let profile = live();
    let svg = flame(&profile, FlameDirection::Up).expect("something is live");
    assert!(svg.contains("normalize_vectors (data_pipeline.py:17)"));
    assert!(svg.contains("[stack cut: too deep]"));
    let page = page(&svg, &profile);
    for text in [&svg, &page] {
        let links = text.matches("href=\"http").count() + text.matches("src=\"").count();
        assert_eq!(links, 0, "nothing is loaded from elsewhere");
    }
    assert_eq!(svg, flame(&live(), FlameDirection::Up).expect("again"), "the same every time");
    let half = AllocationOptions { to: Some(Time::Part(0.5)), ..AllocationOptions::default() };
    let before = exact(half).profile(What::Live, Detail::Line);
    let difference = flame_diff(&before, &profile, FlameDirection::Down).expect("something differs");
    assert!(difference.contains("; +"), "differences are told");
    let delta = profile.total.bytes - before.total.bytes;
    let all = format!("100%; {})</title>", heapray_report::bytes_signed(delta));
    for direction in [FlameDirection::Up, FlameDirection::Down] {
        let difference = flame_diff(&before, &profile, direction).expect("something differs");
        let root = difference.lines().find_map(|line| line.split_once("<title>all (")).map(|(_, root)| root);
        assert!(root.is_some_and(|root| root.contains(&all)), "{root:?}, expected {all}");
        assert_eq!(difference.matches("%; ").count(), difference.matches("with all it called").count() + 1);
    }
    assert!(picture::rasterised(&difference).expect("an SVG").starts_with(b"\x89PNG"));
    let nothing = AllocationOptions { tags: vec!["none".into()], ..AllocationOptions::default() };
    assert!(flame(&exact(nothing).profile(What::Live, Detail::Line), FlameDirection::Up).is_err());
}

/// No control character but line ends, and nothing that reorders text.
fn is_clean(text: &str) -> bool {
    !text.chars().any(|c| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c))
}

#[test]
fn hostile_names_stay_inside_every_format() {
    let open = || Allocations::new(hostile(), AllocationOptions::default()).expect("it has a process");
    let story = open();
    let info = recording_info(hostile(), AllocationOptions::default()).expect("it has a process");
    let texts = [
        text::top(&story.top(by_size(GroupBy::Stack)), &style()),
        text::tree(&story.tree(What::Live, cut()), &style()),
        text::stats(&story.stats(), &style()),
        text::timeline(&story.timeline(9), &style()),
        text::survivors(&story.survivors(GroupBy::Line, 9, None), &style()),
        text::temporary(&story.temporary(GroupBy::Stack, 9), &style()),
        text::diff(&diff(&open(), &open(), What::Live, (GroupBy::Stack, 9)), &style()),
        text::watch(&Watch::new(WatchBy::Traceback, 9).tick(&story), &style()),
        text::recording_info(&info, &style()),
        format::collapsed(&story.profile(What::Live, Detail::Line)),
        format::speedscope(&story.profile(What::Live, Detail::Line)),
        picture::timeline(&story.timeline(9)),
    ];
    for told in &texts {
        assert!(is_clean(told), "{told}");
    }
    let profile = story.profile(What::Live, Detail::Line);
    let svg = flame(&profile, FlameDirection::Up).expect("something is live");
    assert!(!svg.contains("<script>alert") && !page(&svg, &profile).contains("<script>alert"));
    assert!(picture::rasterised(&svg).is_ok(), "the SVG is well-formed");
    assert!(picture::rasterised(&texts[11]).is_ok(), "the SVG is well-formed");
    assert!(!format::csv(&profile).lines().any(|line| line.starts_with('=')));
    assert!(!format::pprof(&profile).is_empty());
}

#[test]
fn nothing_at_all_has_answers() {
    let empty = || {
        let recording = story::empty();
        Allocations::new(recording, AllocationOptions::default()).expect("it has a process")
    };
    let story = empty();
    let all = [
        text::top(&story.top(by_size(GroupBy::Line)), &style()),
        text::tree(&story.tree(What::Peak, cut()), &style()),
        text::stats(&story.stats(), &style()),
        text::timeline(&story.timeline(9), &style()),
        text::survivors(&story.survivors(GroupBy::Line, 9, None), &style()),
        text::temporary(&story.temporary(GroupBy::Line, 9), &style()),
        text::diff(&diff(&empty(), &empty(), What::Live, (GroupBy::Line, 9)), &style()),
        text::watch(&Watch::new(WatchBy::Line, 9).tick(&story), &style()),
    ];
    check("empty.txt", &all.join("\n----\n"));
    assert!(picture::rasterised(&picture::timeline(&story.timeline(9))).is_ok());
}
