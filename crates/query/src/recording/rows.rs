//! The rows that several answers share, from ids of a recording.

use super::{Allocations, Names};
use crate::answer::{Estimate, PlaceRow};
use heapray_profile::{Amount, Group, GroupBy, Place, PlaceKind, TREND_POINTS};
use heapray_wire::NO_NODE;

/// An amount as whole numbers with their errors.
pub(super) fn estimate(amount: Amount) -> Estimate {
    Estimate {
        bytes: whole(amount.bytes),
        bytes_error: whole(amount.bytes_error()),
        count: whole(amount.count),
        count_error: whole(amount.count_error()),
        n_records: amount.n_records,
    }
}

/// The nearest whole number; saturating, 0 for what is none.
pub(super) fn whole(value: f64) -> i64 {
    value.round() as i64
}

/// Part of a whole, 0 to 1; 0 where there is no whole.
pub(super) fn part(part: f64, all: f64) -> f64 {
    if all > 0.0 { (part / all).clamp(0.0, 1.0) } else { 0.0 }
}

/// Per second of a window; 0 where it has no length.
pub(super) fn per_second(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { amount / seconds } else { 0.0 }
}

/// A trend in whole bytes.
pub(super) fn trend(points: &[f64; TREND_POINTS]) -> Vec<i64> {
    points.iter().map(|bytes| whole(*bytes)).collect()
}

impl Allocations {
    /// A place in words.
    pub(super) fn place(&self, place: &Place) -> PlaceRow {
        let text = |id| Some(self.recording.text(id)).filter(|text| !text.is_empty()).map(str::to_owned);
        let kind = match place.kind {
            PlaceKind::Python => "python",
            PlaceKind::Native => "native",
            PlaceKind::Thread => "thread",
            PlaceKind::Tag => "tag",
            PlaceKind::Cut => "cut",
            PlaceKind::Start => "start",
        };
        let file = self.recording.text(place.file);
        let short_file = match place.kind {
            PlaceKind::Native => self.paths.short_native(file),
            _ => self.paths.short(file),
        };
        PlaceRow {
            kind: kind.to_owned(),
            function: text(place.function),
            file: text(place.file),
            line: (place.line > 0).then_some(place.line),
            short_file: short_file.to_owned(),
        }
    }

    /// The place that a group is called by.
    pub(super) fn group_place(&self, names: &Names, group: &Group, by: GroupBy) -> PlaceRow {
        let Some(place) = group.place else { return unknown() };
        let mut row = self.place(names.places.get(place));
        if by == GroupBy::File && row.file.is_some() {
            (row.function, row.line) = (None, None);
        }
        row
    }

    /// A stack in words, the outermost first.
    pub(super) fn stack(&self, names: &Names, node: Option<u32>) -> Vec<PlaceRow> {
        names.tree.stack(node).into_iter().map(|place| self.place(names.places.get(place))).collect()
    }

    /// The stack of a group, where groups are stacks.
    pub(super) fn group_stack(&self, names: &Names, group: &Group, by: GroupBy) -> Option<Vec<PlaceRow>> {
        (by == GroupBy::Stack).then(|| self.stack(names, group.stack))
    }

    /// `MainThread (4242)`; empty where no thread is known.
    pub(super) fn thread(&self, node: u32) -> String {
        let outermost = self.recording.stack(node).last().filter(|node| *node != NO_NODE);
        let Some(frame) = outermost.map(|node| self.recording.frame(node)) else { return String::new() };
        if frame.kind != heapray_wire::FrameKind::Thread {
            return String::new();
        }
        match self.recording.text(frame.function) {
            "" => frame.line.to_string(),
            name => format!("{name} ({})", frame.line),
        }
    }
}

/// What no stack is known of.
pub(super) fn unknown() -> PlaceRow {
    PlaceRow { kind: "unknown".to_owned(), ..PlaceRow::default() }
}
