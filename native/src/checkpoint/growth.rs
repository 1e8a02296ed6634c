//! How large the running epoch is: what was found when somebody looked, and what follows from it. Times are those for which the
//! guest has run in the epoch.

use std::time::Duration;

use super::policy::believe;
use crate::limits::{LOOK_MAX, LOOK_MIN};

/// How fast a change of the rate is believed.
const BELIEVE: f64 = 0.25;
/// A look takes at most one part in so many of the guest's time.
const LOOKS_SHARE: u32 = 20;
/// And of that of a guest which may reach the bound before: a slow look must not let it write several times as much.
const LOOKS_SHARE_AT_BOUND: u32 = 4;
/// Longest time that is told apart from longer ones.
const FOREVER: Duration = Duration::from_secs(3600);

/// What is known of it.
#[derive(Debug)]
pub(super) struct Growth {
    /// Pages that it may have.
    bound: u64,
    /// Pages that it had at the last look.
    found: u64,
    /// When that was.
    found_after: Duration,
    /// Pages that the running guest writes in a second.
    pages_per_s: f64,
    /// What a look costs.
    look: Duration,
}

impl Growth {
    /// Of a guest of which nothing is known; an epoch may have `bound` pages.
    pub(super) fn new(bound: u64) -> Self {
        Self {
            bound,
            found: 0,
            found_after: Duration::ZERO,
            pages_per_s: 0.0,
            look: Duration::ZERO,
        }
    }

    /// From now on an epoch may have `bound` pages.
    pub(super) fn rebound(&mut self, bound: u64) {
        self.bound = bound;
    }

    /// An epoch has ended with `pages` after `ran`, and another one begins. It took `scan` to find them.
    pub(super) fn captured(&mut self, pages: usize, ran: Duration, scan: Duration) {
        let seen = rate(pages as u64, ran);
        believe(&mut self.pages_per_s, seen, BELIEVE);
        (self.found, self.found_after, self.look) = (0, Duration::ZERO, scan);
    }

    /// It has `pages` after `ran`.
    pub(super) fn looked(&mut self, pages: usize, ran: Duration) {
        let pages = pages as u64;
        let seen = rate(
            pages.saturating_sub(self.found),
            ran.saturating_sub(self.found_after),
        );
        // One that begins to write must not be believed late.
        let weight = if seen > self.pages_per_s {
            1.0
        } else {
            BELIEVE
        };
        believe(&mut self.pages_per_s, seen, weight);
        (self.found, self.found_after) = (pages, ran);
    }

    /// When it has as many pages as it may have, by the rate so far.
    pub(super) fn full_after(&self) -> Duration {
        self.found_after + self.until_full()
    }

    /// When to look: half-way to the bound, and so often that a guest which begins to write is found out; but not so often that
    /// looking costs more than it is worth.
    pub(super) fn next_look(&self) -> Duration {
        let full = self.until_full();
        let cheap = self.look * LOOKS_SHARE;
        let least = cheap.min(full.max(self.look * LOOKS_SHARE_AT_BOUND));
        self.found_after + (full / 2).min(LOOK_MAX).max(least.max(LOOK_MIN))
    }

    /// Whether it has, or will have before the next look can be, as many pages as it may have. An estimate alone is not enough.
    pub(super) fn is_full(&self) -> bool {
        let soon = as_f64(self.found) + self.pages_per_s * LOOK_MIN.as_secs_f64();
        self.found >= self.bound / 2 && soon >= as_f64(self.bound)
    }

    fn until_full(&self) -> Duration {
        let left = as_f64(self.bound.saturating_sub(self.found));
        Duration::try_from_secs_f64(left / self.pages_per_s.max(1.0))
            .unwrap_or(FOREVER)
            .min(FOREVER)
    }
}

/// Pages in a second. The first pages of an epoch are those that are written all the time: they say little about the rest.
fn rate(pages: u64, ran: Duration) -> f64 {
    as_f64(pages) / ran.max(LOOK_MIN).as_secs_f64()
}

#[expect(clippy::cast_precision_loss, reason = "page counts are far below 2^52")]
fn as_f64(pages: u64) -> f64 {
    pages as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BOUND: u64 = 4096;
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_estimate_asks_for_a_look_and_only_what_was_found_is_a_bound() {
        let mut growth = Growth::new(BOUND);
        assert_eq!(growth.next_look(), LOOK_MAX);
        growth.captured(4000, MS, Duration::ZERO);
        growth.captured(4000, MS, Duration::ZERO);
        assert!(growth.full_after() < 3 * MS, "{growth:?}");
        assert!(!growth.is_full());
        assert!(growth.next_look() < 2 * MS);
        growth.looked(10, 10 * MS);
        assert!(!growth.is_full());
        growth.looked(4096, 20 * MS);
        assert!(growth.is_full());
        growth.captured(4096, 20 * MS, Duration::ZERO);
        assert!(!growth.is_full());
    }

    #[test]
    fn looks_that_cost_much_are_rare() {
        let mut growth = Growth::new(BOUND);
        growth.captured(400, 100 * MS, 40 * MS);
        growth.captured(400, 100 * MS, 40 * MS);
        assert_eq!(growth.next_look(), 800 * MS);
    }

    #[test]
    fn looks_that_cost_much_are_less_rare_where_the_bound_comes_first() {
        let mut growth = Growth::new(BOUND);
        growth.captured(4000, MS, 40 * MS);
        assert_eq!(growth.next_look(), 160 * MS);
        // It is reached in 100 ms or so.
        for _ in 0..40 {
            growth.captured(4096, 100 * MS, 2 * MS);
        }
        assert!(growth.next_look() > 39 * MS && growth.next_look() < 60 * MS);
    }

    proptest! {
        /// However it changes its ways: what it writes between two looks is all that an epoch can have too many.
        #[test]
        fn an_epoch_is_found_full_in_time(
            // Pages written in each millisecond.
            writes in prop::collection::vec(prop_oneof![Just(0u64), 0u64..20, 0u64..1000], 1..400),
        ) {
            let mut growth = Growth::new(BOUND);
            let (mut pages, mut ran) = (0, Duration::ZERO);
            let mut unseen = 0;
            for written in writes {
                pages += written;
                unseen += written;
                ran += MS;
                if ran >= growth.next_look() {
                    growth.looked(usize::try_from(pages).expect("few"), ran);
                    unseen = 0;
                    if growth.is_full() {
                        growth.captured(usize::try_from(pages).expect("few"), ran, Duration::ZERO);
                        (pages, ran) = (0, Duration::ZERO);
                    }
                }
                prop_assert!(pages <= BOUND + unseen, "{pages} pages, {unseen} unseen");
                prop_assert!(unseen <= 10 * 1000);
            }
        }
    }
}
