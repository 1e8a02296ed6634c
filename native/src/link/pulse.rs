//! Whether the peer lives: each side says something at least every [`SIGN_OF_LIFE_EVERY`], if only a heartbeat, and gives
//! the link up when it has heard nothing at all for [`PEER_SILENCE`]. Every byte is a sign of life, so nothing is sent
//! while there is traffic. Pure: the time comes from outside.

use std::time::{Duration, Instant};

use crate::limits::{PEER_SILENCE, SIGN_OF_LIFE_EVERY};

/// What both sides of a link have said lately.
#[derive(Debug)]
pub(super) struct Pulse {
    heard: Spoken,
    said: Spoken,
    looked_at: Instant,
}

/// A count that grows, and when it was last seen to have grown.
#[derive(Debug, Clone, Copy)]
struct Spoken {
    count: u64,
    at: Instant,
}

impl Spoken {
    fn note(&mut self, count: u64, now: Instant) {
        if count != self.count {
            *self = Self { count, at: now };
        }
    }

    fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.at)
    }
}

/// What follows from a look at the pulse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Quiet,
    /// A heartbeat is due.
    Due,
    /// The peer has been silent for too long.
    Silent(Duration),
}

impl Pulse {
    /// Of a link that has just begun; `said` counts what went before.
    pub(super) fn new(said: u64, now: Instant) -> Self {
        Self {
            heard: Spoken { count: 0, at: now },
            said: Spoken {
                count: said,
                at: now,
            },
            looked_at: now,
        }
    }

    /// Looks, after everything that has arrived was read. `heard` and `said` count whatever came and went so far.
    pub(super) fn look(&mut self, heard: u64, said: u64, now: Instant) -> Verdict {
        // For as long as nobody looked here nobody was deaf but us: the peer gets that time again.
        let absent = now.saturating_duration_since(self.looked_at);
        if absent > 2 * SIGN_OF_LIFE_EVERY {
            self.heard.at += absent;
        }
        self.looked_at = now;
        self.heard.note(heard, now);
        let silent = self.heard.age(now);
        if silent >= PEER_SILENCE {
            Verdict::Silent(silent)
        } else if self.is_due(said, now) {
            Verdict::Due
        } else {
            Verdict::Quiet
        }
    }

    /// Whether we should say something, having said so much so far.
    pub(super) fn is_due(&mut self, said: u64, now: Instant) -> bool {
        self.said.note(said, now);
        self.said.age(now) >= SIGN_OF_LIFE_EVERY
    }

    /// When it should be looked at again, if nothing happens before.
    pub(super) fn next_look(&self) -> Instant {
        (self.said.at + SIGN_OF_LIFE_EVERY).max(self.looked_at + SIGN_OF_LIFE_EVERY / 4)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(50);

    /// Looks every step, for a while; `heard` and `said` tell the counts after so many steps.
    fn run(
        steps: u32,
        mut heard: impl FnMut(u32) -> u64,
        mut said: impl FnMut(u32) -> u64,
    ) -> Vec<Verdict> {
        let start = Instant::now();
        let mut pulse = Pulse::new(0, start);
        (1..=steps)
            .map(|step| pulse.look(heard(step), said(step), start + STEP * step))
            .collect()
    }

    #[test]
    fn nothing_is_sent_while_there_is_traffic() {
        let verdicts = run(1000, u64::from, u64::from);
        assert!(verdicts.iter().all(|verdict| *verdict == Verdict::Quiet));
    }

    #[test]
    fn a_heartbeat_is_due_when_nothing_was_said_and_again_and_again() {
        let start = Instant::now();
        let (mut pulse, mut sent) = (Pulse::new(0, start), 0);
        for step in 1..=100 {
            let now = start + STEP * step;
            if pulse.look(u64::from(step), sent, now) == Verdict::Due {
                sent += 1;
            }
            assert!(pulse.next_look() > now);
            assert!(pulse.next_look() <= now + SIGN_OF_LIFE_EVERY);
        }
        // 100 steps of 50 ms; a heartbeat, and its look, every 300 ms.
        let expected = 5000 / 300;
        assert!(
            (expected - 1..=expected + 4).contains(&sent),
            "{sent} in five seconds"
        );
    }

    #[test]
    fn a_silent_peer_is_told_after_its_time_and_not_before() {
        let verdicts = run(200, |step| u64::from(step.min(20)), u64::from);
        let silent = verdicts
            .iter()
            .position(|verdict| matches!(verdict, Verdict::Silent(_)))
            .expect("silent");
        let since = STEP * u32::try_from(silent + 1 - 20).expect("small");
        assert!(
            (PEER_SILENCE..PEER_SILENCE + 2 * STEP).contains(&since),
            "{since:?}"
        );
    }

    #[test]
    fn who_was_away_does_not_take_the_peer_for_silent() {
        let start = Instant::now();
        let mut pulse = Pulse::new(0, start);
        assert_eq!(pulse.look(1, 1, start + STEP), Verdict::Quiet);
        let back = start + 10 * PEER_SILENCE;
        assert_eq!(pulse.look(1, 1, back), Verdict::Due);
        assert_eq!(pulse.look(1, 2, back + STEP), Verdict::Quiet);
        // But one that stays silent is found out.
        let verdicts: Vec<_> = (2..200)
            .map(|step| pulse.look(1, u64::from(step), back + STEP * step))
            .collect();
        assert!(matches!(verdicts.last(), Some(Verdict::Silent(_))));
    }
}
