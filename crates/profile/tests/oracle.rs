//! Every figure against a slow count over single blocks: random programs of several processes with forks, samples with
//! weights, deaths; aggregated as a recording holds them, and counted block by block.

mod program;

use heapray_capture::Recording;
use heapray_profile::{
    Amount, Figures, Filter, Moment, Paths, Selection, Span, TREND_POINTS, Time, figures, highest,
    peak_figures, series, span,
};
use program::{Block, Program, SLICE_NS};
use std::collections::BTreeMap;

type Key = (u32, u8);

/// Sums of blocks that a condition selects, by site.
fn count(blocks: &[Block], wanted: impl Fn(&Block) -> bool) -> BTreeMap<Key, Amount> {
    let mut sums: BTreeMap<Key, Amount> = BTreeMap::new();
    for block in blocks.iter().filter(|block| wanted(block)) {
        *sums.entry((block.node, block.allocator)).or_default() += block.amount;
    }
    sums
}

fn assert_near(what: &str, key: Key, got: Amount, expected: Amount) {
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-6 * (1.0 + a.abs() + b.abs());
    assert!(
        got.n_records == expected.n_records
            && near(got.count, expected.count)
            && near(got.bytes, expected.bytes)
            && near(got.bytes_variance, expected.bytes_variance),
        "{what} of {key:?}: got {got:?}, expected {expected:?}"
    );
}

fn compare(what: &str, got: &[(Key, Amount)], expected: &BTreeMap<Key, Amount>) {
    let got: BTreeMap<Key, Amount> = got.iter().copied().collect();
    let keys: std::collections::BTreeSet<Key> = got.keys().chain(expected.keys()).copied().collect();
    for key in keys {
        let of = |sums: &BTreeMap<Key, Amount>| sums.get(&key).copied().unwrap_or_default();
        assert_near(what, key, of(&got), of(expected));
    }
}

fn select(recording: &Recording, task: Option<usize>) -> Selection {
    Selection::new(
        recording,
        &Filter { tasks: task.into_iter().collect(), ..Filter::default() },
        &Paths::default(),
    )
}

/// Alive in its process at the moment the span ends with.
fn is_live(program: &Program, span: &Span, block: &Block) -> bool {
    match span.moments[block.task] {
        Moment::Boundary(boundary) => block.lives_at(boundary),
        Moment::Gone => false,
        Moment::Peak => program.at_peak[block.task].contains(&block.number),
    }
}

fn check(program: &Program, selection: &Selection, span: &Span, task: Option<usize>) {
    let sites = figures(&program.recording, selection, span);
    let column = |of: fn(&Figures) -> Amount| -> Vec<(Key, Amount)> {
        sites.iter().map(|site| ((site.node, site.allocator), of(&site.figures))).collect()
    };
    let gone = |at: usize| {
        let end = program.end_slice(at).unwrap_or(program.recording.slice_times.len() as u32);
        (span.moments[at] == Moment::Gone).then_some(end)
    };
    let since: Vec<Option<u32>> = program.blocks.iter().map(|b| program.since(b, &gone)).collect();
    // Since when a block counts, where it does.
    let since = |block: &Block| match task {
        None => since[block.number],
        Some(task) => (block.task == task).then_some(0),
    };
    let from = |block: &Block| match span.moments[block.task] {
        Moment::Boundary(boundary) => span.from.min(boundary),
        Moment::Peak => span.from.min(program.peak_slice(block.task)),
        Moment::Gone => span.from,
    };
    let last = |block: &Block| match span.moments[block.task] {
        Moment::Boundary(boundary) => boundary,
        Moment::Peak => program.peak_slice(block.task) + 1,
        Moment::Gone => span.to,
    };
    let limit = |block: &Block| last(block) - u32::from(span.moments[block.task] == Moment::Peak);
    let mine = |block: &Block| since(block).is_some_and(|since| since <= limit(block));
    let begins_late = |block: &Block| since(block).is_some_and(|since| since > from(block));
    let is_old = |block: &Block| block.birth < from(block) || block.is_inherited && !begins_late(block);
    let was_gone = |task| {
        span.moments[task] == Moment::Gone && program.end_slice(task).is_some_and(|end| end < span.from)
    };
    let was = |b: &Block| is_old(b) && !begins_late(b) && b.lives_at(from(b)) && !was_gone(b.task);
    let blocks = &program.blocks;
    compare("before", &column(|f| f.before), &count(blocks, |b| mine(b) && was(b)));
    let lives = |b: &Block| mine(b) && is_live(program, span, b);
    compare("live", &column(|f| f.live), &count(blocks, lives));
    let mut survivors = count(blocks, |b| lives(b) && !is_old(b));
    let mut died = count(blocks, |b| mine(b) && was(b) && !lives(b));
    // Old blocks that count later only go from one process to another; more come than go where the first had freed them.
    for (key, entered) in count(blocks, |b| lives(b) && is_old(b) && begins_late(b)) {
        let gone = died.entry(key).or_default();
        let has_fewer = entered.count < gone.count + 0.5 && entered.bytes < gone.bytes + 16.0;
        if has_fewer {
            *gone += -entered;
        } else {
            *survivors.entry(key).or_default() += entered;
        }
    }
    for sums in [&mut survivors, &mut died] {
        sums.values_mut().for_each(|amount| *amount = amount.settled());
    }
    compare("survivors", &column(|f| f.survivors), &survivors);
    compare("died", &column(|f| f.died), &died);
    let allocated =
        |b: &Block| mine(b) && !b.is_inherited && b.birth >= from(b) && (!span.to_asked || b.birth < last(b));
    let temporary = |b: &Block| allocated(b) && b.death == Some(b.birth);
    compare("temporary", &column(|f| f.temporary), &count(blocks, temporary));
    compare("allocated", &column(|f| f.allocated), &count(blocks, allocated));
    let all_reach = (0..program.recording.tasks.len()).all(|task| match span.moments[task] {
        Moment::Peak => program.peak_slice(task) >= span.from,
        _ => true,
    });
    for site in &sites {
        let f = &site.figures;
        assert!((f.trend[TREND_POINTS - 1] - f.live.bytes).abs() < 1e-3, "trend ends at live: {f:?}");
        assert!((f.trend[0] - f.before.bytes).abs() < 1e-3 || !all_reach, "trend begins before: {f:?}");
        assert!((f.before.bytes + f.growth().bytes - f.live.bytes).abs() < 1e-3, "growth: {f:?}");
    }
}

