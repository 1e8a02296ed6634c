//! The planned switchover: the last checkpoint with the guest stopped, its ack, the release of its outputs, the token.

use std::time::Instant;

use super::{Engine, Face, Fatal, Halt, Mode, Next, Ports, Primary, Ready};
use crate::control::messages::GuestState;
use crate::control::{DemoteOutcome, ReplyHandle, Role, State};
use crate::guest::Vm;
use crate::limits::{FORWARD_TIMEOUT, PACKETS_PER_TURN};
use crate::link::{Link, LinkError, Transport};
use crate::wire::{ControlKind, FrameKind, Header};

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// A replica is being completed.
    Waiting,
    /// The secondary has everything; it has been offered the guest.
    Offered,
    /// It has accepted.
    Accepted,
    /// Whether it has accepted is not known: the link broke.
    Unknown,
}

/// An order to demote that is being carried out.
#[derive(Debug)]
pub(super) struct Demotion {
    reply: Option<ReplyHandle>,
    pub(super) deadline: Instant,
    stage: Stage,
}

impl Demotion {
    pub(super) fn new(reply: ReplyHandle, deadline: Instant) -> Self {
        Self {
            reply: Some(reply),
            deadline,
            stage: Stage::Waiting,
        }
    }

    fn answer(&mut self, outcome: DemoteOutcome) {
        if let Some(reply) = self.reply.take() {
            reply.demoted(outcome);
        }
    }
}

impl<P: Ports> Primary<P> {
    /// Carries an order to demote on; the next role if it is done and the guest is not here any more.
    pub(super) fn advance_demotion(
        &mut self,
        engine: &mut Engine<P>,
    ) -> Result<Option<Next<P>>, Fatal> {
        let Some(demotion) = &self.demotion else {
            return Ok(None);
        };
        let late = engine.now() >= demotion.deadline;
        match (demotion.stage, &self.mode) {
            (Stage::Accepted, _) => {
                self.say_demoted(engine, DemoteOutcome::HandedOver);
                self.forwarding_until = Some(engine.now() + FORWARD_TIMEOUT);
                Ok(None)
            }
            // The secondary has every acknowledged epoch and what came later was never seen: it may go on, we may not.
            (Stage::Unknown, _) | (_, Mode::Ended) => Ok(Some(self.discard(engine))),
            (Stage::Waiting, Mode::Solo(_)) if late || self.is_alone() => {
                self.park(engine)?;
                Ok(None)
            }
            (Stage::Offered, _) | (Stage::Waiting, Mode::Guarded) if late => {
                Ok(Some(self.discard(engine)))
            }
            (Stage::Waiting, Mode::Guarded)
                if self.last_acked && self.is_ready_for_checkpoint() =>
            {
                self.offer(engine);
                Ok(None)
            }
            _ => Ok(None),
        }
    }

    /// No replica is being built, and none can be: no peer answers.
    fn is_alone(&self) -> bool {
        self.link.is_none() && self.calls.are_in_vain(self.may_call_others())
    }

    /// The last checkpoint is acknowledged and its outputs are out.
    fn offer(&mut self, engine: &mut Engine<P>) {
        if let (Some(demotion), Some(link)) = (&mut self.demotion, &mut self.link) {
            demotion.stage = Stage::Offered;
            link.encoder()
                .control(ControlKind::Handover, self.generation, self.epoch, &[]);
        }
        self.flush_link(engine);
    }

    pub(super) fn take_handover_ack(&mut self, header: &Header) -> Result<(), LinkError> {
        match &mut self.demotion {
            Some(demotion)
                if demotion.stage == Stage::Offered
                    && header.generation == self.generation
                    && header.epoch == self.epoch =>
            {
                demotion.stage = Stage::Accepted;
                Ok(())
            }
            _ => Err(LinkError::Turn {
                found: FrameKind::HandoverAck,
                state: "no guest was offered",
            }),
        }
    }

