//! When a checkpoint is due: pure, so that every mode can be tested with a clock of the test's own.
//!
//! The mode `adaptive` waits for outputs that are about to follow, because a checkpoint costs the same for one as for many.
//! How many follow, the past tells: those that had come when an epoch was released were answers to nothing in it, so they
//! would have come anyway. A guest with one client has none of those, and is never made to wait.

use std::time::{Duration, Instant};

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
    /// Longest epoch.
    pub age: Duration,
    /// Pages that an epoch should not exceed, by the rate of the ones before.
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
    runs_since: Instant,
    /// Since when the guest is paused for a capture, and for nothing else.
    paused_since: Option<Instant>,
    /// Outputs of a burst, as far as is known.
    burst: f64,
    /// Between two outputs of a burst (seconds).
    gap_s: f64,
    /// Length of a pause (seconds).
    pause_s: f64,
    /// Pages that the running guest writes in a second.
    pages_per_s: f64,
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
            paused_since: None,
            burst: 1.0,
            gap_s: 0.0,
            pause_s: 0.0,
            pages_per_s: 0.0,
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

    /// The epoch has been captured, with `pages`, of a guest that is paused since `stopped_at`: its outputs are sealed.
    pub fn captured(&mut self, pages: usize, stopped_at: Instant) {
        let ran_s = (stopped_at.saturating_duration_since(self.runs_since)).as_secs_f64();
        #[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
        let rate = pages as f64 / ran_s.max(1e-4);
        believe(&mut self.pages_per_s, rate, BELIEVE);
        self.sealed = self.open.take().map_or(0, |open| open.count);
        self.last_capture = stopped_at;
        self.paused_since = Some(stopped_at);
    }

    /// The guest will stand still for another reason than a capture: how long says nothing about checkpoints.
    pub fn interrupted(&mut self) {
        self.paused_since = None;
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

    /// When the next checkpoint is due; in the past if it is overdue.
    pub fn due(&self) -> Instant {
        let too_old = self.last_capture + self.bounds.age.min(self.until_too_large());
        let wanted = match (self.tuning.sync_mode, &self.open) {
            (SyncMode::Interval, _) => self.last_capture + self.tuning.interval(),
            (_, None) => too_old,
            (SyncMode::Event, Some(open)) => open.first,
            (SyncMode::Adaptive, Some(open)) => self.burst_complete(open),
        };
        wanted.min(too_old).max(self.runs_since + self.least_run())
    }

    fn burst_complete(&self, open: &Open) -> Instant {
        if f64::from(open.count) + 0.5 >= self.burst {
            return open.first;
        }
        let silence = Duration::from_secs_f64(self.gap_s * SILENCE_GAPS).max(SILENCE_MIN);
        (open.last.max(self.runs_since) + silence).min(open.first + self.tuning.latency_budget())
    }

    /// Time after which an epoch is as large as it should be.
    fn until_too_large(&self) -> Duration {
        #[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
        let seconds = self.bounds.pages as f64 / self.pages_per_s.max(1.0);
        Duration::try_from_secs_f64(seconds)
            .unwrap_or(Duration::MAX)
            .min(self.bounds.age)
    }

    /// How long the guest must run between two pauses so that their share is within its bound.
    fn least_run(&self) -> Duration {
        let most = f64::from(self.tuning.paused_max_percent.clamp(1, 100));
        Duration::from_secs_f64(self.pause_s * (100.0 - most) / most)
    }
}

