//! Frames, as far as the proxy understands them, and what it counts of them.

use std::io::{self, Read};

/// Kinds of frames that it looks at (`native/src/wire/frame.rs`).
pub(super) const SYNC_BEGIN: u16 = 4;
pub(super) const BEGIN: u16 = 6;
pub(super) const OUTPUTS: u16 = 9;
pub(super) const COMMIT: u16 = 10;
pub(super) const ACK: u16 = 12;
pub(super) const HANDOVER: u16 = 13;
pub(super) const HANDOVER_ACK: u16 = 14;
const DEVICE_STATE: u16 = 8;
const DEVICE_DELTA: u16 = 20;
pub(super) const HEARTBEAT: u16 = 23;
pub(super) const HEADER_BYTES: usize = 64;

/// One frame, header and payload.
pub(super) struct Frame {
    pub(super) bytes: Vec<u8>,
    pub(super) kind: u16,
    pub(super) epoch: u64,
}

impl Frame {
    pub(super) fn read(from: &mut impl Read) -> io::Result<Self> {
        let mut bytes = vec![0; HEADER_BYTES];
        from.read_exact(&mut bytes)?;
        let kind = u16::from_le_bytes(field(&bytes, 6));
        let length = u32::from_le_bytes(field(&bytes, 12));
        let epoch = u64::from_le_bytes(field(&bytes, 24));
        bytes.resize(HEADER_BYTES + length as usize, 0);
        from.read_exact(&mut bytes[HEADER_BYTES..])?;
        Ok(Self { bytes, kind, epoch })
    }

    /// Whether its payload is not packed.
    pub(super) fn is_plain(&self) -> bool {
        u32::from_le_bytes(field(&self.bytes, 8)) == 0
    }
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("within the header")
}

/// What the secondary was sent since it was last asked for.
#[derive(Debug, Clone, Copy, Default)]
pub struct Carried {
    /// Bytes of all frames.
    pub bytes: usize,
    /// Frames whose payload is packed.
    pub packed: usize,
    /// Transactions with all of the device state.
    pub whole_device_states: usize,
    /// Transactions with the changes of the device state.
    pub changed_device_states: usize,
    /// Bytes of these changes.
    pub changed_device_bytes: usize,
}

impl Carried {
    pub(super) fn add(&mut self, frame: &Frame) {
        self.bytes += frame.bytes.len();
        self.packed += usize::from(!frame.is_plain());
        match frame.kind {
            DEVICE_STATE => self.whole_device_states += 1,
            DEVICE_DELTA => {
                self.changed_device_states += 1;
                self.changed_device_bytes += frame.bytes.len() - HEADER_BYTES;
            }
            _ => {}
        }
    }
}