    /// The link broke while the guest was offered.
    pub(super) fn fail_handover(&mut self) {
        if let Some(demotion) = &mut self.demotion
            && demotion.stage == Stage::Offered
        {
            demotion.stage = Stage::Unknown;
        }
    }

    /// The guest must not run on here; whether it does elsewhere the cluster decides.
    fn discard(&mut self, engine: &mut Engine<P>) -> Next<P> {
        self.say_demoted(engine, DemoteOutcome::Discarded);
        Next::Secondary(None)
    }

    fn say_demoted(&mut self, engine: &mut Engine<P>, outcome: DemoteOutcome) {
        tracing::info!(
            generation = self.generation,
            epoch = self.epoch,
            ?outcome,
            "demoted"
        );
        // Whoever hears the answer may ask here at once.
        engine.show(Face {
            role: Role::Secondary,
            state: State::Empty,
            guest: GuestState::Paused,
            generation: 0,
            epoch: 0,
        });
        if let Some(mut demotion) = self.demotion.take() {
            demotion.answer(outcome);
        }
    }

    /// Until the guest runs on the other host, the network brings here what is sent to it. The secondary takes copies of
    /// inputs until it is promoted, which ends the link. Whatever goes wrong here, the next role finds out for itself.
    pub(super) fn forward(&mut self, engine: &Engine<P>, ready: Ready) -> Option<Next<P>> {
        let in_time = self
            .forwarding_until
            .is_some_and(|until| engine.now() < until);
        let goes_on = in_time
            && !ready.orders
            && self.link.as_mut().is_some_and(is_still_there)
            && self.forward_waiting(engine);
        (!goes_on).then_some(Next::Secondary(None))
    }

    /// Passes on what waits; false if that is not possible any more.
    fn forward_waiting(&mut self, engine: &Engine<P>) -> bool {
        for _ in 0..PACKETS_PER_TURN {
            match engine.outlet.receive(&mut self.packet[..]) {
                Ok(Some(length)) => self.mirror(length),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        match &mut self.link {
            Some(link) => {
                link.flush(self.staging.body()).is_ok() && link.keep_alive(engine.now()).is_ok()
            }
            None => false,
        }
    }

    /// Nobody can take the guest: it stays here, stopped, and can be promoted again.
    fn park(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        self.guest.pause()?;
        self.take_events(engine);
        if matches!(self.mode, Mode::Ended) {
            return Ok(());
        }
        self.drain_outputs(engine)?;
        self.halt = Some(Halt::Demoted);
        self.mode = Mode::Parked;
        self.baseline = None;
        self.link = None;
        engine.show_peer(false, None, None);
        self.show(engine);
        if let Some(mut demotion) = self.demotion.take() {
            demotion.answer(DemoteOutcome::Parked);
        }
        Ok(())
    }

    /// Tells the secondary that the guest powered itself off, once its last outputs are out.
    pub(super) fn tell_end(&mut self) {
        let due = self.halt == Some(Halt::PoweredOff)
            && self.last_acked
            && self.is_ready_for_checkpoint();
        if due && let Some(link) = &mut self.link {
            link.encoder()
                .control(ControlKind::End, self.generation, self.epoch, &[]);
            self.end_told = true;
        }
    }

    pub(super) fn take_end_ack(
        &mut self,
        engine: &Engine<P>,
        header: &Header,
    ) -> Result<(), LinkError> {
        if !self.end_told || header.generation != self.generation {
            return Err(LinkError::Turn {
                found: FrameKind::EndAck,
                state: "the guest has not ended",
            });
        }
        self.finish_end(engine);
        Ok(())
    }
}

/// Whether the secondary, which has everything, says nothing any more but that it lives.
fn is_still_there<T: Transport>(link: &mut Link<T>) -> bool {
    let filled = link.fill();
    while let Ok(Some(frame)) = link.reader.next() {
        if frame.header.kind != FrameKind::Heartbeat {
            return false;
        }
    }
    filled.is_ok()
}
