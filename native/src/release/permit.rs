//! The permits that invariants I1 to I3 demand, as values that cannot be had otherwise.

use crate::wire::{FrameKind, Header};

/// The transaction whose ack is awaited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Awaited {
    /// Its generation.
    pub generation: u64,
    /// Its epoch.
    pub epoch: u64,
}

/// The secondary holds all of this epoch (I1).
#[derive(Debug, PartialEq, Eq)]
pub struct Acked {
    epoch: u64,
}

impl Acked {
    /// The only constructor: from an ack frame that names exactly the awaited transaction.
    pub fn from_frame(header: &Header, awaited: Awaited) -> Option<Self> {
        let matches = header.kind == FrameKind::Ack
            && header.generation == awaited.generation
            && header.epoch == awaited.epoch;
        matches.then_some(Self {
            epoch: awaited.epoch,
        })
    }

    /// Which epoch.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

/// The secondary's own word that it will never resume this generation (I2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerOutdated {
    generation: u64,
}

impl PeerOutdated {
    /// The only constructor: from a farewell frame for the generation that we are in.
    pub fn from_frame(header: &Header, generation: u64) -> Option<Self> {
        (header.kind == FrameKind::Farewell && header.generation == generation)
            .then_some(Self { generation })
    }

    /// Which generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

/// This engine runs the only copy of the guest, in a generation that it was allowed to begin.
#[derive(Debug, PartialEq, Eq)]
pub struct Solo {
    generation: u64,
}

impl Solo {
    /// A guest that was just booted: no replica of this generation exists anywhere.
    pub fn cold_start(generation: u64) -> Self {
        Self { generation }
    }

    /// The cluster promoted this engine: the former primary is proven gone (I3) and generation is new.
    pub fn promoted(generation: u64) -> Self {
        Self { generation }
    }

    /// The secondary said that it is outdated, and the supervisor has durably begun `generation`.
    ///
    /// Returns the proof back if `generation` does not follow the one it speaks of.
    ///
    /// # Errors
    /// The proof, unused.
    pub fn peer_outdated(proof: PeerOutdated, generation: u64) -> Result<Self, PeerOutdated> {
        if generation > proof.generation {
            Ok(Self { generation })
        } else {
            Err(proof)
        }
    }

    /// Which generation.
    pub fn generation(&self) -> u64 {
        self.generation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: FrameKind, generation: u64, epoch: u64) -> Header {
        Header {
            kind,
            packing: None,
            payload_len: 0,
            generation,
            epoch,
            sequence: 0,
            payload_checksum: 0,
            session: 0,
        }
    }

    #[test]
    fn only_the_ack_of_the_awaited_transaction_is_a_permit() {
        let awaited = Awaited {
            generation: 2,
            epoch: 7,
        };
        assert!(Acked::from_frame(&header(FrameKind::Ack, 2, 7), awaited).is_some());
        for wrong in [
            (FrameKind::Ack, 2, 6),
            (FrameKind::Ack, 2, 8),
            (FrameKind::Ack, 1, 7),
            (FrameKind::Commit, 2, 7),
        ] {
            assert_eq!(
                Acked::from_frame(&header(wrong.0, wrong.1, wrong.2), awaited),
                None,
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn solo_needs_the_peers_word_for_this_generation_and_a_new_one() {
        assert_eq!(
            PeerOutdated::from_frame(&header(FrameKind::Farewell, 1, 0), 2),
            None
        );
        let proof = PeerOutdated::from_frame(&header(FrameKind::Farewell, 2, 0), 2).expect("proof");
        assert!(Solo::peer_outdated(proof, 2).is_err());
        assert_eq!(Solo::peer_outdated(proof, 3).expect("solo").generation(), 3);
    }
}
