//! Whether a baseline comes to its end, and what it takes: pure, so that guests of every kind can be tried.
//!
//! A guest that writes faster than the link carries never gets a replica by rounds alone, and sending the rest with the guest
//! paused could take minutes. So it is braked: paused for a growing share of the time, never for longer than a first checkpoint
//! may take, until each round leaves at most half of the one before. One that stays ahead even so is paused for the rest if that
//! takes some seconds only; else it is told, and the guest left alone.

use std::time::{Duration, Instant};

/// Longest pause that a guest is put through for its first checkpoint, estimated from the rate of the link.
pub(super) const FIRST_PAUSE_MAX: Duration = Duration::from_secs(1);
/// The same for a guest with the hardest brake: it stands still for nearly all of the time anyway, and one that writes by the
/// clock makes up in short bursts for what it could not write.
const LAST_PAUSE_MAX: Duration = Duration::from_secs(5);
/// Rounds in which what is left has not been halved, after which it is sent while the guest is paused, if that is short enough.
const FRUITLESS_ROUNDS_MAX: u32 = 3;
/// Most of a round's pages that may have been written again when it is over.
const SHRINK: f64 = 0.5;
/// The brake at first, and how much harder it is applied at least (percent of the time).
const BRAKE_STEP_PERCENT: u8 = 20;
/// The brake at its hardest.
pub(super) const BRAKE_MAX_PERCENT: u8 = 99;
/// Rounds with the hardest brake after which there is no hope.
const HARDEST_ROUNDS_MAX: u32 = 4;
/// Shortest time that a braked guest runs, and shortest that it stands still: what is shorter costs more than it brings.
const PHASE_MIN: Duration = Duration::from_millis(10);

/// A round over the pages that the secondary lacked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    /// Pages sent.
    pub(super) sent: usize,
    /// Pages that the link carries in a second, by this round.
    pub(super) pages_per_second: f64,
    /// How long it took (seconds).
    pub(super) seconds: f64,
    /// Pages that the secondary lacks now.
    pub(super) left: usize,
}

/// What follows from a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Another one.
    Another,
    /// The rest goes with the guest paused.
    Enough,
    /// The guest cannot have a replica.
    Hopeless,
}

/// What the rounds so far have shown.
#[derive(Debug)]
pub(super) struct Convergence {
    rest_pages: usize,
    /// Pages left of which half would be progress.
    halve_from: f64,
    fruitless_rounds: u32,
    hardest_rounds: u32,
    brake_percent: u8,
}

impl Convergence {
    /// For a baseline of which `rest_pages` may be left at the end in any case.
    pub(super) fn new(rest_pages: usize) -> Self {
        Self {
            rest_pages,
            halve_from: f64::INFINITY,
            fruitless_rounds: 0,
            hardest_rounds: 0,
            brake_percent: 0,
        }
    }

    /// Share of the time for which the guest is to stand still, percent.
    pub(super) fn brake_percent(&self) -> u8 {
        self.brake_percent
    }

    /// The rounds were interrupted: what is left says nothing about those before.
    pub(super) fn interrupted(&mut self) {
        (self.halve_from, self.fruitless_rounds) = (f64::INFINITY, 0);
    }

    /// Judges a round that is over. A guest for which somebody who wants it elsewhere is waiting (`hurried`) is paused for as long
    /// as it takes.
    pub(super) fn judge(&mut self, round: Round, hurried: bool) -> Verdict {
        if round.sent == 0 && round.left > self.rest_pages {
            // Nothing was owed: what was written since belongs to the time before.
            return Verdict::Another;
        }
        let (left, sent) = (as_f64(round.left), as_f64(round.sent));
        if left <= self.halve_from * SHRINK {
            self.halve_from = left;
            self.fruitless_rounds = 0;
        } else {
            self.fruitless_rounds += 1;
        }
        let fruitless = self.fruitless_rounds >= FRUITLESS_ROUNDS_MAX;
        let pause_s = left / round.pages_per_second.max(1.0);
        let is_short = pause_s <= FIRST_PAUSE_MAX.as_secs_f64();
        if round.left <= self.rest_pages || (fruitless && (is_short || hurried)) {
            return Verdict::Enough;
        }
        if is_short && self.brake_percent > 0 {
            // A pause that is allowed is less for the guest than to be braked on.
            return Verdict::Enough;
        }
        if is_short || left <= sent * SHRINK {
            return Verdict::Another;
        }
        if self.brake_percent == BRAKE_MAX_PERCENT {
            if pause_s <= LAST_PAUSE_MAX.as_secs_f64() {
                return Verdict::Enough;
            }
            self.hardest_rounds += 1;
            if self.hardest_rounds >= HARDEST_ROUNDS_MAX {
                return Verdict::Hopeless;
            }
        }
        self.brake_percent = self.harder(round);
        Verdict::Another
    }

