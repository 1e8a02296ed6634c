//! The payload of `DeviceDelta`: the device state as what has changed in it since the epoch before.
//!
//! ```text
//! u64 base_hash, u32 bytes, then { u32 offset, u32 length, length bytes } any number of times, ascending
//! ```
//! The new state is the one before, cut or filled up with zeros to `bytes`, with the pieces put over it. `base_hash` is the
//! xxh3-64 of the state that the secondary has committed; with another one it must not acknowledge the transaction.

use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

use super::cursor::Cursor;
use super::limits::{MAX_DEVICE_DELTA_PAYLOAD, MAX_DEVICE_STATE};
use super::patch::changes;

const HEAD_BYTES: usize = 12;
const PIECE_BYTES: usize = 8;

/// The hash by which both sides know that they mean the same device state.
pub fn device_state_hash(state: &[u8]) -> u64 {
    xxh3_64(state)
}

/// What the secondary has committed as device state.
#[derive(Debug, Clone, Copy)]
pub struct DeviceBase<'a> {
    /// Its bytes.
    pub bytes: &'a [u8],
    /// Their [`device_state_hash`].
    pub hash: u64,
}

/// What is wrong with a changed device state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum DeviceDeltaError {
    /// The payload ends within its head or within a piece.
    #[error("the change of the device state ends within its {part}")]
    Torn {
        /// Which part.
        part: &'static str,
    },
    /// A state of no bytes, or of more than the bound.
    #[error("a changed device state of {found} bytes, expected 1 to {MAX_DEVICE_STATE}")]
    Length {
        /// The length announced, bytes.
        found: u32,
    },
    /// A piece that is empty, goes back or leaves the state.
    #[error("a piece of the changed device state at {offset} is malformed")]
    Piece {
        /// Where it would go.
        offset: u32,
    },
}

/// A changed device state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceDelta<'a> {
    /// Hash of what is changed.
    pub base_hash: u64,
    /// Length of the new state, bytes.
    pub bytes: usize,
    patch: &'a [u8],
}

impl<'a> DeviceDelta<'a> {
    /// Checks a payload.
    ///
    /// # Errors
    /// [`DeviceDeltaError`] if it is not well-formed.
    pub fn decode(payload: &'a [u8]) -> Result<Self, DeviceDeltaError> {
        let (delta, found) = head(payload).ok_or(DeviceDeltaError::Torn { part: "head" })?;
        if delta.bytes == 0 || delta.bytes > MAX_DEVICE_STATE {
            return Err(DeviceDeltaError::Length { found });
        }
        let (mut rest, mut from) = (Cursor::new(delta.patch), 0);
        while !rest.rest().is_empty() {
            let torn = DeviceDeltaError::Torn { part: "pieces" };
            let (offset, length) = rest.u32().zip(rest.u32()).ok_or(torn)?;
            let (start, bytes) = (offset as usize, length as usize);
            if bytes == 0 || start < from || start.saturating_add(bytes) > delta.bytes {
                return Err(DeviceDeltaError::Piece { offset });
            }
            rest.take(bytes).ok_or(torn)?;
            from = start + bytes;
        }
        Ok(delta)
    }

    /// A payload that `decode` has accepted before.
    pub(super) fn of_checked(payload: &'a [u8]) -> Self {
        head(payload).expect("it was accepted").0
    }

    /// Makes the new state of the one before.
    pub fn apply(&self, state: &mut Vec<u8>) {
        state.resize(self.bytes, 0);
        let mut rest = Cursor::new(self.patch);
        while let Some((offset, length)) = rest.u32().zip(rest.u32())
            && let Some(bytes) = rest.take(length as usize)
        {
            state[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        }
    }
}

fn head(payload: &[u8]) -> Option<(DeviceDelta<'_>, u32)> {
    let mut rest = Cursor::new(payload);
    let (base_hash, bytes) = (rest.u64()?, rest.u32()?);
    let delta = DeviceDelta {
        base_hash,
        bytes: bytes as usize,
        patch: rest.rest(),
    };
    Some((delta, bytes))
}

/// Appends the payload that makes `new` of `base` to `payload`; false, and nothing is appended, if it would be more than half
/// of `new` or than its bound.
pub(super) fn encode(payload: &mut Vec<u8>, base: DeviceBase<'_>, new: &[u8]) -> bool {
    let start = payload.len();
    let most = (new.len() / 2).min(MAX_DEVICE_DELTA_PAYLOAD);
    let field = |number: usize| u32::try_from(number).map(u32::to_le_bytes);
    let Ok(bytes) = field(new.len()) else {
        return false;
    };
    if new.len() > MAX_DEVICE_STATE || most < HEAD_BYTES {
        return false;
    }
    payload.extend_from_slice(&base.hash.to_le_bytes());
    payload.extend_from_slice(&bytes);
    let mut push = |range: std::ops::Range<usize>| {
        let bytes = &new[range.clone()];
        if payload.len() - start + PIECE_BYTES + bytes.len() > most {
            return false;
        }
        let (Ok(offset), Ok(length)) = (field(range.start), field(bytes.len())) else {
            return false;
        };
        payload.extend_from_slice(&offset);
        payload.extend_from_slice(&length);
        payload.extend_from_slice(bytes);
        true
    };
    let common = new.len().min(base.bytes.len());
    let is_little = changes(&base.bytes[..common], &new[..common], &mut push)
        && (common == new.len() || push(common..new.len()));
    if !is_little {
        payload.truncate(start);
    }
    is_little
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn base(bytes: &[u8]) -> DeviceBase<'_> {
        DeviceBase {
            bytes,
            hash: device_state_hash(bytes),
        }
    }

