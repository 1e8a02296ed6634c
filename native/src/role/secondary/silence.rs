//! While the primary is silent: what the world sends to the guest is kept for it.

use std::collections::BTreeSet;

use super::super::{Engine, Ports};
use super::Secondary;
use crate::limits::{MIRRORED_PACKET_MAX_BYTES, PACKETS_PER_TURN};

impl<P: Ports> Secondary<P> {
    /// A primary that says nothing may be dead: what the world sends to the guest should come here.
    pub(super) fn notice_silence(&mut self, engine: &Engine<P>) {
        if !self.replica.is_complete() || !self.strays.begins(engine.now()) {
            return;
        }
        let interfaces = engine.spec.machine.interfaces.iter();
        let bridges: BTreeSet<&String> = interfaces.filter_map(|one| one.bridge.as_ref()).collect();
        for bridge in bridges {
            match engine.ports.forget_addresses(bridge) {
                Ok(()) => tracing::info!(
                    bridge,
                    "the primary is silent: frames for the guest are kept"
                ),
                Err(error) => tracing::warn!(
                    bridge,
                    %error,
                    "the primary is silent, but the bridge does not forget where the guest was: what is sent to it is lost until it is repeated"
                ),
            }
        }
    }

    /// Frames that a bridge sends to this side too. Nobody here wants them, unless nobody gets them elsewhere.
    pub(super) fn take_strays(&mut self, engine: &Engine<P>) {
        // What is cut off is not wanted.
        let mut frame = [0; MIRRORED_PACKET_MAX_BYTES];
        for _ in 0..PACKETS_PER_TURN {
            match engine.outlet.receive(&mut frame) {
                Ok(Some(length)) if length < frame.len() => {
                    self.strays.take(&frame[..length], engine.now());
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}
