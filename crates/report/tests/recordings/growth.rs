//! Growth of one stack that some threads or processes take and others give: every answer in which they are not told
//! apart says what is left.

use super::pprof::inuse_space;
use super::{by_size, column, cut};
use heapray_capture::Recording;
use heapray_capture::synthetic::RecordingBuilder;
use heapray_query::answer::StackProfile;
use heapray_query::{AllocationOptions, Allocations, Detail, GroupBy, Time, Top, TopOrder, What};
use heapray_report::{FlameDirection, Style, flame, format, text};
use heapray_wire::NO_NODE;
use heapray_wire::allocator::{MALLOC, PYTHON_OBJECT};

const SECOND: u64 = 1_000_000_000;

/// Two processes; in the third second `b` of the one gives 9,000 bytes back where `a` of the other takes `taken`, and
/// `unknown` bytes outside of any frame are gone.
fn exchange(taken: u64, unknown: u64) -> Recording {
    let mut b = RecordingBuilder::exact();
    let (first, second) = (b.task(7, None), b.task(8, None));
    let stack = |b: &mut RecordingBuilder, thread: &str| b.stack(&[thread, "loop /srv/x.py:19"]);
    let (of_a, of_b) = (stack(&mut b, "thread:a"), stack(&mut b, "thread:b"));
    let given = b.alloc(first, (of_b, MALLOC), 9_000);
    let lost = (unknown > 0).then(|| b.alloc(first, (NO_NODE, MALLOC), unknown));
    b.advance(SECOND);
    b.advance(SECOND);
    b.free(given);
    lost.into_iter().for_each(|block| b.free(block));
    b.alloc(second, (of_a, PYTHON_OBJECT), taken);
    b.advance(SECOND);
    b.advance(SECOND);
    b.recording()
}

fn asked(recording: Recording, split_threads: bool) -> Allocations {
    let (from, to) = (Some(Time::Ns(SECOND)), Some(Time::Ns(3 * SECOND)));
    let options = AllocationOptions { from, to, split_threads, ..AllocationOptions::default() };
    Allocations::new(recording, options).expect("it has processes")
}

fn profile(allocations: &Allocations) -> StackProfile {
    allocations.profile(What::Growth, Detail::Line)
}

#[test]
fn growth_of_a_stack_is_what_its_threads_have_more_together() {
    let even = asked(exchange(9_000, 0), false);
    let answer = profile(&even);
    assert_eq!((even.top(by_size(GroupBy::Line)).growth.bytes, answer.total.bytes), (0, 0));
    assert_eq!((answer.shrunk_bytes, even.tree(What::Growth, cut()).shrunk_bytes), (0, 0));
    assert_eq!(format::collapsed(&answer), "");
    assert!(format::speedscope(&answer).contains("\"weights\":[]"));
    assert!(flame(&answer, FlameDirection::Up).is_err(), "nothing to draw");
    assert_eq!(inuse_space(&answer), 0);
    assert!(text::note_of_nothing(&answer).is_some());
    let more = profile(&asked(exchange(12_000, 0), false));
    assert_eq!(format::collapsed(&more), "loop (/srv/x.py:19) 3000\n");
    assert_eq!((more.total.bytes, more.shrunk_bytes, inuse_space(&more)), (3_000, 0, 3_000));
    let less = profile(&asked(exchange(2_000, 0), false));
    assert_eq!((less.total.bytes, less.shrunk_bytes, inuse_space(&less)), (0, -7_000, 0));
}

#[test]
fn growth_of_threads_that_are_told_apart_is_each_ones() {
    let answer = profile(&asked(exchange(12_000, 0), true));
    assert_eq!((answer.total.bytes, answer.shrunk_bytes, inuse_space(&answer)), (12_000, -9_000, 12_000));
    assert_eq!(format::collapsed(&answer).lines().count(), 1);
    // A row of csv is one of a thread; what shrank is in it with its sign.
    let csv = format::csv(&profile(&asked(exchange(12_000, 0), false)));
    assert_eq!(
        (csv.lines().count(), column(&csv, "weight_bytes"), column(&csv, "growth_bytes")),
        (3, 3_000, 3_000)
    );
}

#[test]
fn what_a_tree_leaves_out_is_all_that_shrank() {
    let some = asked(exchange(12_000, 1_000), false);
    let tree = some.tree(What::Growth, cut());
    assert_eq!((tree.total.bytes, tree.unknown.bytes, tree.shrunk_bytes), (3_000, 0, -1_000));
    let text = text::tree(&tree, &super::style());
    assert!(text.contains("not in it: places that shrank, by 1 kB in all"), "{text}");
    for allocations in [some, asked(exchange(2_000, 500), false), asked(exchange(2_000, 500), true)] {
        let tree = allocations.tree(What::Growth, cut());
        let growth = allocations.top(by_size(GroupBy::Line)).growth.bytes;
        assert_eq!(tree.total.bytes + tree.shrunk_bytes, growth, "{tree:?}");
        let profile = profile(&allocations);
        assert_eq!((profile.total.bytes, profile.shrunk_bytes), (tree.total.bytes, tree.shrunk_bytes));
    }
}

/// What `top --sort growth` says first.
fn headline(recording: Recording) -> String {
    let top = Top { order: TopOrder::Growth, ..by_size(GroupBy::Line) };
    let said = text::top(&asked(recording, false).top(top), &Style::default());
    said.lines().next().unwrap_or_default().to_owned()
}

#[test]
fn what_grew_most_is_said_only_where_something_did() {
    assert_eq!(headline(exchange(9_000, 0)), "nothing grew; 9 kB live at 3.0 s");
    assert_eq!(
        headline(exchange(12_000, 0)),
        "loop (/srv/x.py:19) grew most: +3 kB in 2.0 s, 100 % of all growth"
    );
    // All together grew less than the place that grew most.
    assert_eq!(headline(exchange(12_000, 500)), "loop (/srv/x.py:19) grew most: +3 kB in 2.0 s");
}