#[test]
fn figures_between_all_boundaries_equal_a_count_of_blocks() {
    for seed in 0..60 {
        let program = Program::random(seed);
        let n = program.recording.slice_times.len() as u32;
        for (from, to) in (0..n).flat_map(|from| (from..=n).map(move |to| (from, to))) {
            let moments = vec![Moment::Boundary(to); program.recording.tasks.len()];
            let ns = (u64::from(from) * SLICE_NS, u64::from(to) * SLICE_NS);
            let span = Span { from, to, ns, from_asked: true, to_asked: true, moments };
            check(&program, &select(&program.recording, None), &span, None);
            for task in 0..program.recording.tasks.len() {
                check(&program, &select(&program.recording, Some(task)), &span, Some(task));
            }
        }
    }
}

#[test]
fn figures_at_peaks_and_of_gone_processes_equal_a_count_of_blocks() {
    for seed in 100..160 {
        let program = Program::random(seed);
        let n = program.recording.slice_times.len() as u32;
        for from in 0..n {
            for choice in 0..9_u32 {
                let moment = |i: usize| match (choice / 3_u32.pow(i as u32 % 2)) % 3 {
                    0 => Moment::Peak,
                    1 => Moment::Gone,
                    _ => Moment::Boundary(n),
                };
                let moments = (0..program.recording.tasks.len()).map(moment).collect();
                let ns = (u64::from(from) * SLICE_NS, u64::from(n) * SLICE_NS);
                let span = Span { from, to: n, ns, from_asked: true, to_asked: false, moments };
                check(&program, &select(&program.recording, None), &span, None);
            }
        }
    }
}

#[test]
fn a_peak_is_what_lived_then() {
    for seed in 200..230 {
        let program = Program::random(seed);
        for task in 0..program.recording.tasks.len() {
            let selection = select(&program.recording, Some(task));
            let whole = span(&program.recording, &selection, None, None);
            let peak = highest(&program.recording, &selection, &whole).expect("it has a mark");
            assert!(peak.is_mark() && peak.task == task);
            let sites = peak_figures(&program.recording, &selection, peak);
            let got: Vec<_> = sites.iter().map(|s| ((s.node, s.allocator), s.figures.live)).collect();
            let expected =
                count(&program.blocks, |b| b.task == task && program.at_peak[task].contains(&b.number));
            compare("peak", &got, &expected);
        }
    }
}