    /// The brake at which, by what was written in this round, the next ones shrink.
    fn harder(&self, round: Round) -> u8 {
        let runs = f64::from(100 - self.brake_percent) / 100.0;
        // Pages written twice count once, so this is the least that it writes.
        let written_per_second = as_f64(round.left) / round.seconds.max(1e-3) / runs;
        let may_run = SHRINK * round.pages_per_second / written_per_second.max(1.0);
        let needed = 100.0 - (may_run.clamp(0.0, 1.0) * 100.0).floor();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 100"
        )]
        let needed = needed as u8;
        needed
            .max(self.brake_percent.saturating_add(BRAKE_STEP_PERCENT))
            .min(BRAKE_MAX_PERCENT)
    }
}

/// When a braked guest runs and when it stands still.
#[derive(Debug, Clone, Copy)]
pub(super) struct Brake {
    stands: bool,
    until: Instant,
}

impl Brake {
    /// Not applied at `now`.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            stands: false,
            until: now,
        }
    }

    /// When the guest is to be stopped or let go next.
    pub(super) fn due(&self) -> Instant {
        self.until
    }

    /// Whether the guest is to stand still at `now`, with the brake applied for `percent` of the time.
    pub(super) fn stands(&mut self, percent: u8, now: Instant) -> bool {
        if percent == 0 {
            *self = Self::new(now);
        } else if now >= self.until {
            self.stands = !self.stands;
            let (still, run) = phases(percent);
            self.until = now + if self.stands { still } else { run };
        }
        self.stands
    }
}

/// How long the guest stands still and how long it runs in turn.
fn phases(percent: u8) -> (Duration, Duration) {
    let still = u32::from(percent.clamp(1, BRAKE_MAX_PERCENT));
    let run = 100 - still;
    let shorter = still.min(run);
    (PHASE_MIN * still / shorter, PHASE_MIN * run / shorter)
}

