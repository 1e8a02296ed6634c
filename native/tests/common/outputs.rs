//! What the primary has sent of its guest's packets, by the epochs that they wait for.

use std::collections::HashSet;

use kemari_engine::wire::Packets;

use super::GUEST_MAC;

/// Outputs that a proxy has seen.
#[derive(Debug, Default)]
pub struct Outputs {
    waiting: Vec<(u64, Vec<u8>)>,
    acked: HashSet<Vec<u8>>,
}

impl Outputs {
    /// The payload of an `Outputs` frame was carried.
    pub fn sent(&mut self, epoch: u64, payload: &[u8]) {
        let packets = Packets::decode(payload).expect("the primary's");
        self.waiting
            .extend(packets.map(|packet| (epoch, ethernet(packet).to_vec())));
    }

    /// The primary is told that the secondary has everything up to `epoch`.
    pub fn acked(&mut self, epoch: u64) {
        let (acked, waiting) = std::mem::take(&mut self.waiting)
            .into_iter()
            .partition(|(of, _)| *of <= epoch);
        self.waiting = waiting;
        let acked: Vec<_> = acked;
        self.acked.extend(acked.into_iter().map(|(_, frame)| frame));
    }

    /// Frames that must not be outside, as there is no other that is the same and may.
    pub fn withheld(&self) -> HashSet<Vec<u8>> {
        let frames = self.waiting.iter().map(|(_, frame)| frame);
        frames
            .filter(|frame| !self.acked.contains(*frame))
            .cloned()
            .collect()
    }
}

/// The packet without what tells the TAP device about it.
fn ethernet(packet: &[u8]) -> &[u8] {
    let starts = [0, 10, 12];
    let is_frame = |start: &usize| packet.get(start + 6..start + 12) == Some(&GUEST_MAC);
    let start = starts
        .into_iter()
        .find(is_frame)
        .expect("a frame of the guest");
    &packet[start..]
}