    fn patched(payload: &[u8], before: &[u8]) -> Vec<u8> {
        let delta = DeviceDelta::decode(payload).expect("its own");
        assert_eq!(delta.base_hash, device_state_hash(before));
        let mut state = before.to_vec();
        delta.apply(&mut state);
        state
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// Whatever changed, and however long it is now, the secondary gets exactly the new state, or it is sent whole.
        #[test]
        fn a_patched_base_is_the_new_state(
            before in vec(any::<u8>(), 1..3000),
            length in 1..3000usize,
            writes in vec((any::<prop::sample::Index>(), 1..200usize, any::<u8>()), 0..6),
        ) {
            let mut after = before.clone();
            after.resize(length, 7);
            for (at, bytes, value) in writes {
                let at = at.index(length);
                after[at..(at + bytes).min(length)].fill(value);
            }
            let mut payload = vec![1, 2, 3];
            if encode(&mut payload, base(&before), &after) {
                prop_assert!(payload.len() - 3 <= after.len() / 2);
                prop_assert_eq!(patched(&payload[3..], &before), after);
            } else {
                prop_assert_eq!(payload, [1, 2, 3]);
            }
        }

        #[test]
        fn every_truncation_of_a_piece_is_refused(cut in 1..16usize) {
            let before = [0; 400];
            let mut after = before;
            after[200..208].fill(9);
            let mut payload = Vec::new();
            prop_assert!(encode(&mut payload, base(&before), &after));
            let cut = &payload[..payload.len() - cut];
            // Without any byte of the piece it is a state that has not changed.
            prop_assert_eq!(DeviceDelta::decode(cut).is_ok(), cut.len() == HEAD_BYTES);
        }

        #[test]
        fn random_bytes_give_a_bounded_state_or_none(payload in vec(any::<u8>(), 0..80), small in any::<u8>()) {
            let mut structured = payload.clone();
            if structured.len() >= HEAD_BYTES {
                structured[8..12].copy_from_slice(&u32::from(small).to_le_bytes());
            }
            for bytes in [payload, structured] {
                if let Ok(delta) = DeviceDelta::decode(&bytes) {
                    let mut state = vec![5; 33];
                    delta.apply(&mut state);
                    prop_assert_eq!(state.len(), delta.bytes);
                    prop_assert!(state.len() <= MAX_DEVICE_STATE);
                }
            }
        }
    }

    #[test]
    fn a_state_that_has_not_changed_is_a_head_alone() {
        let mut payload = Vec::new();
        assert!(encode(&mut payload, base(&[7; 100]), &[7; 100]));
        assert_eq!(payload.len(), HEAD_BYTES);
        assert_eq!(patched(&payload, &[7; 100]), [7; 100]);
    }

    #[test]
    fn malformed_changes_are_refused_by_name() {
        let list = |bytes: u32, pieces: &[(u32, u32, &[u8])]| {
            let mut payload = [&[0; 8][..], &bytes.to_le_bytes()].concat();
            for (offset, length, content) in pieces {
                payload.extend_from_slice(&offset.to_le_bytes());
                payload.extend_from_slice(&length.to_le_bytes());
                payload.extend_from_slice(content);
            }
            payload
        };
        let decode = |payload: &[u8]| DeviceDelta::decode(payload).map(|delta| delta.bytes);
        assert_eq!(decode(&list(9, &[(8, 1, &[1])])), Ok(9));
        let torn = |part| Err(DeviceDeltaError::Torn { part });
        assert_eq!(decode(&[0; 11]), torn("head"));
        assert_eq!(decode(&list(9, &[(0, 2, &[1])])), torn("pieces"));
        for found in [0, u32::try_from(MAX_DEVICE_STATE).expect("fits") + 1] {
            assert_eq!(
                decode(&list(found, &[])),
                Err(DeviceDeltaError::Length { found })
            );
        }
        for (pieces, offset) in [
            (&[(0, 0, &[][..])][..], 0),
            (&[(8, 2, &[1, 2])], 8),
            (&[(u32::MAX, u32::MAX, &[])], u32::MAX),
            (&[(4, 1, &[1]), (4, 1, &[1])], 4),
        ] {
            assert_eq!(
                decode(&list(9, pieces)),
                Err(DeviceDeltaError::Piece { offset })
            );
        }
    }
}
