//! A frame's header: fixed, 64 bytes, little-endian.
//!
//! ```text
//!  0  magic "KMRI"      4  version u16        6  kind u16          8  packing u32      12  payload_len u32
//! 16  generation u64   24  epoch u64         32  sequence u64     40  payload_checksum u64
//! 48  session u64      56  header_checksum u64, xxh3-64 of the bytes before it
//! ```
//! `packing`: 0, or a [`Codec`]'s number in a frame whose kind may be packed. `payload_len` and `payload_checksum` are those of
//! the payload as it travels.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::limits::{HEADER_BYTES, MAX_PAYLOAD, PROTOCOL_VERSION};
use super::packing::{Codec, PackingError};

const MAGIC: [u8; 4] = *b"KMRI";
const CHECKED_BYTES: usize = 56;

/// What a frame says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum FrameKind {
    /// Primary: who I am, which guest, how it is built.
    Hello = 1,
    /// Secondary: welcome, this is the replica that I hold.
    Welcome = 2,
    /// Secondary: no, and why.
    Refuse = 3,
    /// Primary: a baseline starts; from here on the replica is worthless until the next complete transaction.
    SyncBegin = 4,
    /// Primary: pages of a baseline, applied directly.
    SyncPages = 5,
    /// Primary: a transaction starts.
    Begin = 6,
    /// Primary: pages of the transaction.
    Pages = 7,
    /// Primary: a piece of the transaction's device state.
    DeviceState = 8,
    /// Primary: packets that the epoch wants to send and that wait for its ack.
    Outputs = 9,
    /// Primary: the transaction is complete; counts and digest.
    Commit = 10,
    /// Secondary: I hold all of this epoch.
    Ack = 12,
    /// Primary: the last checkpoint was acked and the guest is stopped: it is yours.
    Handover = 13,
    /// Secondary: I have taken note that the guest is mine.
    HandoverAck = 14,
    /// Secondary: my replica of this generation is outdated or gone.
    Farewell = 15,
    /// Primary: the guest powered itself off; its generation is over.
    End = 16,
    /// Secondary: I will not bring it back to life.
    EndAck = 17,
    /// Primary: a packet that the guest was given since the last checkpoint.
    Input = 18,
    /// Primary: pages of the transaction as their changes since the epoch before.
    Deltas = 19,
    /// Primary: the transaction's device state as its changes since the epoch before.
    DeviceDelta = 20,
    /// Primary: I would like to talk; half of the session's number. The first frame.
    Call = 21,
    /// Secondary: the other half; prove that you have heard it.
    Challenge = 22,
    /// Both: I am here, and have nothing else to say.
    Heartbeat = 23,
    /// Primary: a piece of the device state that belongs to the baseline sent so far, for a trial.
    TrialState = 24,
    /// Primary: that was all of it; try it. Until the answer no page is sent.
    Trial = 25,
    /// Secondary: whether the guest could go on here.
    TrialResult = 26,
}

impl FrameKind {
    /// Whether an [`super::Assembly`] takes this frame.
    pub fn is_transaction(self) -> bool {
        matches!(
            self,
            Self::Begin
                | Self::Pages
                | Self::Deltas
                | Self::DeviceState
                | Self::DeviceDelta
                | Self::Outputs
                | Self::Commit
        )
    }

    /// Whether its payload may travel packed: those of which there is much. Nothing is unpacked for a stranger.
    pub fn may_be_packed(self) -> bool {
        matches!(
            self,
            Self::SyncPages
                | Self::Pages
                | Self::Deltas
                | Self::DeviceState
                | Self::DeviceDelta
                | Self::Outputs
        )
    }

    pub(super) fn from_wire(found: u16) -> Option<Self> {
        Some(match found {
            1 => Self::Hello,
            2 => Self::Welcome,
            3 => Self::Refuse,
            4 => Self::SyncBegin,
            5 => Self::SyncPages,
            6 => Self::Begin,
            7 => Self::Pages,
            8 => Self::DeviceState,
            9 => Self::Outputs,
            10 => Self::Commit,
            12 => Self::Ack,
            13 => Self::Handover,
            14 => Self::HandoverAck,
            15 => Self::Farewell,
            16 => Self::End,
            17 => Self::EndAck,
            18 => Self::Input,
            19 => Self::Deltas,
            20 => Self::DeviceDelta,
            21 => Self::Call,
            22 => Self::Challenge,
            23 => Self::Heartbeat,
            24 => Self::TrialState,
            25 => Self::Trial,
            26 => Self::TrialResult,
            _ => return None,
        })
    }
}

