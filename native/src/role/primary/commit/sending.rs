//! What was captured becomes the frames of one transaction, and they leave.

use crate::fault::{Fault, makes};
use crate::guest::Vm;
use crate::link::LinkError;
use crate::release::Awaited;
use crate::role::primary::encoding::since;
use crate::role::primary::{Engine, Fatal, PeerLink, Ports, Primary, ack_timeout};
use crate::wire::{CapturedRun, Opening};

/// Pages of `runs`.
pub(in super::super) fn pages_in(runs: &[CapturedRun]) -> usize {
    runs.iter().map(|run| run.pages as usize).sum()
}

impl<P: Ports> Primary<P> {
    /// Whatever sending the epoch may need is there before the guest is stopped.
    pub(super) fn prepare_sending(&mut self, engine: &Engine<P>) {
        self.take_sample();
        let codec = self.measured.chooser.next().codec;
        if let Some(link) = &mut self.link {
            link.encoder().pack_by(codec);
        }
        self.reserve_parts(engine);
    }

    /// Takes all the memory that encoding pages in parts may need, as they are packed now.
    pub(in super::super) fn reserve_parts(&mut self, engine: &Engine<P>) {
        if let Some(link) = &mut self.link {
            let pages = engine.sizes.baseline_chunk_pages;
            link.encoder().reserve_pages(pages);
        }
    }

    /// Sends those of the captured pages for which the staging area has no room, while the guest waits, which also slows its
    /// writing down; returns where the others begin, `None` if there is room for all. The parts are small, because the memory to
    /// encode them has been taken before.
    pub(super) fn send_excess(
        &mut self,
        engine: &Engine<P>,
        awaited: Awaited,
        opening: &Opening,
    ) -> Result<Option<usize>, LinkError> {
        let mut excess = (self.captured.count()).saturating_sub(self.staging.pages());
        if excess == 0 {
            return Ok(None);
        }
        // They are not in the staging area any more when all of it has been sent.
        if !makes(Fault::KeepBasesOfParts) {
            self.shadow.forget();
        }
        self.encode_begin(awaited, opening);
        let mut from = 0;
        while excess > 0
            && let Some(next) = self.staging.copy(
                |offset, into| self.guest.capture(offset, into),
                &self.captured,
                from,
                excess.min(engine.sizes.baseline_chunk_pages),
            )
        {
            self.encode_pages(engine);
            self.flush_link_now(engine)?;
            excess -= pages_in(self.staging.runs());
            from = next;
        }
        Ok(Some(from))
    }

    /// Writes everything, and waits for it.
    pub(in super::super) fn flush_link_now(&mut self, engine: &Engine<P>) -> Result<(), LinkError> {
        let link = self.link.as_mut().ok_or(LinkError::Closed)?;
        let patience = ack_timeout(engine);
        link.flush_all(self.staging.body(), patience, &engine.clock, || {
            engine.board.beat();
        })
    }

    pub(super) fn encode_begin(&mut self, awaited: Awaited, opening: &Opening) {
        if let Some(link) = &mut self.link {
            link.encoder()
                .begin(awaited.generation, awaited.epoch, opening);
        }
    }

    /// The pages leave while QEMU is still letting the guest run; `all` of the transaction's.
    pub(super) fn send_pages(&mut self, engine: &mut Engine<P>, all: bool) {
        let began = engine.now();
        let written = |link: &Option<PeerLink<P>>| {
            link.as_ref()
                .map_or(0, |link| link.outgoing.bytes_written())
        };
        let before = written(&self.link);
        self.flush_link(engine);
        let bytes = written(&self.link).saturating_sub(before);
        self.measured.written(bytes, since(began, engine.now()));
        if all && let Some(in_flight) = &mut self.in_flight {
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
