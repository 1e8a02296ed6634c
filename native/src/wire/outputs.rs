//! The payload of `Outputs`: packets that wait for their epoch's ack.
//!
//! ```text
//! u32 count, count × { u32 len, len bytes }
//! ```
//! What a packet holds is no matter of this format: the number of an interface and a frame ([`crate::interfaces`]).

use thiserror::Error;

use super::cursor::Cursor;
use super::limits::MAX_PACKET;

/// What is wrong with a list of packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum OutputsError {
    /// A list of no packets.
    #[error("outputs announce no packets")]
    Empty,
    /// A packet beyond the bound.
    #[error("packet {index} has {found} bytes, expected at most {MAX_PACKET}")]
    PacketTooLong {
        /// Its place in the list, from 0.
        index: u32,
        /// Its length, bytes.
        found: u32,
    },
    /// The payload ends before the announced packets do.
    #[error("outputs end within packet {index} of {count}")]
    Torn {
        /// The packet, from 0.
        index: u32,
        /// Packets announced.
        count: u32,
    },
    /// Bytes after the last packet.
    #[error("{found} bytes follow the last of {count} packets")]
    Trailing {
        /// Bytes too many.
        found: usize,
        /// Packets announced.
        count: u32,
    },
}

/// The packets of checked `Outputs` payloads, in order.
#[derive(Debug, Clone)]
pub struct Packets<'a> {
    rest: Cursor<'a>,
    left_in_payload: u32,
}

impl<'a> Packets<'a> {
    /// Checks one payload.
    ///
    /// # Errors
    /// [`OutputsError`] if the list is not well-formed.
    pub fn decode(payload: &'a [u8]) -> Result<Self, OutputsError> {
        let mut cursor = Cursor::new(payload);
        let count = cursor
            .u32()
            .ok_or(OutputsError::Torn { index: 0, count: 0 })?;
        if count == 0 {
            return Err(OutputsError::Empty);
        }
        for index in 0..count {
            let found = cursor.u32().ok_or(OutputsError::Torn { index, count })?;
            if found as usize > MAX_PACKET {
                return Err(OutputsError::PacketTooLong { index, found });
            }
            cursor
                .take(found as usize)
                .ok_or(OutputsError::Torn { index, count })?;
        }
        match cursor.rest().len() {
            0 => Ok(Self::of_checked(payload)),
            found => Err(OutputsError::Trailing { found, count }),
        }
    }

    /// Packets of any number of payloads, one behind the other, that `decode` has accepted one by one.
    pub(super) fn of_checked(payloads: &'a [u8]) -> Self {
        Self {
            rest: Cursor::new(payloads),
            left_in_payload: 0,
        }
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.left_in_payload == 0 {
            self.left_in_payload = self.rest.u32()?;
        }
        self.left_in_payload -= 1;
        let bytes = self.rest.u32()? as usize;
        self.rest.take(bytes)
    }
}

/// Number of packets that a payload announces (0 if it is torn).
pub(super) fn announced(payload: &[u8]) -> u32 {
    Cursor::new(payload).u32().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_come_back_in_order() {
        let mut bytes = 2u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&[1, 0, 0, 0, 9, 2, 0, 0, 0, 8, 7]);
        let packets: Vec<_> = Packets::decode(&bytes).expect("well-formed").collect();
        assert_eq!(packets, [&[9][..], &[8, 7]]);
        let twice = [bytes.clone(), bytes].concat();
        assert_eq!(Packets::of_checked(&twice).count(), 4);
    }

    #[test]
    fn malformed_lists_are_refused_by_name() {
        let decode = |bytes: &[u8]| Packets::decode(bytes).expect_err("malformed");
        assert_eq!(decode(&[1]), OutputsError::Torn { index: 0, count: 0 });
        assert_eq!(decode(&[0; 4]), OutputsError::Empty);
        assert_eq!(
            decode(&[2, 0, 0, 0, 0, 0, 0, 0]),
            OutputsError::Torn { index: 1, count: 2 }
        );
        assert_eq!(
            decode(&[1, 0, 0, 0, 2, 0, 0, 0, 5]),
            OutputsError::Torn { index: 0, count: 1 }
        );
        assert_eq!(
            decode(&[1, 0, 0, 0, 0, 0, 0, 0, 5]),
            OutputsError::Trailing { found: 1, count: 1 }
        );
        let found = u32::try_from(MAX_PACKET).expect("fits") + 1;
        let long = [1u32.to_le_bytes(), found.to_le_bytes()].concat();
        assert_eq!(
            decode(&long),
            OutputsError::PacketTooLong { index: 0, found }
        );
    }
}
