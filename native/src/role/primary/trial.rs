//! The trial of a baseline: is the secondary able to go on with the guest? Asked while outputs are still free, so that nobody
//! waits for the answer.
//!
//! ```text
//!  rounds ─ few pages left ─► stop, save, scan, copy, cont ─► SyncPages, TrialState, Trial ─► … ─► passed: more rounds,
//!                             (outputs go on as before)       nothing else is sent                 first checkpoint
//! ```

use std::time::{Duration, Instant};

use super::commit::pages_in;
use super::{Engine, Fatal, Ports, Primary, alive};
use crate::checkpoint::{Part, Stopwatch};
use crate::clock::Clock;
use crate::guest::{AfterSave, GuestError, Vm};
use crate::limits::TRIAL_TIMEOUT;
use crate::link::LinkError;
use crate::report;
use crate::wire::{ControlKind, FrameKind, Header, TrialResult, limits::MAX_HELLO};

/// How far the trial of a baseline is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrialStage {
    /// It comes when few pages are left.
    Ahead,
    /// The secondary is at it.
    UnderWay {
        /// Since when.
        since: Instant,
    },
    /// The secondary could go on with the guest.
    Passed,
}

impl TrialStage {
    /// How long the secondary has been at it, if that is too long.
    fn overdue(self, now: Instant) -> Option<Duration> {
        let Self::UnderWay { since } = self else {
            return None;
        };
        let waited = now.saturating_duration_since(since);
        (waited >= TRIAL_TIMEOUT).then_some(waited)
    }
}

impl<P: Ports> Primary<P> {
    /// Captures the guest and has the secondary try it. The guest runs on, and so do its outputs.
    pub(super) fn begin_trial(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let runs_on = self.halt.is_none() && !self.standing.still();
        self.reserve_parts(engine);
        let (asked_at, paused_at) = (engine.now(), engine.clock.wall());
        let mut stopwatch = Stopwatch::start(asked_at);
        if let Err(error) = self.guest.stop_and_save(if runs_on {
            AfterSave::RunOn
        } else {
            AfterSave::Stay
        }) {
            return self.fail_save(engine, error);
        }
        let saved_at = engine.now();
        self.policy.interrupted(saved_at);
        self.take_events(engine);
        self.note_stop(&mut stopwatch, (asked_at, paused_at), saved_at);
        self.drain_outputs(engine)?;
        stopwatch.lap(Part::Drain, engine.now());
        let sent = self.capture_for_trial(engine, &mut stopwatch);
        stopwatch.lap(Part::Copy, engine.now());
        let held = self.guest.release();
        if runs_on {
            self.policy.resumed(engine.now());
        }
        self.time_pause(paused_at, stopwatch);
        if let Err(error) = held {
            return self.fail_save(engine, error);
        }
        // It has to be read, whatever becomes of it: QEMU waits until somebody does.
        let saved = (self.staging.read_device_state(&mut self.guest))
            .and_then(|state| self.guest.confirm_state().map(|()| state));
        let state = match saved {
            Ok(state) => state,
            Err(error) => return self.fail_save(engine, error),
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.lose_link(engine, &error),
            Err(error) => {
                self.give_up_tracking(engine, &error);
                return Ok(());
            }
        }
        let (generation, epoch) = (self.generation, self.epoch + 1);
        self.encode_for_trial();
        // Both are gone if the guest powered itself off just now and that was its end.
        if let (Some(link), Some(baseline)) = (&mut self.link, &mut self.baseline) {
            let mut encoder = link.encoder();
            for piece in self.staging.body()[state].chunks(MAX_HELLO) {
                encoder.control(ControlKind::TrialState, generation, epoch, piece);
            }
            encoder.control(ControlKind::Trial, generation, epoch, &[]);
            baseline.trial = TrialStage::UnderWay {
                since: engine.now(),
            };
            tracing::info!(generation, "the secondary tries the guest's state");
        }
        self.flush_link(engine);
        Ok(())
    }

