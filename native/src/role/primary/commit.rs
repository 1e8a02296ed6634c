//! One checkpoint from the stop of the vCPUs to the release of its outputs.
//!
//! ```text
//!  stop, save, drain, scan, copy ── cont ──► frames ──► commit sent ──► ack ──► release
//!  └────────── the guest is paused ───────┘     │ link lost: pages are owed again, outputs wait for the next one (I5)
//! ```
//! Of more pages than the staging area holds, what is too much is sent before `cont`, in small parts. The memory to encode a part
//! has been taken before the stop; TLS takes some more for each record, and gives it back when the kernel has that. Otherwise nothing
//! is allocated in a pause.

mod sending;

use std::time::{Duration, Instant, SystemTime};

pub(super) use self::sending::pages_in;

use super::{Engine, Fatal, Halt, Mode, Ports, Primary, ack_timeout, alive};
use crate::checkpoint::{Commit, Part, Stopwatch};
use crate::clock::Clock;
use crate::fault::{Fault, makes};
use crate::guest::{AfterSave, GuestError, Vm};
use crate::link::LinkError;
use crate::release::{Acked, Awaited, Solo};
use crate::wire::{FrameKind, Header};

/// The one transaction on its way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) awaited: Awaited,
    /// First checkpoint after a baseline: until its commit has left, the secondary has nothing, and a primary that was
    /// solo still is.
    fallback: Option<Solo>,
    /// The guest does not run on after it.
    last: bool,
    /// Bytes of the connection before it.
    begins_at: u64,
    /// Bytes of the connection up to the end of the commit, once that is encoded.
    commit_ends_at: Option<u64>,
    /// When it began to be written, the guest running again; none if it was sent in parts.
    burst_from: Option<Instant>,
    /// When all of it had been written: from then on an ack is waited for.
    written_at: Option<Instant>,
}

impl InFlight {
    /// Whether the primary was solo when it was made: until the ack nobody can say that it is protected.
    pub(super) fn may_fall_back(&self) -> bool {
        self.fallback.is_some()
    }

    /// Its bytes and when they began to be written, if that was in one burst.
    pub(super) fn whole_burst(&self) -> Option<(u64, Instant)> {
        let bytes = self.commit_ends_at? - self.begins_at;
        self.burst_from.map(|at| (bytes, at))
    }

    /// Whether the primary was solo when it was made, and nobody can have the whole of it.
    fn may_end_solo(&self) -> bool {
        self.may_fall_back() && self.commit_ends_at.is_none()
    }

    /// Whether the secondary may have the whole transaction.
    fn may_be_there(&self, sent: u64) -> bool {
        self.commit_ends_at.is_some_and(|end| sent >= end)
    }
}

impl<P: Ports> Primary<P> {
    /// Whether a checkpoint could be made now.
    pub(super) fn is_ready_for_checkpoint(&self) -> bool {
        matches!(self.mode, Mode::Guarded)
            && self.in_flight.is_none()
            && self.baseline.is_none()
            && self
                .link
                .as_ref()
                .is_some_and(|link| link.outgoing.is_empty())
            && !self.end_told
    }

    /// Whether one is due, by the policy or because somebody waits for the last one.
    pub(super) fn wants_checkpoint(&self, engine: &Engine<P>) -> bool {
        if !self.is_ready_for_checkpoint() {
            return false;
        }
        if self.halt.is_some() || self.demotion.is_some() {
            return !self.last_acked;
        }
        engine.now() >= self.checkpoint_due()
    }

    /// When the next one is due. A guest that stands still because of what it has sent or written gains nothing by
    /// waiting, nor does one that must not run without a link.
    pub(super) fn checkpoint_due(&self) -> Instant {
        if self.standing.still() {
            self.policy.last_capture()
        } else {
            self.policy.due()
        }
    }

    /// The first checkpoint after a baseline: from its capture on outputs are held.
    pub(super) fn first_checkpoint(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let fallback = match std::mem::replace(&mut self.mode, Mode::Guarded) {
            Mode::Solo(permit) => Some(permit),
            other => {
                self.mode = other;
                None
            }
        };
        match self.capture_and_send(engine, fallback) {
            // Nobody has been promised anything yet.
            Err(Fatal::Guest(error))
                if self.in_flight.as_ref().is_some_and(InFlight::may_end_solo) =>
            {
                self.fail_save(engine, error)
            }
            sent => sent,
        }
    }

    /// A checkpoint of a guest that has a replica.
    pub(super) fn checkpoint(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        self.capture_and_send(engine, None)
    }