fn believe(known: &mut f64, seen: f64, weight: f64) {
    *known += (seen - *known) * weight;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Commit, Compression};
    use proptest::prelude::*;

    const PAUSE: Duration = Duration::from_micros(800);
    const ACK: Duration = Duration::from_micros(300);
    const SERVICE: Duration = Duration::from_micros(120);
    const BOUNDS: EpochBounds = EpochBounds {
        age: Duration::from_millis(100),
        pages: 4096,
    };

    fn tuning(sync_mode: SyncMode) -> Tuning {
        Tuning {
            sync_mode,
            commit: Commit::Pipelined,
            interval_ms: 20,
            latency_budget_ms: 5,
            paused_max_percent: 100,
            compression: Compression::Auto,
        }
    }

    /// What a closed loop of clients sees of a guest that serves one request after the other.
    struct Served {
        answers: u32,
        checkpoints: u32,
        elapsed: Duration,
    }

    impl Served {
        fn rate(&self) -> f64 {
            f64::from(self.answers) / self.elapsed.as_secs_f64()
        }
    }

    /// `clients` that each ask again when they are answered; the guest computes only while it runs.
    fn serve(tuning: Tuning, clients: u32, rounds: u32) -> Served {
        let begin = Instant::now();
        let mut policy = Policy::new(tuning, BOUNDS, begin);
        let (mut now, mut queued, mut open, mut sealed) = (begin, clients, 0, 0);
        let (mut answers, mut checkpoints) = (0, 0);
        let mut progress = Duration::ZERO;
        let mut ack_at: Option<Instant> = None;
        while checkpoints < rounds {
            let due = if ack_at.is_some() {
                None
            } else {
                Some(policy.due())
            };
            let answer_at = (queued > 0).then(|| now + SERVICE.saturating_sub(progress));
            let next = [due.map(|at| at.max(now)), answer_at, ack_at]
                .into_iter()
                .flatten()
                .min()
                .expect("something is to come");
            if queued > 0 {
                progress += next - now;
            }
            now = next;
            if ack_at == Some(now) {
                ack_at = None;
                policy.released();
                (answers, queued, sealed) = (answers + sealed, queued + sealed, 0);
            } else if answer_at == Some(now) {
                (queued, open, progress) = (queued - 1, open + 1, Duration::ZERO);
                policy.output(1, now);
            } else {
                checkpoints += 1;
                (sealed, open) = (open, 0);
                policy.captured(60, now);
                now += PAUSE;
                policy.resumed(now);
                ack_at = Some(now + ACK);
            }
        }
        Served {
            answers,
            checkpoints,
            elapsed: now - begin,
        }
    }

    #[test]
    fn one_client_never_waits_for_others_that_do_not_come() {
        let event = serve(tuning(SyncMode::Event), 1, 400);
        let adaptive = serve(tuning(SyncMode::Adaptive), 1, 400);
        assert_eq!(
            (event.answers, event.elapsed),
            (adaptive.answers, adaptive.elapsed)
        );
    }

    #[test]
    fn many_clients_are_served_with_fewer_checkpoints_and_faster() {
        for clients in [4, 16, 64] {
            let event = serve(tuning(SyncMode::Event), clients, 400);
            let adaptive = serve(tuning(SyncMode::Adaptive), clients, 400);
            let per_answer = |s: &Served| f64::from(s.checkpoints) / f64::from(s.answers);
            assert!(
                per_answer(&adaptive) < per_answer(&event),
                "{clients} clients"
            );
            assert!(
                adaptive.rate() > event.rate() * 1.2,
                "{clients} clients: {} against {}",
                adaptive.rate(),
                event.rate()
            );
        }
    }

    #[test]
    fn clients_that_have_left_are_forgotten() {
        let begin = Instant::now();
        let mut policy = Policy::new(tuning(SyncMode::Adaptive), BOUNDS, begin);
        policy.burst = 64.0;
        let mut now = begin;
        for _ in 0..40 {
            now += ACK;
            policy.output(1, now);
            policy.captured(60, now);
            now += PAUSE;
            policy.resumed(now);
            policy.released();
        }
        policy.output(1, now);
        assert_eq!(policy.due(), now.max(policy.runs_since));
    }

    #[test]
    fn the_clock_alone_asks_in_the_mode_interval() {
        let begin = Instant::now();
        let mut policy = Policy::new(tuning(SyncMode::Interval), BOUNDS, begin);
        policy.output(9, begin);
        assert_eq!(policy.due(), begin + Duration::from_millis(20));
    }

    #[test]
    fn an_epoch_that_grows_fast_is_kept_short() {
        let begin = Instant::now();
        let mut policy = Policy::new(tuning(SyncMode::Event), BOUNDS, begin);
        assert_eq!(policy.due(), begin + BOUNDS.age);
        let mut now = begin;
        for _ in 0..30 {
            now += Duration::from_millis(10);
            policy.captured(4096, now);
            policy.resumed(now);
        }
        let size_bound = policy.due() - now;
        assert!(
            size_bound < Duration::from_millis(12),
            "{size_bound:?} for as many pages as are allowed in 10 ms"
        );
    }

    #[test]
    fn a_pause_for_another_reason_is_no_measure_of_checkpoints() {
        let begin = Instant::now();
        let bounded = Tuning {
            paused_max_percent: 50,
            ..tuning(SyncMode::Event)
        };
        let mut policy = Policy::new(bounded, BOUNDS, begin);
        policy.captured(1, begin);
        policy.resumed(begin + PAUSE);
        policy.captured(1, begin + 2 * PAUSE);
        policy.interrupted();
        let much_later = begin + Duration::from_secs(5);
        policy.resumed(much_later);
        policy.output(1, much_later);
        assert_eq!(policy.due(), much_later + PAUSE);
    }

    #[test]
    fn what_failed_asks_again() {
        let begin = Instant::now();
        let mut policy = Policy::new(tuning(SyncMode::Event), BOUNDS, begin);
        policy.output(1, begin);
        policy.captured(1, begin);
        policy.resumed(begin);
        assert_eq!(policy.due(), begin + BOUNDS.age);
        policy.unsealed(begin);
        assert_eq!(policy.due(), begin);
    }

    fn mode() -> impl Strategy<Value = SyncMode> {
        prop_oneof![
            Just(SyncMode::Event),
            Just(SyncMode::Interval),
            Just(SyncMode::Adaptive)
        ]
    }

    proptest! {
        /// Whatever was learned: no output waits beyond the budget, no epoch beyond its age, and the guest gets its share.
        #[test]
        fn every_mode_keeps_its_bounds(
            mode in mode(),
            paused_max_percent in 10u8..=100,
            steps in prop::collection::vec((0u32..20, 0u64..3000, 0usize..5000, 0u64..3000, any::<bool>()), 1..60),
        ) {
            let begin = Instant::now();
            let mut policy = Policy::new(Tuning { paused_max_percent, ..tuning(mode) }, BOUNDS, begin);
            let mut now = begin;
            for (outputs, after_us, pages, pause_us, acked) in steps {
                now += Duration::from_micros(after_us);
                policy.output(outputs, now);
                let due = policy.due();
                let least = policy.runs_since + policy.least_run();
                prop_assert!(due >= least);
                prop_assert!(due <= (policy.last_capture + BOUNDS.age).max(least));
                if let Some(open) = &policy.open {
                    let latest = match mode {
                        SyncMode::Event => open.first,
                        SyncMode::Adaptive => open.first + policy.tuning().latency_budget(),
                        SyncMode::Interval => policy.last_capture + policy.tuning().interval(),
                    };
                    prop_assert!(due <= latest.max(least));
                }
                now = now.max(due);
                policy.captured(pages, now);
                now += Duration::from_micros(pause_us);
                policy.resumed(now);
                if acked { policy.released() } else { policy.unsealed(now) }
            }
        }

        #[test]
        fn the_paused_share_stays_within_its_bound(most in 10u8..=90, clients in 1u32..20) {
            let tuning = Tuning { paused_max_percent: most, ..tuning(SyncMode::Adaptive) };
            let served = serve(tuning, clients, 200);
            let paused = PAUSE.as_secs_f64() * f64::from(served.checkpoints) / served.elapsed.as_secs_f64();
            // The last pause has no run after it.
            prop_assert!(paused <= f64::from(most) / 100.0 + 0.01, "{paused}");
        }
    }
}
