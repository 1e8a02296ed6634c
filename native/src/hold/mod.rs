//! What the guest has sent and the world must not see yet.
//!
//! ```text
//!  push ─► open epoch ──seal──► sealed epoch ──Acked──► release/
//!               ▲                    │
//!               └──────unseal────────┘   the transaction failed: its outputs wait for the next one
//! ```

mod packet_log;

pub use packet_log::PacketLog;

use crate::limits::{HOLD_HIGH_WATER_PERCENT, PACKET_MAX_BYTES};

/// Outputs of the epoch that is running and of the one on its way to the secondary.
#[derive(Debug)]
pub struct Hold {
    open: PacketLog,
    sealed: PacketLog,
    sealed_epoch: Option<u64>,
    bound_bytes: usize,
}

impl Hold {
    /// An empty hold for at most `bound_bytes` bytes, and what of its last packet is beyond them. It has the memory for that:
    /// packets are taken while the guest stands still, where nothing is allocated.
    pub fn new(bound_bytes: usize) -> Self {
        let most = bound_bytes + PACKET_MAX_BYTES;
        Self {
            open: PacketLog::with_capacity(most),
            sealed: PacketLog::with_capacity(most),
            sealed_epoch: None,
            bound_bytes,
        }
    }

    /// Adds a packet of the running epoch. The caller has asked whether the hold is full.
    pub fn push(&mut self, packet: &[u8]) {
        debug_assert!(!self.is_full(), "nothing is taken that has no room");
        self.open.push(packet);
    }

    /// Whether no more may be taken: what comes stays in QEMU's socket.
    pub fn is_full(&self) -> bool {
        self.charged() >= self.bound_bytes
    }

    /// Whether the guest must be paused, so that what it has sent already still fits.
    pub fn is_above_high_water(&self) -> bool {
        self.charged() >= self.bound_bytes / 100 * HOLD_HIGH_WATER_PERCENT
    }

    fn charged(&self) -> usize {
        self.open.charged() + self.sealed.charged()
    }

    /// Packets held.
    pub fn packets(&self) -> usize {
        self.open.len() + self.sealed.len()
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.open.bytes() + self.sealed.bytes()
    }

    /// Ends the running epoch: its outputs now belong to `epoch`.
    ///
    /// # Panics
    /// If another epoch is sealed already.
    pub fn seal(&mut self, epoch: u64) {
        assert!(
            self.sealed_epoch.is_none(),
            "one epoch at a time is on its way"
        );
        std::mem::swap(&mut self.open, &mut self.sealed);
        self.sealed_epoch = Some(epoch);
    }

    /// The outputs of the sealed epoch.
    pub fn sealed(&self) -> &PacketLog {
        &self.sealed
    }

    /// Takes the sealed epoch back: its transaction failed. Order is kept.
    pub fn unseal(&mut self) {
        if self.sealed_epoch.take().is_some() {
            self.sealed.append(&mut self.open);
            std::mem::swap(&mut self.open, &mut self.sealed);
        }
    }

    /// The outputs that may go, if `epoch` is the one that was sealed. Only `release/` asks, and only with a permit.
    pub(crate) fn settle(&mut self, epoch: u64, release: impl FnOnce(&PacketLog)) {
        assert_eq!(
            self.sealed_epoch.take(),
            Some(epoch),
            "an ack for another epoch"
        );
        release(&self.sealed);
        self.sealed.clear();
    }

    /// All outputs, when nothing has to wait any more.
    pub(crate) fn settle_all(&mut self, release: impl FnOnce(&PacketLog)) {
        self.unseal();
        release(&self.open);
        self.open.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn drained(hold: &mut Hold) -> Vec<Vec<u8>> {
        let mut seen = Vec::new();
        hold.settle_all(|log| seen.extend(log.iter().map(<[u8]>::to_vec)));
        seen
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8),
        Seal,
        Fail,
        Ack,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            any::<u8>().prop_map(Step::Push),
            Just(Step::Seal),
            Just(Step::Fail),
            Just(Step::Ack)
        ]
    }

    proptest! {
        /// Whatever fails on the way, every packet leaves once, in order, and none before the ack of its epoch.
        #[test]
        fn outputs_leave_once_in_order_and_only_after_their_ack(steps in prop::collection::vec(step(), 0..60)) {
            let mut hold = Hold::new(1 << 20);
            let (mut pushed, mut released, mut sealed_upto, mut epoch) = (Vec::new(), Vec::new(), None, 0);
            for step in steps {
                match step {
                    Step::Push(byte) => { hold.push(&[byte]); pushed.push(vec![byte]); }
                    Step::Seal if sealed_upto.is_none() => { epoch += 1; hold.seal(epoch); sealed_upto = Some(pushed.len()); }
                    Step::Fail => { hold.unseal(); sealed_upto = None; }
                    Step::Ack => if let Some(upto) = sealed_upto.take() {
                        hold.settle(epoch, |log| released.extend(log.iter().map(<[u8]>::to_vec)));
                        prop_assert_eq!(&released[..], &pushed[..upto]);
                    },
                    Step::Seal => {}
                }
                prop_assert_eq!(hold.packets(), pushed.len() - released.len());
            }
            released.extend(drained(&mut hold));
            prop_assert_eq!(released, pushed);
            prop_assert_eq!(hold.bytes(), 0);
        }
    }

    #[test]
    fn the_guest_is_paused_before_the_hold_is_full() {
        let mut hold = Hold::new(65_536);
        hold.push(&vec![0; 33_000]);
        assert!(hold.is_above_high_water() && !hold.is_full());
        hold.push(&vec![0; 33_000]);
        assert!(hold.is_full());
    }

    #[test]
    fn a_hold_that_is_full_of_whatever_packets_has_had_the_memory_from_the_beginning() {
        for length in [0, 1, 14, 63, 64, 65, 1514, PACKET_MAX_BYTES] {
            let mut hold = Hold::new(65_536);
            let memory = |hold: &Hold| [hold.open.memory(), hold.sealed.memory()];
            let before = memory(&hold);
            for epoch in 1..20 {
                while !hold.is_full() {
                    hold.push(&vec![0; length]);
                    if epoch % 3 == 0 && hold.packets().is_multiple_of(7) {
                        hold.unseal();
                        hold.seal(epoch);
                    }
                }
                assert!(hold.bytes() < 65_536 + PACKET_MAX_BYTES, "{length}");
                let (now, then) = (memory(&hold), before);
                assert!(now == then || now == [then[1], then[0]], "{length}");
                hold.settle_all(|_| {});
            }
        }
    }

    #[test]
    #[should_panic(expected = "another epoch")]
    fn an_ack_for_another_epoch_releases_nothing() {
        let mut hold = Hold::new(65_536);
        hold.seal(7);
        hold.settle(8, |_| {});
    }
}