#[test]
fn without_its_mark_a_window_has_the_peak_of_its_fullest_border() {
    let mut n_borders = 0;
    for seed in 200..230 {
        let program = Program::random(seed);
        let recording = &program.recording;
        let last = recording.slice_times.len() as u32 - 1;
        let windows = (0..last).map(|from| (from, last.min(from + 3)));
        let n_tasks = recording.tasks.len();
        for (task, (from, to)) in windows.flat_map(|window| (0..n_tasks).map(move |task| (task, window))) {
            let selection = select(recording, Some(task));
            let time = |border: u32| Some(Time::Ns(recording.slice_times[border as usize].0));
            let window = span(recording, &selection, time(from), time(to));
            let found = highest(recording, &selection, &window);
            if (from..to).contains(&program.peak_slice(task)) {
                assert!(found.expect("it has a mark").is_mark());
                continue;
            }
            let start = program.start_slice(task);
            let runs = |border: &u32| (start == 0 || *border > start) && program.runs_at(task, *border);
            let lives = |border: u32| move |b: &Block| b.task == task && b.lives_at(border);
            let bytes = |border: u32| -> f64 {
                program.blocks.iter().filter(|b| lives(border)(b)).map(|b| b.amount.bytes).sum()
            };
            let borders = (from..=to).filter(runs).map(|border| (border, bytes(border)));
            let best = borders.reduce(|best, next| if next.1 > best.1 + 0.5 { next } else { best });
            assert_eq!(found.is_some(), best.is_some(), "seed {seed}, task {task}, from {from}");
            let (Some(found), Some((border, bytes))) = (found, best) else { continue };
            n_borders += 1;
            assert!(!found.is_mark() && (found.bytes - bytes).abs() < 1.0, "{found:?}, expected {bytes}");
            let sites = peak_figures(recording, &selection, found);
            let got: Vec<_> = sites.iter().map(|s| ((s.node, s.allocator), s.figures.live)).collect();
            compare("fullest", &got, &count(&program.blocks, |b| lives(border)(b)));
        }
    }
    assert!(n_borders > 50, "{n_borders}");
}

#[test]
fn series_equals_a_count_of_blocks() {
    for seed in 300..330 {
        let program = Program::random(seed);
        let selection = select(&program.recording, None);
        let asked = span(&program.recording, &selection, Some(Time::Ns(0)), None);
        let n = program.recording.slice_times.len() as u32;
        let whole = Span { from: 0, to: n, ..asked };
        let gone = |task: usize| program.end_slice(task);
        let since: Vec<Option<u32>> = program.blocks.iter().map(|b| program.since(b, &gone)).collect();
        for (i, point) in series(&program.recording, &selection, &whole, usize::MAX).iter().enumerate() {
            let boundary = i as u32 + 1;
            let counts = |b: &Block| since[b.number].is_some_and(|since| since <= boundary);
            let live = |b: &&Block| counts(b) && b.lives_at(boundary) && program.runs_at(b.task, boundary);
            let live: f64 = program.blocks.iter().filter(live).map(|b| b.amount.bytes).sum();
            assert!((point.live_bytes - live).abs() < 1.0, "seed {seed}, {point:?}, expected {live}");
            let born = program.blocks.iter().filter(|b| !b.is_inherited && b.birth == i as u32);
            let born: f64 = born.map(|b| b.amount.bytes).sum();
            assert!((point.allocated_bytes - born).abs() < 1e-3, "seed {seed}, {point:?}, expected {born}");
        }
    }
}

#[test]
fn filters_by_what_is_on_the_stack_equal_a_walk_of_each_stack() {
    for seed in 400..420 {
        let program = Program::random(seed);
        let recording = &program.recording;
        let n = recording.slice_times.len() as u32;
        let moments = vec![Moment::Boundary(n); recording.tasks.len()];
        let span = Span { from: 0, to: n, ns: (0, 0), from_asked: true, to_asked: true, moments };
        for (filter, text) in [
            (Filter { functions: vec!["f3".into()], ..Filter::default() }, "f3"),
            (Filter { files: vec!["file1.py".into()], ..Filter::default() }, "/srv/file1.py"),
            (Filter { threads: vec!["worker*".into()], ..Filter::default() }, "worker"),
        ] {
            let selection = Selection::new(recording, &filter, &Paths::default());
            let has = |node: u32| {
                recording.stack(node).any(|node| {
                    let frame = recording.frame(node);
                    recording.text(frame.function) == text || recording.text(frame.file) == text
                })
            };
            let sites = figures(recording, &selection, &span);
            let got: Vec<_> = sites.iter().map(|s| ((s.node, s.allocator), s.figures.live)).collect();
            let expected = count(&program.blocks, |b| !b.is_inherited && b.lives_at(n) && has(b.node));
            compare(text, &got, &expected);
        }
    }
}
