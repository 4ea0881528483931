//! When nothing was recorded, because the recording was switched off.

use heapray_wire::Fact;

use crate::tenant;

/// Pauses that are told; of more, the last takes the place of the one before.
const PAUSES_MAX: usize = 64;

/// Spans of a recording without events.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// Those that are over, ns since the recording's start.
    spans: Vec<(u64, u64)>,
    since_ns: Option<u64>,
}

impl Pauses {
    /// A recording that begins switched on or off.
    pub(crate) fn new(on: bool) -> Self {
        Self { since_ns: (!on).then_some(0), ..Self::default() }
    }

    /// The recording is switched on or off.
    pub(crate) fn switch(&mut self, on: bool, t_ns: u64) {
        match self.since_ns {
            None if !on => self.since_ns = Some(t_ns),
            Some(since_ns) if on => {
                if self.spans.len() == PAUSES_MAX {
                    self.spans.pop();
                }
                self.spans.push((since_ns, t_ns));
                self.since_ns = None;
            }
            _ => {}
        }
    }

    /// The spans up to now, `begin-end` each; none where there was no pause.
    pub(crate) fn fact(&self, t_ns: u64) -> Option<Fact> {
        let open = self.since_ns.map(|since_ns| (since_ns, t_ns));
        let spans: Vec<String> =
            self.spans.iter().copied().chain(open).map(|(begin, end)| format!("{begin}-{end}")).collect();
        (!spans.is_empty()).then(|| tenant::text("paused", &spans.join(" ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_told_from_off_to_on() {
        let mut pauses = Pauses::new(false);
        let told = |pauses: &Pauses, t_ns| pauses.fact(t_ns).map(|fact| fact.value);
        let text = |text: &str| Some(heapray_wire::FactValue::Text(text.into()));
        assert_eq!(told(&pauses, 5), text("0-5"));
        for (on, t_ns) in [(true, 7), (true, 8), (false, 9), (false, 10), (true, 11)] {
            pauses.switch(on, t_ns);
        }
        assert_eq!(told(&pauses, 20), text("0-7 9-11"));
        (0..200).for_each(|n| pauses.switch(n % 2 == 1, 100 + n));
        assert_eq!(
            told(&pauses, 900).map(|value| format!("{value:?}").matches('-').count()),
            Some(PAUSES_MAX)
        );
        assert_eq!(told(&Pauses::new(true), 20), None);
    }
}
