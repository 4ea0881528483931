//! `timeline`: memory over time.

use super::Allocations;
use super::rows::{per_second, whole};
use crate::answer::{TimelineAnswer, TimelinePoint};
use heapray_profile::{Point, Span, series};

/// Steps that a window shows at most, unless told.
pub const TIMELINE_STEPS: usize = 60;

impl Allocations {
    /// At most `n_max` steps of the window; the whole recording where none was named.
    pub fn timeline(&self, n_max: usize) -> TimelineAnswer {
        let span = self.up_to_the_end();
        let points: Vec<TimelinePoint> =
            series(&self.recording, &self.selection, &span, n_max).iter().map(point).collect();
        let mut recording = self.recorded_with_peaks(&span, 0);
        recording.window.live = "over time".to_owned();
        TimelineAnswer {
            recording,
            rss_peak: most(&points, |point| {
                Some((point.rss_max_bytes.or(point.rss_bytes)?, point.to_seconds))
            }),
            live_peak: most(&points, |point| Some((point.live_max_bytes, point.live_max_seconds))),
            rate_peak: most(&points, |point| Some((whole(point.bytes_per_second), point.to_seconds)))
                .map(|(rate, at)| (rate as f64, at)),
            points,
        }
    }

    /// The window, up to the recording's begin and end where none were named.
    fn up_to_the_end(&self) -> Span {
        let n = self.recording.slice_times.len() as u32;
        let mut span = self.whole.clone();
        if !span.to_asked {
            span.to = n;
            span.ns.1 = self.recording.end_ns();
        }
        span
    }
}

/// The highest of values, and when it was; the first of equals.
fn most(points: &[TimelinePoint], of: impl Fn(&TimelinePoint) -> Option<(i64, f64)>) -> Option<(i64, f64)> {
    let values = points.iter().filter_map(of);
    values.reduce(|best, next| if next.0 > best.0 { next } else { best })
}

fn point(point: &Point) -> TimelinePoint {
    let seconds = point.end_ns.saturating_sub(point.start_ns) as f64 / 1e9;
    let signed = |bytes: Option<u64>| bytes.and_then(|bytes| i64::try_from(bytes).ok());
    TimelinePoint {
        from_seconds: point.start_ns as f64 / 1e9,
        to_seconds: point.end_ns as f64 / 1e9,
        rss_bytes: signed(point.rss_bytes),
        rss_max_bytes: signed(point.rss_max_bytes),
        live_bytes: whole(point.live_bytes),
        live_max_bytes: whole(point.live_max_bytes),
        live_max_seconds: point.live_max_ns as f64 / 1e9,
        bytes_per_second: per_second(point.allocated_bytes, seconds),
        count_per_second: per_second(point.allocated_count, seconds),
        freed_bytes_per_second: per_second(point.freed_bytes, seconds),
        cgroup_bytes: signed(point.cgroup_bytes),
        cgroup_limit_bytes: signed(point.cgroup_limit_bytes),
        n_processes: point.n_processes,
    }
}
