//! Building a replica while the guest runs: rounds over the pages that the secondary lacks, until few are left.

use std::time::{Duration, Instant};

use super::convergence::{BRAKE_MAX_PERCENT, Brake, Convergence, Round, Verdict};
use super::encoding::Chunks;
use super::trial::TrialStage;
use super::{Engine, Fatal, Ports, Primary};
use crate::checkpoint::Compression;
use crate::control::messages::SyncProgress;
use crate::guest::pages::PageSet;
use crate::guest::{GuestError, Vm};
use crate::limits::{PAGE_BYTES, TRIALS_APART};
use crate::report;
use crate::wire::CapturedRun;

/// Share of the staging area that may be left for the first checkpoint, which sends it while the guest is paused.
const REST_DIVISOR: usize = 4;
/// Largest share of a round's pages that are expected to have been written again at its end, for an estimate.
const REWRITTEN_MAX: f64 = 0.9;

/// A baseline on its way.
#[derive(Debug)]
pub(super) struct Baseline {
    round: u32,
    /// Where the next chunk begins.
    cursor: usize,
    sent_pages: u64,
    since: Instant,
    convergence: Convergence,
    brake: Brake,
    /// When the round began, the pages that had been sent by then, and the bytes that the link had been given.
    began: (Instant, u64, u64),
    /// Pages that the link carries in a second, once a round is over, and the share of them that is written again meanwhile.
    rate: Option<(f64, f64)>,
    /// Whether the secondary could go on with the guest.
    pub(super) trial: TrialStage,
    pub(super) chunks: Chunks,
}

impl Baseline {
    /// Begins on a link that has been given `link_bytes`.
    pub(super) fn new(
        staging_pages: usize,
        compression: Compression,
        link_bytes: u64,
        now: Instant,
    ) -> Self {
        Self {
            round: 1,
            cursor: 0,
            sent_pages: 0,
            since: now,
            convergence: Convergence::new(staging_pages / REST_DIVISOR),
            brake: Brake::new(now),
            began: (now, 0, link_bytes),
            rate: None,
            trial: TrialStage::Ahead,
            chunks: Chunks::new(compression),
        }
    }

    /// Whether pages may be sent: not while the secondary tries the state that belongs to those that it has.
    pub(super) fn is_sending(&self) -> bool {
        !matches!(self.trial, TrialStage::UnderWay { .. })
    }

    /// The secondary could go on with the guest. Rounds go on over what was written meanwhile.
    pub(super) fn pass_trial(&mut self, link_bytes: u64, now: Instant) {
        self.trial = TrialStage::Passed;
        self.convergence.interrupted();
        self.begin_round(link_bytes, now);
    }

    pub(super) fn note_sent(&mut self, runs: &[CapturedRun]) {
        self.sent_pages += runs.iter().map(|run| u64::from(run.pages)).sum::<u64>();
    }

    /// Whether the guest is to stand still at `now`, so that the link keeps up with it. The brake is let go while the secondary
    /// tries.
    pub(super) fn brakes(&mut self, now: Instant) -> bool {
        let percent = self.brake_percent();
        self.brake.stands(percent, now)
    }

    fn brake_percent(&self) -> u8 {
        if self.is_sending() {
            self.convergence.brake_percent()
        } else {
            0
        }
    }

    /// When the guest is to be stopped or let go next, if it is braked.
    pub(super) fn brake_due(&self) -> Option<Instant> {
        (self.brake_percent() > 0).then(|| self.brake.due())
    }

    pub(super) fn progress(&self, owed: &PageSet, now: Instant) -> SyncProgress {
        let (total, left) = (owed.capacity() as u64, owed.count() as u64);
        let bytes = self.sent_pages * PAGE_BYTES as u64;
        let elapsed = now.saturating_duration_since(self.since);
        let elapsed_us = u64::try_from(elapsed.as_micros())
            .unwrap_or(u64::MAX)
            .max(1);
        let remaining_seconds = self.rate.or_else(|| {
            let rate = as_f64(self.sent_pages) / elapsed.as_secs_f64();
            (rate >= 1.0).then_some((rate, 0.0))
        });
        let remaining_seconds = remaining_seconds.map(|(rate, rewritten)| {
            let seconds = as_f64(left) / rate.max(1.0) / (1.0 - rewritten.min(REWRITTEN_MAX));
            Duration::try_from_secs_f64(seconds.ceil()).map_or(u64::MAX, |left| left.as_secs())
        });
        SyncProgress {
            percent: u8::try_from((total - left) * 100 / total.max(1))
                .unwrap_or(100)
                .min(99),
            round: self.round,
            bytes,
            bytes_per_second: bytes.saturating_mul(1_000_000) / elapsed_us,
            remaining_bytes: left * PAGE_BYTES as u64,
            remaining_seconds,
            brake_percent: self.brake_percent(),
        }
    }

