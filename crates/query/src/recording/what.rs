//! What is weighed: live memory, a peak, growth, temporaries, or all that was allocated.

use super::Allocations;
use heapray_profile::{Amount, Figures, Site, peak_figures};

/// What to weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// Alive at the end of the window.
    #[default]
    Live,
    /// Alive at the high-water mark: of the process with the highest, where several count.
    Peak,
    /// Alive at the end of the window more than at its begin.
    Growth,
    /// Freed soon: in the slice of time (a second, in long recordings more) that it was allocated in.
    Temporary,
    /// Allocated in the window, freed or not.
    Allocated,
}

impl What {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Peak => "peak",
            Self::Growth => "growth",
            Self::Temporary => "temporary",
            Self::Allocated => "allocated",
        }
    }

    /// The weight of figures; of growth what shrank is negative.
    pub(super) fn of(self, figures: &Figures) -> Amount {
        match self {
            // The figures of a peak are its live ones.
            Self::Live | Self::Peak => figures.live,
            Self::Growth => figures.growth(),
            Self::Allocated => figures.allocated,
            Self::Temporary => figures.temporary,
        }
    }
}

impl Allocations {
    /// The sites to weigh; of peaks with the process whose peak it is.
    pub(super) fn weighed(&self, what: What) -> (Vec<Site>, Option<usize>) {
        if what != What::Peak {
            return (self.sites(self.span_of(what)), None);
        }
        let peak = self.highest();
        (peak.map_or_else(Vec::new, |task| peak_figures(&self.recording, &self.selection, task)), peak)
    }

    /// The process with the highest peak, the first of equals.
    fn highest(&self) -> Option<usize> {
        let peaks = self.selection.tasks(&self.recording).filter_map(|(at, task)| {
            let peak = task.peak.as_ref()?;
            Some((at, peak.bytes))
        });
        peaks.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(at, _)| at)
    }
}
