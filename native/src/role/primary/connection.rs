//! The primary's end of the link: getting it, serving it, losing it.

use super::baseline::Baseline;
use super::{Engine, Mode, PeerLink, Ports, Primary, ack_timeout};
use crate::control::Event;
use crate::fault::{Fault, makes};
use crate::guest::Vm;
use crate::limits::STRANGER_REST;
use crate::link::complaints::Complaints;
use crate::link::{Dial, DialError, LinkError};
use crate::release::PeerOutdated;
use crate::report;
use crate::wire::{
    ControlKind, FrameKind, Hello, HelloRole, TrialResult, Welcome, limits::PROTOCOL_VERSION,
};

impl<P: Ports> Primary<P> {
    /// Dials while there is no link, and gives up one that has died in silence.
    pub(super) fn keep_link(&mut self, engine: &mut Engine<P>) {
        if let Some(link) = &mut self.link {
            let stalled = link.stalled(engine.now());
            let silent = if let Some(waited) = self.overdue(engine) {
                Some(LinkError::Silent {
                    what: "acknowledged",
                    waited,
                })
            } else {
                (stalled >= ack_timeout(engine)).then_some(LinkError::Silent {
                    what: "taken our data",
                    waited: stalled,
                })
            };
            let kept = match (silent, &mut self.link) {
                (Some(error), _) => Err(error),
                (None, Some(link)) => link.keep_alive(engine.now()),
                (None, None) => Ok(()),
            };
            if let Err(error) = kept {
                self.lose_link(engine, &error);
            }
            return;
        }
        match engine.dialer.result() {
            Some(Ok((link, welcome))) => self.gain_link(engine, link, &welcome),
            Some(Err(error)) => self.note_dial_failure(engine, &error),
            None => {}
        }
        let wanted = matches!(self.mode, Mode::Solo(_) | Mode::Guarded);
        let calls = wanted && !self.calls.must_wait(engine.now());
        if self.link.is_none() && calls && !engine.dialer.is_busy() {
            engine.dialer.dial(self.calls.peer(), self.hello(engine));
        }
    }

    /// Nobody has, or may have, a replica of this generation that outputs wait for.
    pub(super) fn may_call_others(&self) -> bool {
        matches!(self.mode, Mode::Solo(_)) || makes(Fault::CallOthers)
    }

