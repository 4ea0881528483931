//! What is weighed: live memory, a peak, growth, temporaries, or all that was allocated.

use super::Allocations;
use crate::answer::Recorded;
use heapray_profile::{Amount, Figures, Highest, Site, highest, peak_figures};

/// What to weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum What {
    /// Alive at the end of the window.
    #[default]
    Live,
    /// Alive when it was most: of the process that held most, where several count.
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
    /// The sites to weigh; of peaks with the process and the moment whose peak it is.
    pub(super) fn weighed(&self, what: What) -> (Vec<Site>, Option<Highest>) {
        if what != What::Peak {
            return (self.sites(self.span_of(what)), None);
        }
        let peak = self.highest();
        let sites = peak.map(|peak| peak_figures(&self.recording, &self.selection, peak));
        (sites.unwrap_or_default(), peak)
    }

    /// The head of an answer that weighs this.
    pub(super) fn weighed_of(&self, what: What, n_records: i64) -> Recorded {
        let mut about = self.recorded(self.span_of(what), n_records);
        if let Some(peak) = self.highest().filter(|_| what == What::Peak) {
            about.window.to_seconds = peak.t_ns as f64 / 1e9;
            about.doubt.peak_reads_high = about.doubt.is_estimated;
            about.window.live = if peak.is_mark() { "peak" } else { "fullest border" }.to_owned();
        }
        about
    }

    /// The most that one process held within the window.
    fn highest(&self) -> Option<Highest> {
        highest(&self.recording, &self.selection, &self.whole)
    }
}
