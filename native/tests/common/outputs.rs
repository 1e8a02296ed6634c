//! What the primary has sent of its guest's packets, by the epochs that they wait for.

use std::collections::HashSet;

use kemari_engine::wire::Packets;

use super::GUEST_MACS;

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

/// The packet without the number of its interface.
fn ethernet(packet: &[u8]) -> &[u8] {
    let (number, frame) = packet.split_first().expect("a number");
    assert_eq!(
        frame[6..12],
        GUEST_MACS[usize::from(*number)],
        "a frame of the guest"
    );
    frame
}
