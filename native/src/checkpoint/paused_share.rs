//! Which share of the last seconds the guest stood still.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::limits::{PAUSED_SHARE_SAMPLES, PAUSED_SHARE_WINDOW};

/// Made of samples of how long it has stood still altogether.
#[derive(Debug, Default)]
pub struct PausedShare {
    samples: VecDeque<(Instant, Duration)>,
}

impl PausedShare {
    /// By `now` it has stood still for `stood` altogether.
    pub fn note(&mut self, now: Instant, stood: Duration) {
        while self.samples.len() > 1
            && (self.samples.len() == PAUSED_SHARE_SAMPLES
                || now.saturating_duration_since(self.samples[1].0) >= PAUSED_SHARE_WINDOW)
        {
            self.samples.pop_front();
        }
        self.samples.push_back((now, stood));
    }

    /// The share, percent; `None` before there are two samples.
    pub fn percent(&self) -> Option<u8> {
        let (since, stood_before) = self.samples.front()?;
        let (now, stood) = self.samples.back()?;
        let window = now.saturating_duration_since(*since);
        let stood = stood.saturating_sub(*stood_before);
        let percent = (stood.as_nanos() * 100).checked_div(window.as_nanos())?;
        Some(u8::try_from(percent).unwrap_or(100).min(100))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: Duration = Duration::from_millis(100);

    #[test]
    fn it_is_that_of_the_window_and_forgets_what_was_before() {
        let (mut now, mut stood) = (Instant::now(), Duration::ZERO);
        let mut share = PausedShare::default();
        share.note(now, stood);
        assert_eq!(share.percent(), None);
        for _ in 0..200 {
            (now, stood) = (now + TENTH, stood + TENTH * 45 / 100);
            share.note(now, stood);
            assert_eq!(share.percent(), Some(45));
        }
        for _ in 0..200 {
            now += TENTH;
            share.note(now, stood);
        }
        assert_eq!(share.percent(), Some(0));
        assert!(share.samples.len() <= PAUSED_SHARE_SAMPLES);
    }

    #[test]
    fn samples_that_come_fast_are_bounded_and_a_total_that_shrinks_is_no_pause() {
        let now = Instant::now();
        let mut share = PausedShare::default();
        for number in 0..10_000 {
            share.note(
                now + Duration::from_micros(number),
                Duration::from_micros(20_000 - 2 * number),
            );
        }
        assert!(share.samples.len() <= PAUSED_SHARE_SAMPLES);
        assert_eq!(share.percent(), Some(0));
    }
}