    fn capture_and_send(
        &mut self,
        engine: &mut Engine<P>,
        fallback: Option<Solo>,
    ) -> Result<(), Fatal> {
        if self.demotion.is_some() {
            // The last checkpoint: the guest does not run on here.
            self.halt.get_or_insert(Halt::Demoted);
        }
        // The guest has run through a baseline before.
        let is_first = fallback.is_some();
        let awaited = Awaited {
            generation: self.generation,
            epoch: self.epoch + 1,
        };
        self.prepare_sending(engine);
        let asked_at = engine.now();
        let paused_at = engine.clock.wall();
        let mut stopwatch = Stopwatch::start(asked_at);
        let commit = engine.tuning.commit;
        let goes_on = self.halt.is_none() || makes(Fault::RunOnAlthoughHalted);
        let runs_on = goes_on && !self.standing.still() && commit == Commit::Pipelined;
        if let Err(error) = self.guest.stop_and_save(if runs_on {
            AfterSave::RunOn
        } else {
            AfterSave::Stay
        }) {
            let Some(permit) = fallback else {
                return Err(error.into());
            };
            self.mode = Mode::Solo(permit);
            self.replica_holder = None;
            return self.fail_save(engine, error);
        }
        let saved_at = engine.now();
        // Powered off just before it was stopped: then this is its last checkpoint, and QEMU does not let it run on.
        self.take_events(engine);
        self.note_stop(&mut stopwatch, (asked_at, paused_at), saved_at);
        let all_taken = self.drain_outputs(engine)?;
        self.hold.seal(awaited.epoch);
        self.mirrored = 0;
        let opening = self.opening(paused_at);
        stopwatch.lap(Part::Drain, engine.now());
        std::mem::swap(&mut self.captured, &mut self.owed);
        self.owed.clear();
        let collected = self.collect_captured(engine);
        let pages = self.captured.count();
        stopwatch.lap(Part::Scan, engine.now());
        self.in_flight = Some(InFlight {
            awaited,
            fallback,
            // What the hold had no room for goes with one more.
            last: self.halt.is_some() && (all_taken || makes(Fault::LastAlthoughOutputsWait)),
            begins_at: self
                .link
                .as_ref()
                .map_or(0, |link| link.outgoing.bytes_encoded()),
            commit_ends_at: None,
            burst_from: None,
            written_at: None,
        });
        if let Err(error) = collected {
            return self.abandon_capture(engine, runs_on, error);
        }
        let scan = stopwatch.part(Part::Scan);
        let ran = self.policy.captured(pages, scan, asked_at);
        self.standing.for_ack = commit == Commit::Sync;
        engine.statistics.record_checkpoint(pages);
        if !is_first {
            engine.statistics.record_epoch(ran);
        }
        let excess = self.send_excess(engine, awaited, &opening);
        if let Ok(rest) = &excess {
            let most = self.staging.pages();
            self.staging.copy(
                |offset, into| self.guest.capture(offset, into),
                &self.captured,
                rest.unwrap_or(0),
                most,
            );
        }
        stopwatch.lap(Part::Copy, engine.now());
        // Nothing more is encoded or sent before the guest runs again.
        self.release(engine, runs_on, paused_at, stopwatch)?;
        match excess {
            Ok(rest) => {
                if rest.is_none() {
                    self.encode_begin(awaited, &opening);
                }
                self.encode_pages(engine);
                self.send_pages(engine, rest.is_none());
                self.encode_state()?;
                self.flush_link(engine);
                self.encode_commit(engine)?;
                self.flush_link(engine);
            }
            Err(error) => {
                // QEMU waits until somebody reads its state, and the guest with it.
                self.staging.read_device_state(&mut self.guest)?;
                self.guest.confirm_state()?;
                self.lose_link(engine, &error);
            }
        }
        #[cfg(test)]
        if makes(Fault::ReleaseWhenSent) {
            let ack = Header::forged_ack(awaited.generation, awaited.epoch);
            let _ = self.take_ack(engine, &ack);
        }
        Ok(())
    }

    /// The pages that the guest has written since they were last asked for.
    fn collect_captured(&mut self, engine: &Engine<P>) -> Result<(), GuestError> {
        let mut alive = alive(engine, self.link.as_mut());
        self.guest.collect_dirty(&mut self.captured, &mut alive)
    }

    /// What was written is not known, so there is nothing to send.
    fn abandon_capture(
        &mut self,
        engine: &mut Engine<P>,
        runs_on: bool,
        error: GuestError,
    ) -> Result<(), Fatal> {
        self.guest.release()?;
        self.staging.read_device_state(&mut self.guest)?;
        self.guest.confirm_state()?;
        self.lose_tracking(engine, error)?;
        self.standing.for_epoch = false;
        if runs_on {
            self.policy.resumed(engine.now());
            return Ok(());
        }
        self.run_on(engine)
    }

