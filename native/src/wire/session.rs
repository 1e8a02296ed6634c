//! What makes the frames of one connection fit no other: both sides give a half that nobody could know before, and every
//! frame after these two bears what follows from them. What was recorded of another connection is told by it and refused.

use uuid::Uuid;
use xxhash_rust::xxh3::xxh3_64;

use super::frame::{Frame, FrameError, FrameKind};

/// Session of the frames that make one: `Call`, `Challenge`, and a `Refuse` before there is one.
pub const NO_SESSION: u64 = 0;

/// One side's half, the payload of `Call` and of `Challenge`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half([u8; 16]);

impl Half {
    /// One that was never used.
    pub fn random() -> Self {
        Self(Uuid::new_v4().into_bytes())
    }

    /// The payload.
    pub fn payload(&self) -> &[u8] {
        &self.0
    }

    /// Reads the payload of a frame that must be of this kind.
    ///
    /// # Errors
    /// [`FrameError::Opening`].
    pub fn from_frame(frame: &Frame<'_>, kind: FrameKind) -> Result<Self, FrameError> {
        let half = (frame.header.kind == kind)
            .then(|| frame.payload.try_into().ok())
            .flatten();
        half.map(Self).ok_or(FrameError::Opening {
            expected: kind,
            found: frame.header.kind,
        })
    }
}

/// The session that a call and its challenge make.
pub fn session(call: Half, challenge: Half) -> u64 {
    let mut both = [0; 32];
    both[..16].copy_from_slice(&call.0);
    both[16..].copy_from_slice(&challenge.0);
    xxh3_64(&both)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_half_changes_the_session() {
        let [call, challenge, other] = [Half([1; 16]), Half([2; 16]), Half([3; 16])];
        let ours = session(call, challenge);
        assert_eq!(ours, session(call, challenge));
        for another in [
            session(call, other),
            session(other, challenge),
            session(challenge, call),
            NO_SESSION,
        ] {
            assert_ne!(another, ours);
        }
        assert_ne!(Half::random(), Half::random());
    }
}
