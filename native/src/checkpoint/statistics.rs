//! How long the guest was paused and how much it had written, as quantiles in constant memory.

use std::time::Duration;

use hdrhistogram::Histogram;

/// Largest value that is told apart from larger ones: a minute of microseconds, or that many pages.
const LARGEST: u64 = 60_000_000;

/// Statistics since the start of the engine.
#[derive(Debug)]
pub struct Statistics {
    pause_us: Histogram<u32>,
    dirty_pages: Histogram<u32>,
    checkpoints: u64,
}

/// Quantiles of one measure: median, 99th percentile, largest.
pub type Quantiles = (u64, u64, u64);

impl Statistics {
    /// Empty ones.
    ///
    /// # Panics
    /// Never: the bounds are constants that the histogram accepts.
    pub fn new() -> Self {
        let histogram = || Histogram::new_with_max(LARGEST, 2).expect("constant bounds are valid");
        Self {
            pause_us: histogram(),
            dirty_pages: histogram(),
            checkpoints: 0,
        }
    }

    /// A checkpoint of `pages` pages was made.
    pub fn record_checkpoint(&mut self, pages: usize) {
        self.checkpoints += 1;
        self.dirty_pages.saturating_record(pages as u64);
    }

    /// The guest was paused for `pause`.
    pub fn record_pause(&mut self, pause: Duration) {
        self.pause_us
            .saturating_record(u64::try_from(pause.as_micros()).unwrap_or(u64::MAX));
    }

    /// Checkpoints made.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    /// Pauses in microseconds; `None` before the first.
    pub fn pause_us(&self) -> Option<Quantiles> {
        quantiles(&self.pause_us)
    }

    /// Pages per checkpoint; `None` before the first.
    pub fn dirty_pages(&self) -> Option<Quantiles> {
        quantiles(&self.dirty_pages)
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self::new()
    }
}

fn quantiles(histogram: &Histogram<u32>) -> Option<Quantiles> {
    (!histogram.is_empty()).then(|| {
        (
            histogram.value_at_quantile(0.5),
            histogram.value_at_quantile(0.99),
            histogram.max(),
        )
    })
}
