//! Keeps this host's processors from sleeping while checkpoints follow each other closely.
//!
//! A checkpoint is a dozen hand-overs between threads, and each of them wakes a processor; from a sleep that takes longer than
//! what it is woken for. So as long as outputs wait hundreds of times a second the kernel is asked for a short way back,
//! and no longer: sleep saves power.

use std::time::{Duration, Instant};

use crate::sys::wake_latency::{ANY_US, WakeLatency};

/// Time over which checkpoints are counted.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// As many in that time are close enough.
const CLOSE: u64 = 10;
/// So many times fewer, and the processors may sleep again.
const CALM_LOOKS: u32 = 2;

/// The decision, without the device.
#[derive(Debug)]
struct Pace {
    counted: u64,
    counted_at: Instant,
    calm: u32,
    is_alert: bool,
}

impl Pace {
    fn new(now: Instant) -> Self {
        Self {
            // What others have counted before is no burst.
            counted: u64::MAX,
            counted_at: now,
            calm: 0,
            is_alert: false,
        }
    }

    /// So many checkpoints have been made by now, in all; what has changed, if anything.
    fn look(&mut self, checkpoints: u64, now: Instant) -> Option<bool> {
        if now.saturating_duration_since(self.counted_at) < LOOK_EVERY {
            return None;
        }
        // A new generation may begin to count anew.
        let lately = checkpoints.saturating_sub(self.counted);
        (self.counted, self.counted_at) = (checkpoints, now);
        self.calm = if lately < CLOSE { self.calm + 1 } else { 0 };
        let is_alert = self.calm == 0 || self.is_alert && self.calm < CALM_LOOKS;
        (std::mem::replace(&mut self.is_alert, is_alert) != is_alert).then_some(is_alert)
    }
}

/// What a role does about it.
#[derive(Debug)]
pub struct Alertness {
    request: Option<WakeLatency>,
    most_us: i32,
    pace: Pace,
}

impl Alertness {
    /// Asks for `most_us` microseconds at most when that is due; [`ANY_US`] never asks.
    pub fn new(most_us: i32, now: Instant) -> Self {
        let request = (most_us < ANY_US).then(WakeLatency::open);
        Self {
            request: request.and_then(|opened| {
                opened
                    .inspect_err(|error| {
                        tracing::info!(%error, "this host's processors may sleep between checkpoints");
                    })
                    .ok()
            }),
            most_us,
            pace: Pace::new(now),
        }
    }

    /// So many checkpoints have been made or received by now. To be asked in every turn.
    pub fn look(&mut self, checkpoints: u64, now: Instant) {
        if let (Some(is_alert), Some(request)) = (self.pace.look(checkpoints, now), &self.request) {
            tracing::debug!(is_alert, "wake-up latency");
            if let Err(error) = request.ask(if is_alert { self.most_us } else { ANY_US }) {
                tracing::warn!(%error, "the kernel takes no wake-up latency");
                self.request = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_kept_awake_while_checkpoints_are_close_and_for_a_second_more() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        let mut count = 0;
        let mut changes = Vec::new();
        for look in 1..=60u32 {
            count += if (11..=20).contains(&look) { 30 } else { 1 };
            let early = begin + LOOK_EVERY * (look - 1) + LOOK_EVERY / 2;
            assert_eq!(pace.look(count, early), None, "too early");
            if let Some(is_alert) = pace.look(count, begin + LOOK_EVERY * look) {
                changes.push((look, is_alert));
            }
        }
        assert_eq!(changes, [(11, true), (20 + CALM_LOOKS, false)]);
    }

    #[test]
    fn neither_an_old_count_nor_one_that_begins_anew_is_a_burst() {
        let begin = Instant::now();
        let mut pace = Pace::new(begin);
        assert_eq!(pace.look(5000, begin + LOOK_EVERY), None);
        assert_eq!(pace.look(3, begin + 2 * LOOK_EVERY), None);
    }
}
