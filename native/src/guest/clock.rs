//! The guest's time, as the library inside QEMU keeps it (`kemari_guest_clock` has the how).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use crate::sys::clock_page::ClockPage;

/// When a state of a guest was captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedAt {
    /// By this host's clock.
    pub at: Instant,
    /// By how much the guest's clocks were behind the host's then.
    pub lag: Duration,
}

/// What a guest's clocks have been through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct GuestTime {
    /// By how much they are behind the host's.
    pub lag: Duration,
    /// How long the guest has stood still in this QEMU.
    pub stood: Duration,
}

/// The clocks of a QEMU's guest.
#[derive(Debug)]
pub struct GuestClock {
    page: ClockPage,
    lag_before: Duration,
}

impl GuestClock {
    /// For a QEMU that is about to start. A guest that stood still is set forward by at most `catch_up_max`.
    ///
    /// # Errors
    /// If there is no memory for the page.
    pub fn create(catch_up_max: Duration) -> io::Result<Self> {
        let page = ClockPage::create()?;
        page.set_catch_up_max_ns(nanoseconds(catch_up_max));
        Ok(Self {
            page,
            lag_before: Duration::ZERO,
        })
    }

    /// The state that QEMU is about to load was captured then: the guest stands still since.
    pub fn load(&mut self, captured: CapturedAt) {
        let since = monotonic().saturating_sub(captured.at.elapsed());
        self.page.set_still_since_ns(nanoseconds(since));
        self.lag_before = captured.lag;
    }

    /// The guest is about to run. It boots, unless it has run before or was loaded.
    pub fn start(&self) {
        if self.page.still_since_ns().is_none() {
            self.page.set_still_since_ns(nanoseconds(monotonic()));
        }
    }

    /// What there is to tell; `None` if the library inside QEMU has not seen the guest start.
    pub fn time(&self) -> Option<GuestTime> {
        let stopped = self.page.stopped_since_ns();
        if stopped.is_none() && self.page.stood_ns() == 0 {
            return None;
        }
        let current = stopped.map(|ns| monotonic().saturating_sub(Duration::from_nanos(ns)));
        Some(GuestTime {
            lag: self.lag_before + Duration::from_nanos(self.page.lost_ns()),
            stood: Duration::from_nanos(self.page.stood_ns()) + current.unwrap_or_default(),
        })
    }

    /// When the guest, which is stopped, was stopped, by the clock that other hosts have too. `None` if the library inside
    /// QEMU did not see it.
    pub fn stopped_at(&self) -> Option<SystemTime> {
        let ns = self.page.stopped_since_ns()?;
        let ago = monotonic().saturating_sub(Duration::from_nanos(ns));
        SystemTime::now().checked_sub(ago)
    }
}

impl AsFd for GuestClock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.page.as_fd()
    }
}

/// The clock that the library inside QEMU reads, too; `Instant` does not tell its value.
fn monotonic() -> Duration {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).unwrap_or_default()
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clock() -> GuestClock {
        GuestClock::create(Duration::from_secs(1)).expect("a page")
    }

    #[test]
    fn a_guest_that_boots_stands_still_since_its_start_and_a_loaded_one_since_its_capture() {
        let cold = clock();
        assert_eq!(cold.page.still_since_ns(), None);
        cold.start();
        let began = cold.page.still_since_ns().expect("set");
        cold.start();
        assert_eq!(cold.page.still_since_ns(), Some(began), "once");

        let mut loaded = clock();
        let at = Instant::now()
            .checked_sub(Duration::from_secs(3))
            .expect("up for longer");
        let lag = Duration::from_secs(2);
        loaded.load(CapturedAt { at, lag });
        loaded.start();
        let since = Duration::from_nanos(loaded.page.still_since_ns().expect("set"));
        let ago = monotonic().saturating_sub(since);
        assert!(ago >= Duration::from_secs(3) && ago < Duration::from_secs(60));
        loaded.page.note_start(1, 0);
        assert_eq!(loaded.time().expect("seen").lag, lag);
    }

    #[test]
    fn a_stop_that_lasts_counts_as_standing_still() {
        let clock = clock();
        assert_eq!((clock.stopped_at(), clock.time()), (None, None));
        let second_ago = nanoseconds(monotonic()) - 1_000_000_000;
        clock.page.note_stop(second_ago);
        assert!(clock.time().expect("seen").stood >= Duration::from_secs(1));
        let stopped_at = clock.stopped_at().expect("stopped");
        assert!(stopped_at.elapsed().expect("in the past") >= Duration::from_secs(1));
        clock.page.note_start(2_000_000_000, 5_000_000);
        let time = GuestTime {
            lag: Duration::from_millis(5),
            stood: Duration::from_secs(2),
        };
        assert_eq!((clock.time(), clock.stopped_at()), (Some(time), None));
    }
}
