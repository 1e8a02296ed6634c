//! The planned switchover: the last checkpoint with the guest stopped, its ack, the release of its outputs, the token.

use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::PollFlags;

use super::{Engine, Face, Fatal, Halt, Mode, Next, Primary, wait};
use crate::control::messages::GuestState;
use crate::control::{DemoteOutcome, ReplyHandle, Role, State};
use crate::limits::{FORWARD_TIMEOUT, PACKETS_PER_TURN};
use crate::link::LinkError;
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
    pub(super) fn new(reply: ReplyHandle, timeout_ms: u64) -> Self {
        Self {
            reply: Some(reply),
            deadline: Instant::now() + Duration::from_millis(timeout_ms),
            stage: Stage::Waiting,
        }
    }

    fn answer(&mut self, outcome: DemoteOutcome) {
        if let Some(reply) = self.reply.take() {
            reply.demoted(outcome);
        }
    }
}

impl Primary {
    /// Carries an order to demote on; the next role if it is done and the guest is not here any more.
    pub(super) fn advance_demotion(&mut self, engine: &mut Engine) -> Result<Option<Next>, Fatal> {
        let Some(demotion) = &self.demotion else {
            return Ok(None);
        };
        let late = Instant::now() >= demotion.deadline;
        match (demotion.stage, &self.mode) {
            (Stage::Accepted, _) => Ok(Some(self.leave(engine, DemoteOutcome::HandedOver))),
            // The secondary has every acknowledged epoch and what came later was never seen: it may go on, we may not.
            (Stage::Unknown, _) | (_, Mode::Ended) => {
                Ok(Some(self.leave(engine, DemoteOutcome::Discarded)))
            }
            (Stage::Offered, _) if late => Ok(Some(self.leave(engine, DemoteOutcome::Discarded))),
            (Stage::Waiting, Mode::Solo(_)) if late || self.is_alone() => {
                self.park(engine)?;
                Ok(None)
            }
            (Stage::Waiting, Mode::Guarded) if late => {
                Ok(Some(self.leave(engine, DemoteOutcome::Discarded)))
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

    /// No replica is being built, and none can be: the peer does not answer.
    fn is_alone(&self) -> bool {
        self.link.is_none() && self.dial_complaint.is_some()
    }

    /// The last checkpoint is acknowledged and its outputs are out.
    fn offer(&mut self, engine: &mut Engine) {
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

    fn leave(&mut self, engine: &mut Engine, outcome: DemoteOutcome) -> Next {
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
        if outcome == DemoteOutcome::HandedOver {
            self.forward_inputs(engine);
        }
        Next::Secondary(None)
    }

    /// Until the guest runs on the other host, the network brings here what is sent to it. The secondary takes copies of
    /// inputs until it is promoted, which ends the link.
    fn forward_inputs(&mut self, engine: &mut Engine) {
        let until = Instant::now() + FORWARD_TIMEOUT;
        while let Some(link) = &self.link
            && Instant::now() < until
        {
            engine.board.beat();
            let link_flags = if link.outgoing.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let ready = wait(
                [
                    (Some(link.as_fd()), link_flags),
                    (Some(engine.outlet.as_fd()), PollFlags::IN),
                    (Some(engine.wake.as_fd()), PollFlags::IN),
                ],
                until.saturating_duration_since(Instant::now()),
                &engine.wake,
            );
            // Whatever goes wrong here, the next role finds out for itself.
            let Ok([from_link, _, orders]) = ready else {
                return;
            };
            let is_over = from_link.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR)
                || !orders.is_empty();
            if is_over || !self.forward_waiting(engine) {
                return;
            }
        }
    }

    /// Passes on what waits; false if that is not possible any more.
    fn forward_waiting(&mut self, engine: &Engine) -> bool {
        for _ in 0..PACKETS_PER_TURN {
            match engine.outlet.receive(&mut self.packet[..]) {
                Ok(Some(length)) => self.mirror(length),
                Ok(None) => break,
                Err(_) => return false,
            }
        }
        match &mut self.link {
            Some(link) => link.flush(self.staging.body()).is_ok(),
            None => false,
        }
    }

    /// Nobody can take the guest: it stays here, stopped, and can be promoted again.
    fn park(&mut self, engine: &mut Engine) -> Result<(), Fatal> {
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
        engine: &Engine,
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