    /// Written pages are not known any more. A guest that has a whole replica ends here and goes on there; any other one runs
    /// on, for it may be the only copy.
    pub(super) fn lose_tracking(
        &mut self,
        engine: &mut Engine<P>,
        error: GuestError,
    ) -> Result<(), Fatal> {
        if self.link.as_ref().is_some_and(|link| link.confirmed) {
            return Err(error.into());
        }
        self.give_up_tracking(engine, &error);
        Ok(())
    }

    /// The guest has been asked to stop then, by the engine's clock and by that of QEMU's events, and its state is saved: QEMU has
    /// said when it stood still.
    pub(super) fn note_stop(
        &mut self,
        stopwatch: &mut Stopwatch,
        (asked_at, paused_at): (Instant, SystemTime),
        saved_at: Instant,
    ) {
        let stood_still = self
            .stood_still_at
            .take()
            .and_then(|at| at.duration_since(paused_at).ok());
        stopwatch.lap(Part::Stop, asked_at + stood_still.unwrap_or_default());
        stopwatch.lap(Part::Save, saved_at);
    }

    /// The guest is about to run again: how long it was paused is known when QEMU says since when. One that is to stand still for
    /// long has been stopped for something else.
    pub(super) fn time_pause(&mut self, paused_at: SystemTime, stopwatch: Stopwatch) {
        if self.halt.is_none() && !self.standing.for_hold && !self.standing.for_freeze {
            self.pause = Some((paused_at, stopwatch));
        }
    }

    /// The engine is done with guest RAM: a guest that is to run on does.
    fn release(
        &mut self,
        engine: &Engine<P>,
        runs_on: bool,
        paused_at: SystemTime,
        stopwatch: Stopwatch,
    ) -> Result<(), Fatal> {
        let held = self.guest.release();
        if !makes(Fault::SendAlthoughItRanOn) {
            held?;
        }
        if runs_on {
            self.policy.resumed(engine.now());
        }
        self.end_epoch_pause(engine)?;
        self.time_pause(paused_at, stopwatch);
        Ok(())
    }

    /// An ack has come: the outputs of its epoch may go.
    pub(super) fn take_ack(
        &mut self,
        engine: &mut Engine<P>,
        header: &Header,
    ) -> Result<(), LinkError> {
        let out_of_turn = LinkError::Turn {
            found: FrameKind::Ack,
            state: "no such transaction is on its way",
        };
        let Some(in_flight) = &self.in_flight else {
            return Err(out_of_turn);
        };
        let Some(permit) = Acked::from_frame(header, in_flight.awaited) else {
            return Err(out_of_turn);
        };
        // Of the part that a transport keeps back nobody can say when it left.
        let written = (self.link.as_ref()).map_or(0, |link| link.outgoing.bytes_written());
        if !in_flight.may_be_there(written) {
            return Err(LinkError::Turn {
                found: FrameKind::Ack,
                state: "the transaction has not left yet",
            });
        }
        let acked_at = engine.now();
        engine.outlet.release_epoch(&permit, &mut self.hold);
        self.policy.released();
        self.epoch = permit.epoch();
        self.captured.clear();
        if let Some(in_flight) = self.in_flight.take() {
            self.last_acked = in_flight.last;
            // Only now, when the outputs are out: nobody waits for this.
            self.learn(engine, &in_flight, acked_at);
        }
        if let Some(link) = &mut self.link
            && !link.confirmed
        {
            link.confirmed = true;
            self.show(engine);
        }
        Ok(())
    }

    /// The transaction on its way has failed: its pages are owed and its outputs wait again. A primary that was solo is
    /// solo again if the secondary cannot have the whole of it.
    pub(super) fn fail_in_flight(&mut self, engine: &mut Engine<P>, sent: u64) {
        let Some(in_flight) = self.in_flight.take() else {
            return;
        };
        if !makes(Fault::ForgetOwedPages) {
            self.owed.union_with(&self.captured);
        }
        self.captured.clear();
        self.hold.unseal();
        self.policy.unsealed(engine.now());
        let may_be_there = in_flight.may_be_there(sent) && !makes(Fault::SoloAlthoughSent);
        if let Some(permit) = in_flight.fallback
            && !may_be_there
        {
            engine.outlet.release_all(&permit, &mut self.hold);
            self.mode = Mode::Solo(permit);
            self.solo_again(engine);
        }
    }

    /// A secondary that has not acknowledged for too long is as good as gone.
    pub(super) fn overdue(&mut self, engine: &Engine<P>) -> Option<Duration> {
        let sent = self.link.as_ref()?.sent_at_most();
        let in_flight = self.in_flight.as_mut()?;
        if !in_flight.may_be_there(sent) {
            return None;
        }
        let now = engine.now();
        let written_at = *in_flight.written_at.get_or_insert(now);
        let waited = now.saturating_duration_since(written_at);
        (waited >= ack_timeout(engine)).then_some(waited)
    }
}
