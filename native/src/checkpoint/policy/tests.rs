//! Every mode with a clock of the test's own.

use super::*;
use crate::checkpoint::{Commit, Compression};
use proptest::prelude::*;

const PAUSE: Duration = Duration::from_micros(800);
const SCAN: Duration = Duration::from_micros(30);
const ACK: Duration = Duration::from_micros(300);
const SERVICE: Duration = Duration::from_micros(120);
const STEP: Duration = Duration::from_micros(100);
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
        freeze_timeout_ms: 0,
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
            policy.captured(60, SCAN, now);
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
        policy.captured(60, SCAN, now);
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
        policy.captured(4096, SCAN, now);
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
    policy.captured(1, SCAN, begin);
    policy.resumed(begin + PAUSE);
    policy.captured(1, SCAN, begin + 2 * PAUSE);
    policy.interrupted(begin + 3 * PAUSE);
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
    policy.captured(1, SCAN, begin);
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

#[test]
fn an_epoch_that_is_stretched_may_have_more_pages() {
    let begin = Instant::now();
    let mut policy = Policy::new(tuning(SyncMode::Event), BOUNDS, begin);
    let pages = usize::try_from(BOUNDS.pages).expect("few");
    policy.stretch(4);
    for (ms, times) in [(10, 1), (40, 3)] {
        policy.looked(times * pages, begin + Duration::from_millis(ms));
        assert!(!policy.is_large());
    }
    policy.stretch(1);
    assert!(policy.is_large());
    policy.stretch(4);
    policy.looked(4 * pages, begin + Duration::from_millis(70));
    assert!(policy.is_large());
    // Its age is another matter.
    assert!(policy.is_full(begin + BOUNDS.age));
}

#[test]
fn an_epoch_that_has_reached_its_age_is_full_and_only_the_time_that_the_guest_ran_counts() {
    let begin = Instant::now();
    let mut policy = Policy::new(tuning(SyncMode::Interval), BOUNDS, begin);
    let half = BOUNDS.age / 2;
    policy.interrupted(begin + half);
    let later = begin + Duration::from_secs(5);
    assert_eq!((policy.full_at(), policy.look_due()), (None, None));
    assert!(!policy.is_full(later));
    policy.resumed(later);
    assert_eq!(policy.full_at(), Some(later + half));
    assert!(!policy.is_full(later + half / 2));
    assert!(policy.is_full(later + half));
    assert_eq!(policy.captured(1, SCAN, later + half), BOUNDS.age);
    assert!(!policy.is_full(later + BOUNDS.age));
}

#[test]
fn an_epoch_that_was_found_full_is_due_whatever_the_paused_share() {
    let begin = Instant::now();
    let bounded = Tuning {
        paused_max_percent: 10,
        ..tuning(SyncMode::Interval)
    };
    let mut policy = Policy::new(bounded, BOUNDS, begin);
    policy.captured(1, SCAN, begin);
    let pause = Duration::from_millis(500);
    policy.resumed(begin + pause);
    let now = begin + pause + Duration::from_millis(2);
    assert_eq!(policy.due(), begin + pause + BOUNDS.age);
    policy.looked(5000, now);
    assert!(policy.is_full(now) && policy.due() <= now);
}

#[test]
fn nobody_looks_at_short_epochs() {
    let begin = Instant::now();
    let mut policy = Policy::new(tuning(SyncMode::Event), BOUNDS, begin);
    let mut now = begin;
    for _ in 0..40 {
        // Hot pages of a short epoch say little about what would follow.
        now += SERVICE;
        policy.captured(150, SCAN, now);
        now += PAUSE;
        policy.resumed(now);
        let look = policy.look_due().expect("it runs");
        assert!(look >= now + Duration::from_millis(5), "{:?}", look - now);
    }
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
            let bound = policy.full_at().expect("it runs");
            let least = (policy.runs_since + policy.least_run()).min(bound);
            prop_assert!(due >= least);
            prop_assert!(due <= bound);
            prop_assert!(bound <= policy.runs_since + BOUNDS.age);
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
            policy.captured(pages, SCAN, now);
            now += Duration::from_micros(pause_us);
            policy.resumed(now);
            if acked { policy.released() } else { policy.unsealed(now) }
        }
    }

    /// A guest that writes as it likes over a link that takes its time: the epoch's bounds hold, and nothing stops it for good.
    #[test]
    fn no_epoch_outgrows_its_bounds_while_the_one_before_is_on_its_way(
        mode in mode(),
        paused_max_percent in 10u8..=100,
        // Of each tenth of a millisecond, repeated: pages that the guest writes, outputs.
        steps in prop::collection::vec((prop_oneof![Just(0u64), 0u64..8, 0u64..200], 0u32..2, 1u32..80), 1..40),
        flights_ms in prop::collection::vec(0u64..400, 1..20),
        pauses_us in prop::collection::vec(50u64..200_000, 1..20),
    ) {
        let begin = Instant::now();
        let mut policy = Policy::new(Tuning { paused_max_percent, ..tuning(mode) }, BOUNDS, begin);
        let mut now = begin;
        let (mut pages, mut unseen, mut late, mut ran) = (0, 0, 0, Duration::ZERO);
        let mut acked_at: Option<Instant> = None;
        let mut stands = false;
        let (mut flights, mut pauses) = (flights_ms.iter().cycle(), pauses_us.iter().cycle());
        let steps = steps.into_iter().flat_map(|(written, outputs, times)| {
            std::iter::repeat_n((written, outputs), times as usize)
        });
        let mut stood = Duration::ZERO;
        for (written, outputs) in steps {
            now += STEP;
            if stands {
                stood += STEP;
            } else {
                (pages, unseen, ran) = (pages + written, unseen + written, ran + STEP);
                policy.output(outputs, now);
            }
            if acked_at.is_some_and(|at| now >= at) {
                acked_at = None;
                policy.released();
            }
            if policy.look_due().is_some_and(|at| now >= at) {
                policy.looked(usize::try_from(pages).expect("few"), now);
                (unseen, late) = (0, unseen);
            }
            let is_ready = acked_at.is_none();
            if is_ready && (stands || now >= policy.due()) {
                prop_assert_eq!(policy.captured(usize::try_from(pages).expect("few"), SCAN, now), ran);
                now += Duration::from_micros(*pauses.next().expect("endless"));
                policy.resumed(now);
                acked_at = Some(now + Duration::from_millis(*flights.next().expect("endless")));
                (pages, unseen, late) = (0, 0, 0);
                (ran, stands, stood) = (Duration::ZERO, false, Duration::ZERO);
            } else if !stands && policy.is_full(now) {
                prop_assert!(!is_ready, "full, ready and not due");
                policy.interrupted(now);
                stands = true;
            }
            prop_assert!(ran <= BOUNDS.age + STEP, "{:?}", ran);
            prop_assert!(pages <= BOUNDS.pages + late.max(unseen), "{} pages, {} seen late", pages, late);
            prop_assert!(unseen <= 200 * 101, "{} pages not seen", unseen);
            prop_assert!(stood <= Duration::from_millis(401), "it stands still for ever");
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