    /// The state could not be saved, or not so that it can be sent. A guest without a replica may be the only copy: if QEMU is well,
    /// that ends the baseline and not the guest, which goes on as before.
    pub(super) fn fail_save(
        &mut self,
        engine: &mut Engine<P>,
        error: GuestError,
    ) -> Result<(), Fatal> {
        if self.guest.give_up_save().is_err() {
            return Err(error.into());
        }
        self.take_events(engine);
        let why = format!(
            "the guest's state cannot be saved, so no replica can be built: {}",
            report::chain(&error)
        );
        self.give_up_baseline(engine, &why);
        self.run_on(engine)
    }

    /// Copies what the secondary lacks of a guest that stands still. That for which the staging area has no room is sent, in small
    /// parts.
    fn capture_for_trial(
        &mut self,
        engine: &Engine<P>,
        stopwatch: &mut Stopwatch,
    ) -> Result<Result<(), LinkError>, GuestError> {
        let found = self
            .guest
            .collect_dirty(&mut self.owed, &mut alive(engine, self.link.as_mut()));
        stopwatch.lap(Part::Scan, engine.now());
        found?;
        let (most, chunk) = (self.staging.pages(), engine.sizes.baseline_chunk_pages);
        let mut excess = self.owed.count().saturating_sub(most);
        let mut from = 0;
        let mut sent = Ok(());
        while sent.is_ok()
            && excess > 0
            && let Some(next) = self.staging.copy(
                |offset, into| self.guest.capture(offset, into),
                &self.owed,
                from,
                excess.min(chunk),
            )
        {
            excess -= pages_in(self.staging.runs());
            from = next;
            self.encode_for_trial();
            sent = self.flush_link_now(engine);
        }
        if sent.is_ok() {
            self.staging.copy(
                |offset, into| self.guest.capture(offset, into),
                &self.owed,
                from,
                most,
            );
        }
        self.owed.clear();
        Ok(sent)
    }

    /// Makes the staged pages ready to be sent, if there is anybody who gets them.
    fn encode_for_trial(&mut self) {
        if let (Some(link), Some(baseline)) = (&mut self.link, &mut self.baseline) {
            let (body, runs) = (self.staging.body(), self.staging.runs());
            baseline.note_sent(runs);
            link.encoder()
                .sync_pages(self.generation, self.epoch + 1, body, runs);
        }
    }

    /// The secondary has tried.
    pub(super) fn take_trial_result(
        &mut self,
        engine: &Engine<P>,
        header: &Header,
        result: TrialResult,
    ) -> Result<(), LinkError> {
        match (&mut self.baseline, &self.link) {
            (Some(baseline), Some(link))
                if matches!(baseline.trial, TrialStage::UnderWay { .. })
                    && header.generation == self.generation
                    && header.epoch == self.epoch + 1 =>
            {
                match result.failure {
                    None => baseline.pass_trial(link.outgoing.bytes_encoded(), engine.now()),
                    Some(why) => self.trial_failure = Some(why),
                }
                Ok(())
            }
            _ => Err(LinkError::Turn {
                found: FrameKind::TrialResult,
                state: "nothing is being tried",
            }),
        }
    }

    /// Acts on a trial that has failed, or that takes too long: the guest goes on as before, and the secondary is left in peace
    /// for a while.
    pub(super) fn judge_trial(&mut self, engine: &mut Engine<P>) {
        let stage = self.baseline.as_ref().map(|baseline| baseline.trial);
        let waited = stage.and_then(|stage| stage.overdue(engine.now()));
        let why = match (self.trial_failure.take(), waited) {
            (Some(words), _) => format!("its QEMU cannot load the state: {words}"),
            (None, Some(waited)) => {
                format!("it has not said whether it can for {} s", waited.as_secs())
            }
            (None, None) => return,
        };
        let message = format!(
            "{} could not go on with the guest: {why}",
            self.peer(engine)
        );
        self.give_up_baseline(engine, &message);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_trial_under_way_can_take_too_long() {
        let began = Instant::now();
        let late = began + TRIAL_TIMEOUT;
        let stage = TrialStage::UnderWay { since: began };
        assert_eq!(stage.overdue(late), Some(TRIAL_TIMEOUT));
        assert_eq!(stage.overdue(began + TRIAL_TIMEOUT / 2), None);
        assert_eq!(TrialStage::Ahead.overdue(late), None);
        assert_eq!(TrialStage::Passed.overdue(late), None);
    }
}
