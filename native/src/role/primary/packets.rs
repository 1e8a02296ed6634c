//! Packets between the guest and the world.

use super::{Engine, Fatal, Mode, Ports, Primary};
use crate::guest::Vm;
use crate::limits::{
    MIRRORED_INPUTS_MAX_BYTES, MIRRORED_PACKET_MAX_BYTES, MIRRORING_BACKLOG_MAX_BYTES,
    PACKETS_PER_TURN,
};
use crate::wire::ControlKind;

impl<P: Ports> Primary<P> {
    /// Takes what the guest has sent: into the hold, or straight out if this engine runs the only copy.
    pub(super) fn take_outputs(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        let before = self.hold.packets();
        for _ in 0..PACKETS_PER_TURN {
            if self.hold.is_full() || !self.take_output(engine)? {
                break;
            }
        }
        self.count_outputs(engine, before);
        Ok(())
    }

    /// Takes what the stopped guest had sent before it was stopped: it belongs to the epoch that ends. The socket is bounded,
    /// so this ends.
    ///
    /// False if the hold had no room for all of it: the rest stays in the socket, is taken later, and waits for the ack of a
    /// later epoch, which contains this one.
    pub(super) fn drain_outputs(&mut self, engine: &mut Engine<P>) -> Result<bool, Fatal> {
        let before = self.hold.packets();
        let all_taken = loop {
            if self.hold.is_full() {
                break false;
            }
            if !self.take_output(engine)? {
                break true;
            }
        };
        self.count_outputs(engine, before);
        Ok(all_taken)
    }

    fn count_outputs(&mut self, engine: &Engine<P>, before: usize) {
        let joined = u32::try_from(self.hold.packets() - before).unwrap_or(u32::MAX);
        self.policy.output(joined, engine.now());
    }

    fn take_output(&mut self, engine: &mut Engine<P>) -> Result<bool, Fatal> {
        let Some(length) = self
            .guest
            .receive(&mut self.packet[..])
            .map_err(Fatal::Network)?
        else {
            return Ok(false);
        };
        match &self.mode {
            Mode::Solo(permit) => engine.outlet.release_packet(permit, &self.packet[..length]),
            Mode::Guarded => self.hold.push(&self.packet[..length]),
            Mode::Parked | Mode::Ended => {}
        }
        Ok(true)
    }

    /// Gives the guest what the world has sent, and the secondary a copy.
    ///
    /// An input is part of no epoch, and nothing waits for the copy: what a failover loses the sender repeats. But it
    /// repeats after a time-out that has doubled with each try while nobody answered; with the copy the promoted guest
    /// answers at once.
    pub(super) fn take_inputs(&mut self, engine: &mut Engine<P>) -> Result<(), Fatal> {
        for _ in 0..PACKETS_PER_TURN {
            let Some(length) = engine
                .outlet
                .receive(&mut self.packet[..])
                .map_err(Fatal::Network)?
            else {
                break;
            };
            if !matches!(self.mode, Mode::Parked | Mode::Ended) {
                // A full queue loses the packet, as any network does.
                self.guest
                    .deliver(&self.packet[..length])
                    .map_err(Fatal::Network)?;
                self.mirror(length);
            }
        }
        self.flush_link(engine);
        Ok(())
    }

    /// Sends the secondary a copy of the packet that was just received; of an epoch's as many as it keeps, so that a flood does
    /// not take the link from the checkpoints. A guest that has been handed over has none any more.
    pub(super) fn mirror(&mut self, length: usize) {
        let wanted = matches!(self.mode, Mode::Guarded) && self.baseline.is_none();
        if let Some(link) = &mut self.link
            && wanted
            && length <= MIRRORED_PACKET_MAX_BYTES
            && (self.mirrored + length <= MIRRORED_INPUTS_MAX_BYTES
                || self.forwarding_until.is_some())
            && link.outgoing.pending_bytes() <= MIRRORING_BACKLOG_MAX_BYTES
        {
            self.mirrored += length;
            let packet = &self.packet[..length];
            link.encoder()
                .control(ControlKind::Input, self.generation, self.epoch, packet);
        }
    }
}
