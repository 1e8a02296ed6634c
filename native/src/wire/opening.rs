//! What a transaction begins with.

use super::cursor::Cursor;

/// Size of the payload of `Begin`, bytes.
pub(super) const OPENING_BYTES: usize = 24;

/// The payload of `Begin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Opening {
    /// The last epoch whose outputs had left the primary.
    pub released_epoch: u64,
    /// When the guest was stopped, by the primary's clock of the day: nanoseconds since 1970.
    pub captured_ns: u64,
    /// By how much the guest's clocks were behind the primary's then, nanoseconds.
    pub lag_ns: u64,
}

impl Opening {
    pub(super) fn encode(&self) -> [u8; OPENING_BYTES] {
        let mut bytes = [0; OPENING_BYTES];
        bytes[0..8].copy_from_slice(&self.released_epoch.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.captured_ns.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.lag_ns.to_le_bytes());
        bytes
    }

    /// `None` if the payload is not exactly [`OPENING_BYTES`] long.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let opening = Self {
            released_epoch: cursor.u64()?,
            captured_ns: cursor.u64()?,
            lag_ns: cursor.u64()?,
        };
        cursor.rest().is_empty().then_some(opening)
    }
}
