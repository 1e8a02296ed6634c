//! When a checkpoint is due: pure, so that every mode can be tested with a clock of the test's own.
//!
//! The mode `adaptive` waits for outputs that are about to follow, because a checkpoint costs the same for one as for many.
//! How many follow, the past tells: those that had come when an epoch was released were answers to nothing in it, so they
//! would have come anyway. A guest with one client has none of those, and is never made to wait.
//!
//! An epoch has two bounds that hold in every mode: for how long the guest may run in it, and how much it may write. The clock
//! and what was found written tell when they are reached; estimates only make checkpoints come earlier. While no checkpoint can
//! be made, the guest stands still at a bound.

use std::time::{Duration, Instant};

use super::growth::Growth;
use super::{SyncMode, Tuning};

/// Outputs of one burst that are told apart from more.
const BURST_MAX: f64 = 4096.0;
/// How fast a larger, and a smaller, burst is believed.
const RISE: f64 = 0.5;
const FALL: f64 = 0.25;
/// How fast a change of the other measures is believed.
const BELIEVE: f64 = 0.25;
/// Silence, in mean distances of two outputs, after which no more are expected.
const SILENCE_GAPS: f64 = 3.0;
/// Shortest such silence: what the engine itself needs to see an output.
const SILENCE_MIN: Duration = Duration::from_micros(50);

/// What bounds every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EpochBounds {
    /// For how long the guest may run in one epoch.
    pub age: Duration,
    /// Pages that it may write in one; more by what it writes between two looks.
    pub pages: u64,
}

/// Outputs of the running epoch.
#[derive(Debug, Clone, Copy)]
struct Open {
    count: u32,
    first: Instant,
    last: Instant,
}

/// Decides when the next checkpoint is due.
#[derive(Debug)]
pub struct Policy {
    tuning: Tuning,
    bounds: EpochBounds,
    open: Option<Open>,
    sealed: u32,
    last_capture: Instant,
    /// When the guest began to run last.
    runs_since: Instant,
    /// Whether it runs.
    runs: bool,
    /// How long it had run in the running epoch before that.
    ran: Duration,
    growth: Growth,
    /// Since when the guest is paused for a capture, and for nothing else.
    paused_since: Option<Instant>,
    /// Outputs of a burst, as far as is known.
    burst: f64,
    /// Between two outputs of a burst (seconds).
    gap_s: f64,
    /// Length of a pause (seconds).
    pause_s: f64,
}

impl Policy {
    /// For a guest that runs since `now`.
    pub fn new(tuning: Tuning, bounds: EpochBounds, now: Instant) -> Self {
        Self {
            tuning,
            bounds,
            open: None,
            sealed: 0,
            last_capture: now,
            runs_since: now,
            runs: true,
            ran: Duration::ZERO,
            growth: Growth::new(bounds.pages),
            paused_since: None,
            burst: 1.0,
            gap_s: 0.0,
            pause_s: 0.0,
        }
    }

    /// The settings in force.
    pub fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Takes other settings, at once.
    pub fn retune(&mut self, tuning: Tuning) {
        self.tuning = tuning;
    }

    /// `count` outputs have joined the running epoch.
    pub fn output(&mut self, count: u32, now: Instant) {
        if count == 0 {
            return;
        }
        match &mut self.open {
            Some(open) => {
                if open.last >= self.runs_since {
                    let gap_s = (now - open.last).as_secs_f64() / f64::from(count);
                    believe(&mut self.gap_s, gap_s, BELIEVE);
                }
                open.count = open.count.saturating_add(count);
                open.last = now;
            }
            None => {
                self.open = Some(Open {
                    count,
                    first: now,
                    last: now,
                });
            }
        }
    }

    /// The epoch has been captured, with `pages` that took `scan` to find, of a guest that is stopped since `stopped_at`: its
    /// outputs are sealed. Returns how long the guest ran in it.
    pub fn captured(&mut self, pages: usize, scan: Duration, stopped_at: Instant) -> Duration {
        // One that stood still anyway says nothing about the pauses of checkpoints.
        self.paused_since = self.runs.then_some(stopped_at);
        self.stands(stopped_at);
        let ran = std::mem::take(&mut self.ran);
        self.growth.captured(pages, ran, scan);
        self.sealed = self.open.take().map_or(0, |open| open.count);
        self.last_capture = stopped_at;
        ran
    }

    /// The guest stands still since `now` for another reason than a capture: how long says nothing about checkpoints.
    pub fn interrupted(&mut self, now: Instant) {
        self.paused_since = None;
        self.stands(now);
    }