#[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
fn as_f64(pages: usize) -> f64 {
    pages as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const REST: usize = 1024;

    fn round(sent: usize, left: usize, pages_per_second: f64) -> Round {
        Round {
            sent,
            pages_per_second,
            seconds: as_f64(sent) / pages_per_second,
            left,
        }
    }

    #[test]
    fn rounds_go_on_while_they_help_and_end_when_they_do_not() {
        let mut convergence = Convergence::new(REST);
        for (sent, left, verdict) in [
            (260_000, 60_000, Verdict::Another),
            (60_000, 20_000, Verdict::Another),
            (20_000, REST, Verdict::Enough),
        ] {
            assert_eq!(
                convergence.judge(round(sent, left, 50_000.0), false),
                verdict
            );
            assert_eq!(convergence.brake_percent(), 0);
        }
        // Half a second of pause, again and again: no reason to brake, and none to go on.
        let mut stuck = Convergence::new(REST);
        let verdicts = [0; 4].map(|_| stuck.judge(round(25_000, 25_000, 50_000.0), false));
        let another = Verdict::Another;
        assert_eq!(verdicts, [another, another, another, Verdict::Enough]);
        assert_eq!(stuck.brake_percent(), 0);
    }

    #[test]
    fn a_guest_is_braked_rather_than_paused_for_long_unless_it_has_to_move() {
        let mut slow = Convergence::new(REST);
        let mut brakes = Vec::new();
        while slow.judge(round(50_000, 50_000, 1000.0), false) == Verdict::Another {
            brakes.push(slow.brake_percent());
        }
        assert!(brakes[0] >= 50 && brakes.is_sorted(), "{brakes:?}");
        assert_eq!(brakes.last(), Some(&BRAKE_MAX_PERCENT));
        assert_eq!(
            slow.judge(round(50_000, 50_000, 1000.0), false),
            Verdict::Hopeless
        );
        let mut moves = Convergence::new(REST);
        let verdicts = [0; 4].map(|_| moves.judge(round(50_000, 50_000, 1000.0), true));
        assert_eq!(verdicts[3], Verdict::Enough);
    }

    #[test]
    fn a_round_in_which_nothing_was_owed_says_nothing() {
        let mut convergence = Convergence::new(REST);
        for _ in 0..10 {
            let verdict = convergence.judge(round(0, 50_000, 1e-3), false);
            assert_eq!(
                (verdict, convergence.brake_percent()),
                (Verdict::Another, 0)
            );
        }
        assert_eq!(
            convergence.judge(round(0, REST, 1e-3), false),
            Verdict::Enough
        );
    }

    #[test]
    fn a_braked_guest_stands_for_its_share_and_never_for_long() {
        for percent in 1..=BRAKE_MAX_PERCENT {
            let (still, run) = phases(percent);
            let share = still.as_secs_f64() / (still + run).as_secs_f64();
            assert!(
                (share * 100.0 - f64::from(percent)).abs() < 0.01,
                "{percent}"
            );
            assert!(
                still.min(run) == PHASE_MIN && still < FIRST_PAUSE_MAX,
                "{percent}"
            );
        }
        let began = Instant::now();
        let mut brake = Brake::new(began);
        let step = Duration::from_millis(1);
        let stands = (0..1000)
            .filter(|&tick| brake.stands(80, began + step * tick))
            .count();
        assert!((790..=810).contains(&stands), "{stands} of 1000");
        assert!(!brake.stands(0, began + step * 1000));
    }

    /// A guest of `ram` pages that writes `writes` pages a second of a set of `hot`, on a link that carries `carries`; returns
    /// the verdict, the length of the last pause, the brake then, and how often it was asked.
    fn simulate(ram: usize, hot: usize, writes: f64, carries: f64) -> (Verdict, f64, u8, usize) {
        let mut convergence = Convergence::new(REST);
        let mut sent = ram;
        for rounds in 1..200 {
            let seconds = as_f64(sent) / carries;
            let runs = f64::from(100 - convergence.brake_percent()) / 100.0;
            // At random places of the set: some are written twice.
            let written = writes * runs * seconds / as_f64(hot);
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "at most the hot set"
            )]
            let left = (as_f64(hot) * (1.0 - (-written).exp())) as usize;
            let brake = convergence.brake_percent();
            let verdict = convergence.judge(round(sent, left, carries), false);
            assert!(convergence.brake_percent() >= brake, "the brake is let go");
            if verdict != Verdict::Another {
                return (verdict, as_f64(left) / carries, brake, rounds);
            }
            sent = left;
        }
        panic!("it never ends");
    }

    proptest! {
        #[test]
        fn every_baseline_ends_and_no_guest_is_paused_for_long(
            ram in 4096usize..4_000_000,
            hot_share in 0.001f64..1.0,
            writes in 0.0f64..3_000_000.0,
            carries in 100.0f64..1_000_000.0,
        ) {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most RAM")]
            let hot = (as_f64(ram) * hot_share).ceil() as usize;
            let (verdict, pause_s, brake, rounds) = simulate(ram, hot, writes, carries);
            prop_assert!(rounds <= 60, "{} rounds", rounds);
            if verdict == Verdict::Enough {
                let most = if brake == BRAKE_MAX_PERCENT { LAST_PAUSE_MAX } else { FIRST_PAUSE_MAX };
                let bound = most.as_secs_f64().max(as_f64(REST) / carries);
                prop_assert!(pause_s <= bound, "a pause of {} s", pause_s);
            }
            // With the brake at its hardest it writes less than half of what the link carries.
            if writes / 100.0 < 0.45 * carries || as_f64(hot) <= 5.0 * carries {
                prop_assert_eq!(verdict, Verdict::Enough);
            }
        }
    }
}
