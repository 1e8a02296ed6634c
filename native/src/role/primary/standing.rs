//! Why a guest that has somewhere to run stands still for a while, and how it goes on.

use super::{Engine, Fatal, Mode, Ports, Primary};
use crate::control::messages::PausedFor;
use crate::fault::{Fault, makes};
use crate::guest::Vm;

/// The reasons for which the guest stands still: it runs on when none is left.
#[expect(
    clippy::struct_excessive_bools,
    reason = "reasons come and go one by one"
)]
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The hold is nearly full.
    pub(super) for_hold: bool,
    /// Its last checkpoint is not acknowledged (`commit` is `sync`).
    pub(super) for_ack: bool,
    /// The running epoch has reached a bound, and the one before is still on its way.
    pub(super) for_epoch: bool,
    /// It writes faster than the link carries, and a baseline is on its way.
    pub(super) for_baseline: bool,
    /// How often the hold was nearly full, and how often an epoch reached a bound.
    times: [u64; 2],
}

impl Standing {
    /// Whether there is a reason.
    pub(super) fn still(&self) -> bool {
        self.for_hold || self.for_ack || self.for_epoch || self.for_baseline
    }

    /// The reason that is shown. As short as those of checkpoints are the stops of a brake.
    pub(super) fn shown(&self) -> Option<PausedFor> {
        [
            (self.for_hold, PausedFor::Hold),
            (self.for_ack, PausedFor::Ack),
            (self.for_epoch, PausedFor::Epoch),
        ]
        .into_iter()
        .find_map(|(stands, why)| stands.then_some(why))
    }

    /// The guest stops for one of the reasons of which one may come many times a second; how often by now, if that is to be
    /// said: at 1, 2, 4, 8 …
    fn counted(&mut self, which: usize) -> Option<u64> {
        self.times[which] += 1;
        Some(self.times[which]).filter(|times| times.is_power_of_two())
    }
}

impl<P: Ports> Primary<P> {
    /// Stops the guest while its outputs cannot go anywhere, and lets it run again when they can.
    pub(super) fn throttle(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        let full = self.hold.is_above_high_water();
        if full && !self.standing.for_hold {
            if let Some(times) = self.standing.counted(0) {
                tracing::warn!(
                    bytes = self.hold.bytes(),
                    times,
                    "the hold is nearly full: the guest is paused until its outputs are acknowledged"
                );
            }
            self.standing.for_hold = true;
            self.stand_still(engine)?;
        } else if !full && self.standing.for_hold {
            self.standing.for_hold = false;
            self.run_on(engine)?;
        }
        Ok(())
    }

    /// Keeps the running epoch within its bounds: looks how large it is when that is due, and stops a guest that has reached a
    /// bound while no checkpoint can be made. Without a link nothing is to come of it: there the hold alone is a bound.
    pub(super) fn bound_epoch(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        if !self.is_epoch_bounded() {
            return self.end_epoch_pause(engine);
        }
        let now = engine.now();
        if self.policy.look_due().is_some_and(|due| now >= due) {
            if let Err(error) = self.guest.collect_dirty(&mut self.owed) {
                return self.lose_tracking(engine, error);
            }
            self.policy.looked(self.owed.count(), now);
        }
        if !self.standing.for_epoch && !self.is_ready_for_checkpoint() && self.policy.is_full(now) {
            if let Some(times) = self.standing.counted(1) {
                tracing::warn!(
                    times,
                    "an epoch has reached its bound before the last one is acknowledged: the guest is paused until then"
                );
            }
            self.standing.for_epoch = true;
            self.stand_still(engine)?;
        }
        Ok(())
    }

    /// Whether checkpoints are what ends the running epoch.
    pub(super) fn is_epoch_bounded(&self) -> bool {
        matches!(self.mode, Mode::Guarded)
            && self.halt.is_none()
            && self.baseline.is_none()
            && self.link.is_some()
    }

    /// The epoch at whose bound the guest stands still has been captured, or is no part of a transaction any more.
    pub(super) fn end_epoch_pause(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        if std::mem::take(&mut self.standing.for_epoch) {
            self.run_on(engine)?;
        }
        Ok(())
    }

    /// The checkpoint for whose end the guest stands still has come to it, well or not.
    pub(super) fn end_sync_pause(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        if self.standing.for_ack && self.in_flight.is_none() {
            self.standing.for_ack = false;
            self.run_on(engine)?;
        }
        Ok(())
    }

    /// Stops the guest, for a reason that has been noted.
    pub(super) fn stand_still(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        self.guest.pause()?;
        self.policy.interrupted(engine.now());
        Ok(())
    }

    /// Lets the guest run, unless there is a reason left for which it stands still.
    pub(super) fn run_on(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        let goes_on = self.halt.is_none() || makes(Fault::RunOnAlthoughHalted);
        if goes_on && !self.standing.still() {
            self.guest.resume()?;
            self.policy.resumed(engine.now());
        }
        Ok(())
    }
}
