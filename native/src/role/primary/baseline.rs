//! Building a replica while the guest runs: rounds over the pages that the secondary lacks, until few are left.

use std::time::{Duration, Instant};

use super::encoding::Chunks;
use super::trial::TrialStage;
use super::{Engine, Fatal, Ports, Primary};
use crate::checkpoint::Compression;
use crate::control::messages::SyncProgress;
use crate::guest::Vm;
use crate::guest::pages::PageSet;
use crate::limits::PAGE_BYTES;
use crate::wire::CapturedRun;

/// Share of the staging area that may be left for the first checkpoint, which sends it while the guest is paused.
const REST_DIVISOR: usize = 4;
/// Rounds without getting closer after which the rest is sent while the guest is paused.
const FRUITLESS_ROUNDS_MAX: u32 = 3;
/// Longest pause that a guest is put through for its first checkpoint, estimated from the rate so far (seconds).
const FIRST_PAUSE_MAX_S: f64 = 1.0;

/// A baseline on its way.
#[derive(Debug)]
pub(super) struct Baseline {
    round: u32,
    /// Where the next chunk begins.
    cursor: usize,
    sent_pages: u64,
    fewest_left: usize,
    rest_pages: usize,
    fruitless_rounds: u32,
    since: Instant,
    /// Whether the secondary could go on with the guest.
    pub(super) trial: TrialStage,
    pub(super) chunks: Chunks,
}

impl Baseline {
    pub(super) fn new(staging_pages: usize, compression: Compression, now: Instant) -> Self {
        Self {
            round: 1,
            cursor: 0,
            sent_pages: 0,
            fewest_left: usize::MAX,
            rest_pages: staging_pages / REST_DIVISOR,
            fruitless_rounds: 0,
            since: now,
            trial: TrialStage::Ahead,
            chunks: Chunks::new(compression),
        }
    }

    /// Whether pages may be sent: not while the secondary tries the state that belongs to those that it has.
    pub(super) fn is_sending(&self) -> bool {
        !matches!(self.trial, TrialStage::UnderWay { .. })
    }

    /// The secondary could go on with the guest. Rounds go on over what was written meanwhile.
    pub(super) fn pass_trial(&mut self) {
        self.trial = TrialStage::Passed;
        self.cursor = 0;
        (self.fewest_left, self.fruitless_rounds) = (usize::MAX, 0);
    }

    pub(super) fn note_sent(&mut self, runs: &[CapturedRun]) {
        self.sent_pages += runs.iter().map(|run| u64::from(run.pages)).sum::<u64>();
    }

    pub(super) fn progress(&self, owed: &PageSet, now: Instant) -> SyncProgress {
        let (total, left) = (owed.capacity() as u64, owed.count() as u64);
        let bytes = self.sent_pages * PAGE_BYTES as u64;
        let elapsed_us = u64::try_from(self.elapsed(now).as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        SyncProgress {
            percent: u8::try_from((total - left) * 100 / total.max(1))
                .unwrap_or(100)
                .min(99),
            round: self.round,
            bytes,
            bytes_per_second: bytes.saturating_mul(1_000_000) / elapsed_us,
        }
    }

    fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.since)
    }

    /// Whether so few pages are left, or so little is gained by another round, that the first checkpoint takes the rest
    /// with the guest paused. A guest that would be paused for too long stays without a replica instead, unless somebody
    /// who wants it elsewhere is waiting.
    fn is_close_enough(&mut self, left: usize, hurried: bool, now: Instant) -> bool {
        if left < self.fewest_left {
            self.fewest_left = left;
            self.fruitless_rounds = 0;
        } else {
            self.fruitless_rounds += 1;
        }
        let fruitless = self.fruitless_rounds >= FRUITLESS_ROUNDS_MAX;
        let sent = usize::try_from(self.sent_pages)
            .unwrap_or(usize::MAX)
            .max(1);
        let pause_s = self.elapsed(now).as_secs_f64() * pages_as_f64(left) / pages_as_f64(sent);
        if left > self.rest_pages && fruitless && !hurried && pause_s > FIRST_PAUSE_MAX_S {
            if self.fruitless_rounds.is_power_of_two() {
                tracing::warn!(
                    rounds = self.round,
                    left,
                    pause_s,
                    "the guest writes faster than the link carries: no replica yet"
                );
            }
            return false;
        }
        left <= self.rest_pages || fruitless
    }
}

#[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
fn pages_as_f64(pages: usize) -> f64 {
    pages as f64
}

impl<P: Ports> Primary<P> {
    /// Sends the next chunk if there is room for it; at the end of the last round begins to hold outputs and makes the
    /// first checkpoint.
    pub(super) fn advance_baseline(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let (Some(baseline), Some(link)) = (&mut self.baseline, &self.link) else {
            return Ok(());
        };
        if !link.outgoing.is_empty() || !baseline.is_sending() {
            return Ok(());
        }
        baseline.chunks.drained(engine.now());
        if let Some(next) = self.staging.copy(
            |offset, into| self.guest.capture(offset, into),
            &self.owed,
            baseline.cursor,
            engine.sizes.baseline_chunk_pages,
        ) {
            for run in self.staging.runs() {
                let first = usize::try_from(run.first_page).expect("a page of this guest");
                self.owed.remove(first..first + run.pages as usize);
            }
            baseline.note_sent(self.staging.runs());
            baseline.cursor = next;
            self.send_chunk(engine);
            return Ok(());
        }
        self.guest.collect_dirty(&mut self.owed)?;
        let left = self.owed.count();
        let hurried = self.demotion.is_some();
        if baseline.is_close_enough(left, hurried, engine.now()) {
            if baseline.trial == TrialStage::Ahead {
                return self.begin_trial(engine);
            }
            tracing::info!(
                rounds = baseline.round,
                left,
                sent = baseline.sent_pages,
                elapsed = ?baseline.elapsed(engine.now()),
                "the baseline is there"
            );
            self.measured.relearn(baseline.chunks.ns_per_byte());
            self.baseline = None;
            return self.first_checkpoint(engine);
        }
        baseline.round += 1;
        baseline.cursor = 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAGING: usize = 4096;

    #[test]
    fn rounds_go_on_while_they_help_and_end_when_they_do_not() {
        let now = Instant::now();
        let mut baseline = Baseline::new(STAGING, Compression::Off, now);
        assert!(!baseline.is_close_enough(60_000, false, now));
        assert!(!baseline.is_close_enough(20_000, false, now));
        assert!(baseline.is_close_enough(STAGING / REST_DIVISOR, false, now));
        let mut stuck = Baseline::new(STAGING, Compression::Off, now);
        stuck.sent_pages = 1 << 40;
        let verdicts: Vec<bool> = (0..4)
            .map(|_| stuck.is_close_enough(50_000, false, now))
            .collect();
        assert_eq!(verdicts, [false, false, false, true]);
    }

    #[test]
    fn a_guest_is_not_paused_for_long_to_get_its_replica_unless_it_has_to_move() {
        let began = Instant::now();
        let later = began + Duration::from_secs(10);
        let mut slow = Baseline::new(STAGING, Compression::Off, began);
        slow.sent_pages = 1;
        for _ in 0..10 {
            assert!(!slow.is_close_enough(50_000, false, later));
        }
        assert!(slow.is_close_enough(50_000, true, later));
    }
}
