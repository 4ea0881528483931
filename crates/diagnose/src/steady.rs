//! Judges whether a level that was measured a few times grows steadily.
//!
//! With three or four snapshots there is no room for a regression's residuals; what can be asked is that the level
//! rises in *every* window, that the last windows do not slow down towards nothing, and that the rise is more than
//! churn would give. It knows nothing of what the level counts.

/// A level at each snapshot, with the seconds at which it was taken.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Series {
    /// Seconds since the first snapshot, rising.
    pub(crate) seconds: Vec<f64>,
    /// The level at each.
    pub(crate) level: Vec<f64>,
}

/// What a series does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    /// It rises in every window, and as fast at the end as before.
    Steady,
    /// It rises in every window, but slower and slower: a warm-up or a backlog that settles.
    LevelsOff,
    /// It falls or stands still in some window.
    Flat,
}

/// The last window must keep this part of the rate before it, or of the first; slower is levelling off.
const KEPT_RATE: f64 = 0.6;
/// With two windows only, there is no trend of the rate to see: ask for less.
const KEPT_RATE_OF_TWO: f64 = 0.5;
/// Two-sided 90 % quantiles of Student's t for 1, 2, … degrees of freedom; then the normal's.
const STUDENT_90: [f64; 9] = [6.31, 2.92, 2.35, 2.13, 2.02, 1.94, 1.89, 1.86, 1.83];
const NORMAL_90: f64 = 1.645;

impl Series {
    /// The gain of each window.
    pub(crate) fn gains(&self) -> Vec<f64> {
        self.level.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    /// The rate of each window, per second.
    pub(crate) fn rates(&self) -> Vec<f64> {
        let spans = self.seconds.windows(2).map(|pair| (pair[1] - pair[0]).max(1e-3));
        self.gains().iter().zip(spans).map(|(gain, span)| gain / span).collect()
    }

    /// Last level minus first.
    pub(crate) fn gain(&self) -> f64 {
        self.level.last().copied().unwrap_or(0.0) - self.level.first().copied().unwrap_or(0.0)
    }

    /// Seconds from first to last.
    pub(crate) fn span(&self) -> f64 {
        let ends = (self.seconds.first(), self.seconds.last());
        if let (Some(first), Some(last)) = ends { (last - first).max(1e-3) } else { 1e-3 }
    }

    /// Mean rate per hour.
    pub(crate) fn per_hour(&self) -> f64 {
        self.gain() / self.span() * 3600.0
    }

    /// 90 % interval of the rate per hour, from the spread of the windows' rates (Student's t). With one window
    /// only there is no spread to see: from nothing to twice the rate.
    pub(crate) fn interval_per_hour(&self) -> [f64; 2] {
        let rates = self.rates();
        let rate = self.per_hour();
        if rates.len() < 2 {
            return [0.0, 2.0 * rate];
        }
        let n = rates.len() as f64;
        let mean = rates.iter().sum::<f64>() / n;
        let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / (n - 1.0);
        let quantile = STUDENT_90.get(rates.len() - 2).copied().unwrap_or(NORMAL_90);
        let half = quantile * (variance / n).sqrt() * 3600.0;
        [rate - half, rate + half]
    }

    /// What the series does. A window's gain counts as a rise when it is over `least`.
    pub(crate) fn course(&self, least: f64) -> Course {
        let rates = self.rates();
        let gains = self.gains();
        if rates.is_empty() || gains.iter().any(|gain| *gain <= least) {
            return Course::Flat;
        }
        if keeps_pace(&rates) { Course::Steady } else { Course::LevelsOff }
    }
}

/// Whether the last rate is no slower than levelling off would be. A slow tail after a fast start is a leak when
/// the tail itself is level (the last two windows agree) or when the rate has come back to the first one's.
fn keeps_pace(rates: &[f64]) -> bool {
    let last = rates[rates.len() - 1];
    match rates {
        [] | [_] => true,
        [first, _] => last >= KEPT_RATE_OF_TWO * first,
        [first, .., before, _] => {
            if last >= KEPT_RATE * first {
                return true;
            }
            let decay = before / first;
            let next = last / before;
            // A geometric decay goes on as it began; a steady tail has stopped slowing down.
            next >= 0.75 && next > decay
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course(level: &[f64]) -> Course {
        let seconds = (0..level.len()).map(|i| i as f64 * 10.0).collect();
        Series { seconds, level: level.to_vec() }.course(0.0)
    }

    #[test]
    fn equal_gains_are_steady() {
        assert_eq!(course(&[0.0, 10.0, 20.0]), Course::Steady);
        assert_eq!(course(&[5.0, 15.0, 24.0, 35.0]), Course::Steady);
    }

    #[test]
    fn exponential_approach_levels_off() {
        assert_eq!(course(&[0.0, 60.0, 84.0]), Course::LevelsOff);
        assert_eq!(course(&[0.0, 50.0, 75.0, 87.5]), Course::LevelsOff);
        assert_eq!(course(&[0.0, 40.0, 64.0, 78.4, 87.0]), Course::LevelsOff);
    }

    #[test]
    fn fast_start_with_level_tail_is_steady() {
        assert_eq!(course(&[0.0, 300.0, 330.0, 360.0]), Course::Steady);
    }

    #[test]
    fn a_window_without_gain_is_flat() {
        assert_eq!(course(&[0.0, 10.0, 10.0]), Course::Flat);
        assert_eq!(course(&[9.0, 3.0, 5.0, 8.0]), Course::Flat);
    }

    #[test]
    fn interval_of_equal_rates_is_narrow() {
        let series = Series { seconds: vec![0.0, 10.0, 20.0], level: vec![0.0, 100.0, 200.0] };
        assert_eq!(series.per_hour(), 36_000.0);
        assert_eq!(series.interval_per_hour(), [36_000.0, 36_000.0]);
    }

    #[test]
    fn interval_of_one_window_reaches_nothing() {
        let series = Series { seconds: vec![0.0, 10.0], level: vec![0.0, 100.0] };
        assert_eq!(series.interval_per_hour(), [0.0, 72_000.0]);
    }
}
