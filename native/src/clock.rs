//! What time it is: by the host's clock, or by a simulated one.

use std::time::{Instant, SystemTime};

/// A source of time. Nothing on the data path asks the host itself, so that a simulator can run it at its own pace.
pub trait Clock: Clone {
    /// For spans; never goes back.
    fn now(&self) -> Instant;

    /// For comparison with QEMU's events, which tell the host's time of day.
    fn wall(&self) -> SystemTime;
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostClock;

impl Clock for HostClock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn wall(&self) -> SystemTime {
        SystemTime::now()
    }
}
