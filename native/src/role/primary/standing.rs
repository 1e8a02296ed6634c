//! Why a guest that has somewhere to run stands still for a while, and how it goes on.

use std::time::Instant;

use super::{Engine, Fatal, Mode, Ports, Primary};
use crate::checkpoint::Commit;
use crate::control::State;
use crate::control::messages::PausedFor;
use crate::fault::{Fault, makes};
use crate::guest::Vm;
use crate::limits::FROZEN_EPOCHS;

/// The reasons for which the guest stands still: it runs on when none is left.
#[expect(
    clippy::struct_excessive_bools,
    reason = "reasons come and go one by one"
)]
#[derive(Debug, Default)]
pub(super) struct Standing {
    /// The hold is nearly full.
    pub(super) for_hold: bool,
    /// Its last checkpoint is not acknowledged, or none can be made (`commit` is `sync`).
    pub(super) for_ack: bool,
    /// That waits for a link.
    ack_is_late: bool,
    /// The running epoch has reached a bound, and the one before is still on its way.
    pub(super) for_epoch: bool,
    /// Its outputs have gone nowhere for too long.
    pub(super) for_freeze: bool,
    /// It writes faster than the link carries, and a baseline is on its way.
    pub(super) for_baseline: bool,
    /// How often the hold was nearly full, and how often an epoch reached a bound.
    times: [u64; 2],
    /// Since when it is frozen.
    frozen_since: Option<Instant>,
}

impl Standing {
    /// Whether there is a reason.
    pub(super) fn still(&self) -> bool {
        self.for_hold || self.for_ack || self.for_epoch || self.for_freeze || self.for_baseline
    }

    /// The reason that is shown. As short as those of checkpoints are the stops of a brake.
    pub(super) fn shown(&self) -> Option<PausedFor> {
        [
            (self.for_freeze, PausedFor::Freeze),
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

/// What ends an epoch.
#[derive(Debug, Clone, Copy)]
pub(super) enum EpochBound {
    /// A checkpoint, when it has reached its age or its pages.
    Checkpoint,
    /// A checkpoint when the link is back, however old it is by then. Of pages it may have more than others.
    Link,
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
    /// bound while no checkpoint can be made.
    pub(super) fn bound_epoch(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let Some(bound) = self.epoch_bound() else {
            return self.end_epoch_pause(engine);
        };
        self.policy.stretch(match bound {
            EpochBound::Checkpoint => 1,
            EpochBound::Link => FROZEN_EPOCHS,
        });
        let now = engine.now();
        if self.policy.look_due().is_some_and(|due| now >= due) {
            match self.look(engine)? {
                Ok(true) => self.policy.looked(self.owed.count(), now),
                // It is about to be stopped.
                Ok(false) => {}
                Err(error) => return self.lose_tracking(engine, error),
            }
        }
        let must_wait = match bound {
            EpochBound::Checkpoint => !self.is_ready_for_checkpoint() && self.policy.is_full(now),
            EpochBound::Link => self.policy.is_large(),
        };
        match (must_wait, self.standing.for_epoch, bound) {
            (true, false, _) => {
                if let Some(times) = self.standing.counted(1) {
                    let until = match bound {
                        EpochBound::Checkpoint => "the last one is acknowledged",
                        EpochBound::Link => "the link is back",
                    };
                    tracing::warn!(
                        times,
                        pages = self.owed.count(),
                        "an epoch has reached its bound before {until}: the guest is paused until then"
                    );
                }
                self.standing.for_epoch = true;
                self.stand_still(engine)
            }
            // What it waited for will not come for now.
            (false, true, EpochBound::Link) => self.end_epoch_pause(engine),
            _ => Ok(()),
        }
    }

    /// What ends the running epoch, if it is to become a transaction. Of one that nobody can go on with the next connection
    /// carries all, by a baseline.
    pub(super) fn epoch_bound(&self) -> Option<EpochBound> {
        let is_bounded =
            matches!(self.mode, Mode::Guarded) && self.halt.is_none() && self.baseline.is_none();
        match (&self.link, self.replica_holder) {
            (Some(_), _) => Some(EpochBound::Checkpoint),
            (None, Some(_)) => Some(EpochBound::Link),
            (None, None) => None,
        }
        .filter(|_| is_bounded)
    }

    /// Stops a guest that has been frozen for too long: what it does is seen by nobody, its clocks and those of whom it talks to
    /// run out, and all of it is lost if the other host goes on. It runs on as soon as its outputs may go.
    pub(super) fn bound_freeze(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        let too_long = if self.is_frozen() {
            let now = engine.now();
            let since = *self.standing.frozen_since.get_or_insert(now);
            let timeout = engine.tuning.freeze_timeout();
            timeout.is_some_and(|timeout| now.saturating_duration_since(since) >= timeout)
        } else {
            self.standing.frozen_since = None;
            false
        };
        match (too_long, self.standing.for_freeze) {
            (true, false) => {
                tracing::warn!(
                    after_ms = engine.tuning.freeze_timeout_ms,
                    "nothing acknowledges the guest's outputs: it is paused until {} is back or it may go on alone",
                    self.peer(engine)
                );
                self.standing.for_freeze = true;
                self.stand_still(engine)
            }
            (false, true) => {
                tracing::info!("the guest does not wait for the other host any more");
                self.standing.for_freeze = false;
                self.run_on(engine)
            }
            _ => Ok(()),
        }
    }

    /// The epoch at whose bound the guest stands still has been captured, or is no part of a transaction any more.
    pub(super) fn end_epoch_pause(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        if std::mem::take(&mut self.standing.for_epoch) {
            self.run_on(engine)?;
        }
        Ok(())
    }

    /// Whether the guest is one whose last checkpoint nobody has acknowledged, and whose next one cannot be made.
    pub(super) fn is_frozen(&self) -> bool {
        self.halt.is_none() && self.state().1 == State::Frozen
    }

    /// With `commit` sync the guest stands still until its checkpoint is acknowledged. On a link that is lost it never will
    /// be: then until one made with the next link is, or until the guest may go on alone.
    pub(super) fn bound_sync(&mut self, engine: &Engine<P>) -> Result<(), Fatal> {
        let waits = engine.tuning.commit == Commit::Sync && self.is_frozen();
        let waited = std::mem::replace(&mut self.standing.ack_is_late, waits);
        if waits && !waited {
            tracing::warn!(
                "nothing acknowledges the guest's checkpoints, and commit is sync: it is paused until {} does again or it may go \
                 on alone",
                self.peer(engine)
            );
        }
        let stands = waits || (self.standing.for_ack && self.in_flight.is_some());
        if std::mem::replace(&mut self.standing.for_ack, stands) == stands {
            return Ok(());
        }
        if stands {
            self.stand_still(engine)
        } else {
            self.run_on(engine)
        }
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