    /// Name of the node that is called, or was met last.
    pub(super) fn peer<'a>(&self, engine: &'a Engine<P>) -> &'a str {
        &engine.spec.peers[self.calls.peer()].node
    }

    fn hello(&self, engine: &Engine<P>) -> Hello {
        Hello {
            protocol: PROTOCOL_VERSION,
            resource: engine.spec.resource.clone(),
            vm_uuid: engine.spec.machine.uuid,
            node: engine.spec.node.clone(),
            engine_id: engine.id,
            engine_version: env!("CARGO_PKG_VERSION").to_owned(),
            role: HelloRole::Primary,
            generation: self.generation,
            acked_epoch: self.epoch,
            fingerprint: self.fingerprint.clone(),
        }
    }

    fn note_dial_failure(&mut self, engine: &Engine<P>, error: &DialError) {
        // The same failure four times a second is said once; so are a few that take turns.
        let message = format!("no link to {}: {}", self.peer(engine), report::chain(error));
        let now = engine.now();
        self.dial_complaints.due(now);
        if self.dial_complaints.note(message.clone(), now) {
            engine.complain(message);
        }
        self.calls.failed(self.may_call_others());
    }

    fn gain_link(&mut self, engine: &mut Engine<P>, link: PeerLink<P>, welcome: &Welcome) {
        // The greeting was made before this attempt; a generation may have begun since.
        if !matches!(self.mode, Mode::Solo(_) | Mode::Guarded) {
            return;
        }
        let expected = self.peer(engine);
        if welcome.node != expected {
            engine.complain(format!(
                "{expected} is called, and {} answers: check the sync addresses",
                welcome.node
            ));
            // It would answer again at once.
            let is_solo = self.may_call_others();
            return self.calls.rest(engine.now() + STRANGER_REST, is_solo);
        }
        self.calls.met();
        self.dial_complaints = Complaints::default();
        // What the secondary has of the last connection's transactions is not certain.
        if !makes(Fault::StaleBase) {
            self.shadow.forget();
        }
        self.measured.relearn(None);
        self.link = Some(link);
        engine.show_peer(true, Some(&welcome.node), Some(welcome.engine_id));
        match self.epoch_to_continue(engine, welcome) {
            Some(epoch) => {
                tracing::info!(
                    node = welcome.node,
                    epoch,
                    owed = self.owed.count(),
                    "the same replica is back"
                );
                self.epoch = epoch;
                // Whoever has it is not outdated, whatever was said.
                self.peer_outdated = None;
            }
            None => self.begin_baseline(engine, welcome),
        }
        self.show(engine);
    }

    /// The secondary's last epoch, if its replica is ours and we know everything that it lacks.
    fn epoch_to_continue(&self, engine: &Engine<P>, welcome: &Welcome) -> Option<u64> {
        let replica = welcome.replica.as_ref()?;
        let ours = matches!(self.mode, Mode::Guarded)
            && self.replica_holder == Some(welcome.engine_id)
            && replica.primary_engine_id == engine.id
            && replica.generation == self.generation;
        // One more than we know of: its ack was lost. What that epoch held back goes with the next one.
        (ours && (replica.epoch == self.epoch || replica.epoch == self.epoch + 1))
            .then_some(replica.epoch)
    }

    fn begin_baseline(&mut self, engine: &mut Engine<P>, welcome: &Welcome) {
        if let Err(error) = self.guest.track() {
            return self.give_up_tracking(engine, &error);
        }
        tracing::info!(
            node = welcome.node,
            generation = self.generation,
            "a baseline begins"
        );
        self.owed.fill();
        self.replica_holder = Some(welcome.engine_id);
        if !makes(Fault::OldFarewell) {
            self.peer_outdated = None;
        }
        self.last_acked = false;
        self.trial_failure = None;
        if let Some(link) = &mut self.link {
            let link_bytes = link.outgoing.bytes_encoded();
            let pages = self.staging.pages();
            let (compression, now) = (engine.tuning.compression, engine.now());
            self.baseline = Some(Baseline::new(pages, compression, link_bytes, now));
            link.encoder()
                .control(ControlKind::SyncBegin, self.generation, self.epoch + 1, &[]);
        }
        self.flush_link(engine);
    }

    /// Sends what waits.
    pub(super) fn flush_link(&mut self, engine: &mut Engine<P>) {
        let Some(link) = &mut self.link else { return };
        if let Err(error) = link.flush(self.staging.body()) {
            // A secondary that has left may have said so before: its farewell decides what may happen without it.
            self.read_link(engine, Err(error));
        }
    }

    /// Reads and writes what is possible.
    pub(super) fn serve_link(&mut self, engine: &mut Engine<P>) {
        let Some(link) = &mut self.link else { return };
        let flushed = link.flush(self.staging.body());
        self.read_link(engine, flushed.map(|_| ()));
    }

    /// Reads what is possible, and gives the link up if that fails or `written` has.
    fn read_link(&mut self, engine: &mut Engine<P>, written: Result<(), LinkError>) {
        let filled = match &mut self.link {
            Some(link) => link.fill(),
            None => return,
        };
        // Frames that arrived before the end of the connection count.
        let taken = loop {
            match self.take_frame(engine) {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = taken.and(written).and(filled.map(|_| ())) {
            self.lose_link(engine, &error);
        }
    }

    fn take_frame(&mut self, engine: &mut Engine<P>) -> Result<bool, LinkError> {
        let Some(link) = &mut self.link else {
            return Ok(false);
        };
        let Some(frame) = link.reader.next()? else {
            return Ok(false);
        };
        let header = frame.header;
        match header.kind {
            FrameKind::Ack => self.take_ack(engine, &header)?,
            FrameKind::TrialResult => {
                let result = TrialResult::from_payload(frame.payload)?;
                self.take_trial_result(engine, &header, result)?;
            }
            FrameKind::HandoverAck => self.take_handover_ack(&header)?,
            FrameKind::EndAck => self.take_end_ack(engine, &header)?,
            FrameKind::Farewell => self.take_farewell(engine, &header),
            FrameKind::Heartbeat => {}
            found => {
                return Err(LinkError::Turn {
                    found,
                    state: "this side is a primary",
                });
            }
        }
        Ok(true)
    }

    /// The secondary will never resume this generation.
    fn take_farewell(&mut self, engine: &mut Engine<P>, header: &crate::wire::Header) {
        tracing::info!(
            generation = header.generation,
            "the secondary leaves and says that it is outdated"
        );
        if let (Mode::Guarded, Some(proof)) = (
            &self.mode,
            PeerOutdated::from_frame(header, self.generation),
        ) {
            self.peer_outdated = Some(proof);
        }
        self.lose_link(engine, &LinkError::Closed);
        if matches!(self.mode, Mode::Guarded)
            && let Some(proof) = &self.peer_outdated
        {
            engine.events.send(Event::PeerOutdated {
                generation: proof.generation(),
            });
        }
    }

    /// Without a link nothing is acknowledged: outputs wait (frozen), unless there is no replica that they wait for.
    pub(super) fn lose_link(&mut self, engine: &mut Engine<P>, why: &LinkError) {
        if self.drop_link(engine) {
            engine.complain(format!(
                "the link to {} was lost: {}",
                self.peer(engine),
                report::chain(why)
            ));
            self.show(engine);
        }
    }

    /// Does what follows from the end of the link, if there is one; false if there is none.
    pub(super) fn drop_link(&mut self, engine: &mut Engine<P>) -> bool {
        let Some(link) = self.link.take() else {
            return false;
        };
        self.fail_in_flight(engine, link.sent_at_most());
        if self.baseline.take().is_some() {
            // Half a baseline is worth nothing.
            self.replica_holder = None;
        }
        self.fail_handover();
        self.end_told = false;
        engine.show_peer(false, None, None);
        true
    }
}