    fn stands(&mut self, now: Instant) {
        if self.runs {
            self.ran += now.saturating_duration_since(self.runs_since);
            self.runs = false;
        }
    }

    /// The guest runs since `now`.
    pub fn resumed(&mut self, now: Instant) {
        if let Some(since) = self.paused_since.take() {
            let pause_s = now.saturating_duration_since(since).as_secs_f64();
            if self.pause_s == 0.0 {
                self.pause_s = pause_s;
            }
            believe(&mut self.pause_s, pause_s, BELIEVE);
        }
        self.runs_since = now;
        self.runs = true;
    }

    /// An epoch may have `times` as many pages as its bounds say.
    pub fn stretch(&mut self, times: u64) {
        self.growth.rebound(self.bounds.pages.saturating_mul(times));
    }

    /// When somebody should look how much has been written; never while the guest stands still.
    pub fn look_due(&self) -> Option<Instant> {
        self.runs.then(|| self.when_run(self.growth.next_look()))
    }

    /// The running epoch has `pages` by now.
    pub fn looked(&mut self, pages: usize, now: Instant) {
        self.growth.looked(pages, self.run_by(now));
    }

    /// Whether the running epoch has reached a bound: the guest must not run on in it.
    pub fn is_full(&self, now: Instant) -> bool {
        self.run_by(now) >= self.bounds.age || self.is_large()
    }

    /// The same of its pages alone.
    pub fn is_large(&self) -> bool {
        self.growth.is_full()
    }

    /// When the running epoch reaches a bound, if the guest runs until then.
    pub fn full_at(&self) -> Option<Instant> {
        self.runs.then(|| self.bound_reached())
    }

    fn bound_reached(&self) -> Instant {
        if self.growth.is_full() {
            self.last_capture
        } else {
            self.when_run(self.bounds.age)
        }
    }

    /// How long the guest has run in the running epoch by `now`.
    fn run_by(&self, now: Instant) -> Duration {
        if self.runs {
            self.ran + now.saturating_duration_since(self.runs_since)
        } else {
            self.ran
        }
    }

    /// When it has run for so long in it, if it runs on.
    fn when_run(&self, long: Duration) -> Instant {
        self.runs_since + long.saturating_sub(self.ran)
    }

    /// The sealed outputs have been released.
    pub fn released(&mut self) {
        let came = f64::from(self.sealed) + self.open.map_or(0.0, |open| f64::from(open.count));
        if self.sealed > 0 {
            let came = came.min(BURST_MAX);
            let weight = if came > self.burst { RISE } else { FALL };
            believe(&mut self.burst, came, weight);
        }
        self.sealed = 0;
    }

    /// The transaction failed: the sealed outputs wait for the next one.
    pub fn unsealed(&mut self, now: Instant) {
        let again = std::mem::take(&mut self.sealed);
        if again > 0 {
            let open = self.open.get_or_insert(Open {
                count: 0,
                first: now,
                last: now,
            });
            open.count = open.count.saturating_add(again);
        }
    }

    /// When the last checkpoint was made.
    pub fn last_capture(&self) -> Instant {
        self.last_capture
    }

    /// When the next checkpoint is due; in the past if it is overdue. The bounds of the epoch go before the share of the time
    /// that checkpoints may take.
    pub fn due(&self) -> Instant {
        let too_old = self.last_capture + self.bounds.age;
        let too_large = self.when_run(self.growth.full_after().min(self.bounds.age));
        let wanted = match (self.tuning.sync_mode, &self.open) {
            (SyncMode::Interval, _) => self.last_capture + self.tuning.interval(),
            (_, None) => too_old,
            (SyncMode::Event, Some(open)) => open.first,
            (SyncMode::Adaptive, Some(open)) => self.burst_complete(open),
        };
        wanted
            .min(too_old)
            .min(too_large)
            .max(self.runs_since + self.least_run())
            .min(self.bound_reached())
    }

    fn burst_complete(&self, open: &Open) -> Instant {
        if f64::from(open.count) + 0.5 >= self.burst {
            return open.first;
        }
        let silence = Duration::from_secs_f64(self.gap_s * SILENCE_GAPS).max(SILENCE_MIN);
        (open.last.max(self.runs_since) + silence).min(open.first + self.tuning.latency_budget())
    }

    /// How long the guest must run between two pauses so that their share is within its bound.
    fn least_run(&self) -> Duration {
        let most = f64::from(self.tuning.paused_max_percent.clamp(1, 100));
        Duration::from_secs_f64(self.pause_s * (100.0 - most) / most)
    }
}

pub(super) fn believe(known: &mut f64, seen: f64, weight: f64) {
    *known += (seen - *known) * weight;
}

#[cfg(test)]
mod tests;
