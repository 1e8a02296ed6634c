//! What was captured becomes the frames of one transaction, and they leave.

use crate::fault::{Fault, makes};
use crate::guest::Vm;
use crate::link::LinkError;
use crate::release::Awaited;
use crate::role::primary::encoding::since;
use crate::role::primary::{Engine, Fatal, PeerLink, Ports, Primary, ack_timeout};
use crate::wire::Opening;

/// Why a transaction could not be sent in parts.
pub(super) enum Sending {
    Link(LinkError),
    Fatal(Fatal),
}

impl<P: Ports> Primary<P> {
    /// All pages, as much at a time as the staging area holds.
    pub(super) fn send_in_parts(
        &mut self,
        engine: &Engine<P>,
        awaited: Awaited,
        opening: &Opening,
    ) -> Result<(), Sending> {
        // Its pages are not in the staging area any more when all of it has been sent.
        if !makes(Fault::KeepBasesOfParts) {
            self.shadow.forget();
        }
        self.encode_begin(awaited, opening);
        let mut from = 0;
        let most = self.staging.pages();
        while let Some(next) = self.staging.copy(
            |offset, into| self.guest.capture(offset, into),
            &self.captured,
            from,
            most,
        ) {
            self.encode_pages(engine);
            self.flush_link_now(engine)?;
            from = next;
        }
        Ok(())
    }

    /// The commit, and all that has not left before it.
    pub(super) fn send_end(&mut self, engine: &mut Engine<P>) -> Result<(), Sending> {
        self.encode_commit(engine).map_err(Sending::Fatal)?;
        self.flush_link_now(engine)
    }

    fn flush_link_now(&mut self, engine: &Engine<P>) -> Result<(), Sending> {
        match &mut self.link {
            Some(link) => link
                .flush_all(
                    self.staging.body(),
                    ack_timeout(engine),
                    &engine.clock,
                    || engine.board.beat(),
                )
                .map_err(Sending::Link),
            None => Err(Sending::Link(LinkError::Closed)),
        }
    }

    pub(super) fn encode_begin(&mut self, awaited: Awaited, opening: &Opening) {
        self.take_sample();
        if let Some(link) = &mut self.link {
            link.encoder()
                .begin(awaited.generation, awaited.epoch, opening);
        }
    }

    /// The pages leave while QEMU is still letting the guest run.
    pub(super) fn send_pages(&mut self, engine: &mut Engine<P>) {
        let began = engine.now();
        let written = |link: &Option<PeerLink<P>>| {
            link.as_ref()
                .map_or(0, |link| link.outgoing.bytes_written())
        };
        let before = written(&self.link);
        self.flush_link(engine);
        let bytes = written(&self.link).saturating_sub(before);
        self.measured.written(bytes, since(began, engine.now()));
        if let Some(in_flight) = &mut self.in_flight {
            in_flight.burst_from = Some(began);
        }
    }

    pub(super) fn encode_state(&mut self) -> Result<(), Fatal> {
        let state = self.staging.read_device_state(&mut self.guest)?;
        if let Some(link) = &mut self.link {
            let mut encoder = link.encoder();
            encoder.device_state(self.staging.body(), state, self.shadow.device_state());
            encoder.outputs(self.hold.sealed().iter());
        }
        Ok(())
    }

    /// Nothing that was sent counts before this.
    pub(super) fn encode_commit(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        // A QEMU that died in the middle of the state would have ended it, too.
        if !makes(Fault::CommitUnconfirmed) {
            self.guest.confirm_state()?;
        }
        if let Some(link) = &mut self.link {
            link.encoder().commit();
            let end = link.outgoing.bytes_encoded();
            if let Some(in_flight) = &mut self.in_flight {
                engine
                    .statistics
                    .record_transaction(end - in_flight.begins_at);
                in_flight.commit_ends_at = Some(end);
            }
        }
        Ok(())
    }
}
