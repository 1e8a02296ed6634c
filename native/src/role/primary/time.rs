//! What is shown of the guest's time, and what of it travels.

use std::time::{Duration, SystemTime};

use super::{Engine, Ports, Primary};
use crate::guest::Vm;
use crate::guest::clock::GuestTime;
use crate::wire::Opening;

impl<P: Ports> Primary<P> {
    /// Shows how the guest's clocks are doing.
    pub(super) fn show_time(&mut self, engine: &Engine<P>) {
        let time = self.guest.time();
        if let Some(time) = time {
            self.paused_share.note(engine.now(), time.stood);
        } else if self.epoch > 0 {
            engine.complain(
                "the guest's clocks stand still while it is paused: this QEMU reads the host's in a way that is not known"
                    .to_owned(),
            );
        }
        let percent = self.paused_share.percent();
        let lag_ms = |time: GuestTime| u64::try_from(time.lag.as_millis()).unwrap_or(u64::MAX);
        engine.board.update(|status| {
            (status.paused_percent, status.guest_lag_ms) = (percent, time.map(lag_ms));
        });
    }

    /// What the transaction of the guest begins with, which is stopped and was told so at `told_at`.
    pub(super) fn opening(&self, told_at: SystemTime) -> Opening {
        let captured_at = self.guest.stopped_at().unwrap_or(told_at);
        let since_1970 = captured_at.duration_since(SystemTime::UNIX_EPOCH);
        let lag = self.guest.time().unwrap_or_default().lag;
        Opening {
            // Outputs are released the moment their ack is read, so all acked epochs have been let go.
            released_epoch: self.epoch,
            captured_ns: nanoseconds(since_1970.unwrap_or_default()),
            lag_ns: nanoseconds(lag),
        }
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
