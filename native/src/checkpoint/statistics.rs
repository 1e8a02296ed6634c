//! How long the guest was paused, on what, and how much it had written, as quantiles in constant memory.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// Largest time that is told apart from larger ones: a minute of microseconds.
const LARGEST_US: u64 = 60_000_000;
/// The same for pages, of the largest guest.
const LARGEST_PAGES: u64 = 1 << 28;
/// The same for bytes, of a transaction of all of them.
const LARGEST_BYTES: u64 = 1 << 40;

/// What a pause is spent on, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Until the vCPUs stand still.
    Stop,
    /// Until QEMU has saved the state of CPUs and devices.
    Save,
    /// Until the last outputs have been taken over.
    Drain,
    /// Until the written pages are known.
    Scan,
    /// Until they have been copied; with more of them than can be staged, until they have been sent.
    Copy,
    /// Until the vCPUs run again.
    Cont,
}

impl Part {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Stop,
        Self::Save,
        Self::Drain,
        Self::Scan,
        Self::Copy,
        Self::Cont,
    ];
}

/// Times one pause by its parts.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch {
    since: Instant,
    parts: [Duration; Part::ALL.len()],
}

impl Stopwatch {
    /// The pause begins at `now`.
    pub fn start(now: Instant) -> Self {
        Self {
            since: now,
            parts: [Duration::ZERO; Part::ALL.len()],
        }
    }

    /// `part` ends at `now`, and the next one begins.
    pub fn lap(&mut self, part: Part, now: Instant) {
        self.parts[part as usize] += now.saturating_duration_since(self.since);
        self.since = now;
    }

    /// What `part` took so far.
    pub fn part(&self, part: Part) -> Duration {
        self.parts[part as usize]
    }

    /// The pause took `whole`: what no other part has taken was the last one's.
    fn finish(mut self, whole: Duration) -> [Duration; Part::ALL.len()] {
        let others = self.parts.iter().sum();
        self.parts[Part::Cont as usize] += whole.saturating_sub(others);
        self.parts
    }
}

/// Statistics since they were last restarted.
#[derive(Debug)]
pub struct Statistics {
    checkpoints: u64,
    pages: u64,
    bytes: u64,
    pause_us: Histogram<u32>,
    parts_us: [Histogram<u32>; Part::ALL.len()],
    epoch_us: Histogram<u32>,
    dirty_pages: Histogram<u32>,
    transaction_bytes: Histogram<u32>,
}

/// Quantiles of one measure: median, 99th percentile, largest.
pub type Quantiles = (u64, u64, u64);

impl Statistics {
    /// Empty ones.
    pub fn new() -> Self {
        Self {
            checkpoints: 0,
            pages: 0,
            bytes: 0,
            pause_us: histogram(LARGEST_US),
            parts_us: std::array::from_fn(|_| histogram(LARGEST_US)),
            epoch_us: histogram(LARGEST_US),
            dirty_pages: histogram(LARGEST_PAGES),
            transaction_bytes: histogram(LARGEST_BYTES),
        }
    }

    /// Empties the quantiles; what is counted from the engine's start goes on.
    pub fn restart(&mut self) {
        let parts = self.parts_us.iter_mut();
        let others = [
            &mut self.pause_us,
            &mut self.epoch_us,
            &mut self.dirty_pages,
            &mut self.transaction_bytes,
        ];
        parts.chain(others).for_each(Histogram::reset);
    }

    /// A checkpoint of `pages` pages was made.
    pub fn record_checkpoint(&mut self, pages: usize) {
        self.checkpoints += 1;
        self.pages += pages as u64;
        self.dirty_pages.saturating_record(pages as u64);
    }

    /// The guest ran for so long between a checkpoint and the one before.
    pub fn record_epoch(&mut self, ran: Duration) {
        self.epoch_us.saturating_record(microseconds(ran));
    }

    /// All of it came to `bytes` on the wire.
    pub fn record_transaction(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.transaction_bytes.saturating_record(bytes);
    }

    /// The guest was paused for `pause`, which `stopwatch` has followed until the guest was told to run.
    pub fn record_pause(&mut self, pause: Duration, stopwatch: Stopwatch) {
        self.pause_us.saturating_record(microseconds(pause));
        for (histogram, part) in self.parts_us.iter_mut().zip(stopwatch.finish(pause)) {
            histogram.saturating_record(microseconds(part));
        }
    }

    /// Checkpoints made since the engine's start.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints
    }

    /// Their pages.
    pub fn pages(&self) -> u64 {
        self.pages
    }

    /// Their bytes on the wire.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Pauses in microseconds; `None` before the first.
    pub fn pause_us(&self) -> Option<Quantiles> {
        quantiles(&self.pause_us)
    }

    /// One part of the pauses in microseconds; `None` before the first.
    pub fn part_us(&self, part: Part) -> Option<Quantiles> {
        quantiles(&self.parts_us[part as usize])
    }

    /// For how long the guest ran in an epoch, in microseconds; `None` before the second.
    pub fn epoch_us(&self) -> Option<Quantiles> {
        quantiles(&self.epoch_us)
    }

    /// Pages per checkpoint; `None` before the first.
    pub fn dirty_pages(&self) -> Option<Quantiles> {
        quantiles(&self.dirty_pages)
    }

    /// Bytes per checkpoint; `None` before the first.
    pub fn transaction_bytes(&self) -> Option<Quantiles> {
        quantiles(&self.transaction_bytes)
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self::new()
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn histogram(largest: u64) -> Histogram<u32> {
    Histogram::new_with_max(largest, 2).expect("constant bounds are valid")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_pause_add_up_to_it() {
        let begin = Instant::now();
        let at = |us| begin + Duration::from_micros(us);
        let mut stopwatch = Stopwatch::start(begin);
        for (part, us) in [
            (Part::Stop, 10),
            (Part::Save, 50),
            (Part::Drain, 51),
            (Part::Scan, 71),
            (Part::Copy, 80),
        ] {
            stopwatch.lap(part, at(us));
        }
        let mut statistics = Statistics::new();
        assert_eq!(statistics.part_us(Part::Stop), None);
        statistics.record_pause(Duration::from_micros(100), stopwatch);
        let median = |part| statistics.part_us(part).map(|(p50, _, _)| p50);
        let medians = Part::ALL.map(|part| median(part).expect("recorded"));
        assert_eq!(medians, [10, 40, 1, 20, 9, 20]);
        assert_eq!(statistics.pause_us(), Some((100, 100, 100)));
        // By two clocks, a pause can be shorter than the sum of its parts.
        statistics.record_pause(Duration::from_micros(60), stopwatch);
        assert_eq!(statistics.part_us(Part::Cont), Some((0, 20, 20)));
    }

    #[test]
    fn a_restart_empties_the_quantiles_and_no_count() {
        let mut statistics = Statistics::new();
        statistics.record_checkpoint(7);
        statistics.record_transaction(9000);
        statistics.record_pause(Duration::from_millis(1), Stopwatch::start(Instant::now()));
        statistics.record_epoch(Duration::from_micros(100));
        assert_eq!(statistics.epoch_us(), Some((100, 100, 100)));
        statistics.restart();
        assert_eq!(statistics.pause_us(), None);
        assert_eq!(statistics.epoch_us(), None);
        assert_eq!(statistics.part_us(Part::Save), None);
        assert_eq!(statistics.dirty_pages(), None);
        assert_eq!(statistics.transaction_bytes(), None);
        let counts = [
            statistics.checkpoints(),
            statistics.pages(),
            statistics.bytes(),
        ];
        assert_eq!(counts, [1, 7, 9000]);
    }
}