    /// A round is over and `left` pages are left: what follows.
    fn end_round(&mut self, left: usize, hurried: bool, link_bytes: u64, now: Instant) -> Verdict {
        let (began, sent_before, link_before) = self.began;
        let sent = self.sent_pages - sent_before;
        let seconds = (now.saturating_duration_since(began).as_secs_f64()).max(1e-6);
        // Of the first round most may be zero pages, which cost nothing; later ones are like what is to come.
        let carried = if sent_before == 0 {
            (link_bytes - link_before) / PAGE_BYTES as u64
        } else {
            sent
        };
        let pages_per_second = as_f64(carried) / seconds;
        if sent > 0 {
            let rewritten = as_f64(left as u64) / as_f64(sent);
            self.rate = Some((pages_per_second, rewritten));
        }
        let before = self.convergence.brake_percent();
        let round = Round {
            sent: usize::try_from(sent).unwrap_or(usize::MAX),
            pages_per_second,
            seconds,
            left,
        };
        let verdict = self.convergence.judge(round, hurried);
        let percent = self.convergence.brake_percent();
        if percent != before {
            tracing::warn!(
                round = self.round,
                left,
                percent,
                "the guest writes faster than the link carries: it is braked until it has a replica"
            );
        }
        self.begin_round(link_bytes, now);
        verdict
    }

    fn begin_round(&mut self, link_bytes: u64, now: Instant) {
        self.round += 1;
        self.cursor = 0;
        self.began = (now, self.sent_pages, link_bytes);
    }
}

#[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
fn as_f64(pages: u64) -> f64 {
    pages as f64
}

impl<P: Ports> Primary<P> {
    /// Sends the next chunk if there is room for it; at the end of the last round begins to hold outputs and makes the
    /// first checkpoint.
    pub(super) fn advance_baseline(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let (Some(baseline), Some(link)) = (&mut self.baseline, &mut self.link) else {
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
        match self.look(engine)? {
            Ok(true) => {}
            // In the next turn the guest is stopped.
            Ok(false) => return Ok(()),
            Err(error) => {
                self.give_up_tracking(engine, &error);
                return Ok(());
            }
        }
        let (Some(baseline), Some(link)) = (&mut self.baseline, &mut self.link) else {
            return Ok(());
        };
        let left = self.owed.count();
        let hurried = self.demotion.is_some();
        let now = engine.now();
        match baseline.end_round(left, hurried, link.outgoing.bytes_encoded(), now) {
            Verdict::Another => Ok(()),
            Verdict::Enough if baseline.trial == TrialStage::Ahead => self.begin_trial(engine),
            Verdict::Enough => {
                tracing::info!(
                    rounds = baseline.round,
                    left,
                    sent = baseline.sent_pages,
                    elapsed = ?now.saturating_duration_since(baseline.since),
                    "the baseline is there"
                );
                self.measured.relearn(baseline.chunks.ns_per_byte());
                self.baseline = None;
                self.first_checkpoint(engine)
            }
            Verdict::Hopeless => {
                let why = format!(
                    "the guest writes faster than the link to {} carries, even when it runs for {} % of the time only: no \
                     replica",
                    self.peer(engine),
                    100 - BRAKE_MAX_PERCENT
                );
                self.give_up_baseline(engine, &why);
                Ok(())
            }
        }
    }

    /// Stops a guest that writes faster than the link carries, and lets it run again, in turn; lets it run when there is no
    /// baseline any more.
    pub(super) fn brake(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        let now = engine.now();
        let brakes = (self.baseline.as_mut()).is_some_and(|baseline| baseline.brakes(now));
        if brakes && !self.standing.for_baseline {
            self.standing.for_baseline = true;
            self.stand_still(engine)?;
        } else if !brakes && self.standing.for_baseline {
            self.standing.for_baseline = false;
            self.run_on(engine)?;
        }
        Ok(())
    }

    /// Written pages cannot be found. While there is no replica the guest may be the only copy: that ends the baseline and not
    /// the guest, which goes on as before.
    pub(super) fn give_up_tracking(&mut self, engine: &mut Engine<P>, error: &GuestError) {
        // Nobody knows what the secondary lacks.
        self.replica_holder = None;
        let why = format!(
            "written pages cannot be tracked, so no replica can be built: {}",
            report::chain(error)
        );
        self.give_up_baseline(engine, &why);
    }

    /// No replica can be had from this peer now: it is left in peace for a while, and the guest goes on as before.
    pub(super) fn give_up_baseline(&mut self, engine: &mut Engine<P>, why: &str) {
        let message = format!("{why} (tried again in {} s)", TRIALS_APART.as_secs());
        self.drop_link(engine);
        engine.complain(message);
        let is_solo = self.may_call_others();
        self.calls.rest(engine.now() + TRIALS_APART, is_solo);
        self.show(engine);
    }
}