/// What is wrong with a frame. After any of these the connection is of no more use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The peer does not speak this protocol, or the stream has lost its place.
    #[error("frame starts with {found:02x?}, expected {MAGIC:02x?} (\"KMRI\")")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Another protocol version.
    #[error(
        "the peer speaks version {found} of the protocol, this engine version {PROTOCOL_VERSION}: install the same \
         Kemari on both hosts"
    )]
    Version {
        /// The peer's version.
        found: u16,
    },
    /// The header was changed on its way.
    #[error("header checksum is {found:#018x}, expected {expected:#018x}")]
    HeaderChecksum {
        /// Computed from the bytes received.
        expected: u64,
        /// Read from the header.
        found: u64,
    },
    /// A kind that this version does not have.
    #[error("frame kind {found} is unknown to protocol version {PROTOCOL_VERSION}")]
    Kind {
        /// The number found.
        found: u16,
    },
    /// A packing that this version does not have, or not for this kind.
    #[error("{kind:?} frame has packing {found}, which it cannot have")]
    Packing {
        /// The frame's kind.
        kind: FrameKind,
        /// The number found.
        found: u32,
    },
    /// A payload beyond the bound.
    #[error("payload of {found} bytes, expected at most {MAX_PAYLOAD}")]
    PayloadTooLong {
        /// The length found, bytes.
        found: u32,
    },
    /// The payload was changed on its way.
    #[error(
        "{kind:?} frame {sequence}: payload checksum is {found:#018x}, expected {expected:#018x}"
    )]
    PayloadChecksum {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's number.
        sequence: u64,
        /// Read from the header.
        expected: u64,
        /// Computed from the payload received.
        found: u64,
    },
    /// The payload cannot be unpacked.
    #[error("the payload of {kind:?} frame {sequence} cannot be unpacked")]
    Packed {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's number.
        sequence: u64,
        /// Why.
        source: PackingError,
    },
    /// A frame was lost, repeated or reordered.
    #[error("{kind:?} frame has number {found}, expected {expected}")]
    Sequence {
        /// The frame's kind.
        kind: FrameKind,
        /// The number that comes next.
        expected: u64,
        /// Read from the header.
        found: u64,
    },
    /// A frame of another connection.
    #[error(
        "{kind:?} frame {sequence} belongs to another connection: it was recorded there, or went astray"
    )]
    Session {
        /// The frame's kind.
        kind: FrameKind,
        /// The frame's number.
        sequence: u64,
    },
    /// A connection begins otherwise.
    #[error("the connection begins with {found:?}, expected {expected:?}")]
    Opening {
        /// What belongs here.
        expected: FrameKind,
        /// What is here.
        found: FrameKind,
    },
}

/// A frame's header, without what is the same in every frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// What the frame says.
    pub kind: FrameKind,
    /// How the payload travels; as it is if `None`.
    pub packing: Option<Codec>,
    /// Length of the payload as it travels, bytes.
    pub payload_len: u32,
    /// The generation that the frame belongs to.
    pub generation: u64,
    /// The epoch that the frame belongs to.
    pub epoch: u64,
    /// Number of the frame in this direction of this connection, from 0.
    pub sequence: u64,
    /// xxh3-64 of the payload as it travels.
    pub payload_checksum: u64,
    /// The connection that the frame belongs to ([`super::session()`]).
    pub session: u64,
}

impl Header {
    /// The header of an ack, as a test may forge one.
    #[cfg(test)]
    pub(crate) fn forged_ack(generation: u64, epoch: u64) -> Self {
        Self {
            kind: FrameKind::Ack,
            packing: None,
            payload_len: 0,
            generation,
            epoch,
            sequence: 0,
            session: 0,
            payload_checksum: 0,
        }
    }

    /// The header as it travels. Only `wire` makes frames, so that nothing else can make an `Ack`.
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        bytes[6..8].copy_from_slice(&(self.kind as u16).to_le_bytes());
        let packing = self.packing.map_or(0, |codec| codec as u32);
        bytes[8..12].copy_from_slice(&packing.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.generation.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.payload_checksum.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.session.to_le_bytes());
        let checksum = xxh3_64(&bytes[..CHECKED_BYTES]);
        bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads and checks a header.
    ///
    /// # Errors
    /// [`FrameError`] for anything that this version would not have sent.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Self, FrameError> {
        let magic = field::<4>(bytes, 0);
        if magic != MAGIC {
            return Err(FrameError::Magic { found: magic });
        }
        let version = u16::from_le_bytes(field(bytes, 4));
        if version != PROTOCOL_VERSION {
            return Err(FrameError::Version { found: version });
        }
        let expected = xxh3_64(&bytes[..CHECKED_BYTES]);
        let found = u64::from_le_bytes(field(bytes, CHECKED_BYTES));
        if found != expected {
            return Err(FrameError::HeaderChecksum { expected, found });
        }
        let kind_number = u16::from_le_bytes(field(bytes, 6));
        let kind =
            FrameKind::from_wire(kind_number).ok_or(FrameError::Kind { found: kind_number })?;
        let packing = match u32::from_le_bytes(field(bytes, 8)) {
            0 => None,
            1 if kind.may_be_packed() => Some(Codec::Lz4),
            2 if kind.may_be_packed() => Some(Codec::Zstd),
            found => return Err(FrameError::Packing { kind, found }),
        };
        let payload_len = u32::from_le_bytes(field(bytes, 12));
        if payload_len as usize > MAX_PAYLOAD {
            return Err(FrameError::PayloadTooLong { found: payload_len });
        }
        Ok(Self {
            kind,
            packing,
            payload_len,
            generation: u64::from_le_bytes(field(bytes, 16)),
            epoch: u64::from_le_bytes(field(bytes, 24)),
            sequence: u64::from_le_bytes(field(bytes, 32)),
            payload_checksum: u64::from_le_bytes(field(bytes, 40)),
            session: u64::from_le_bytes(field(bytes, 48)),
        })
    }
}

fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    let mut field = [0; N];
    field.copy_from_slice(&bytes[at..at + N]);
    field
}

/// A whole frame whose checksums and number have been checked, its payload unpacked.
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Its header.
    pub header: Header,
    /// Its payload.
    pub payload: &'a [u8],
}

#[cfg(test)]
mod tests;
