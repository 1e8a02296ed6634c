//! Frames for the guest that nobody receives: what the world sends, and sends again, while the primary is dead and its
//! replica not yet promoted. The sender's time-out doubles with each try; the promoted guest gets what was last sent at
//! once.
//!
//! While the primary lives, the network brings the guest's frames to it and not here. When it has been silent for a
//! while, the bridge here forgets behind which port the guest was: from then on they come here too. No address is claimed
//! by that, and a primary that lives after all goes on as before.

use std::time::{Duration, Instant};

use crate::hold::PacketLog;
use crate::limits::MIRRORED_INPUTS_MAX_BYTES;

const BROADCAST: [u8; 6] = [0xff; 6];

/// The last frames for one guest.
#[derive(Debug)]
pub struct Strays {
    address: [u8; 6],
    silence: Duration,
    heard_at: Instant,
    listening: bool,
    /// The newest, and those before them.
    frames: [PacketLog; 2],
}

impl Strays {
    /// For the guest with this Ethernet `address`; a primary that has said nothing for `silence` may be dead.
    pub fn new(address: [u8; 6], silence: Duration) -> Self {
        Self {
            address,
            silence,
            heard_at: Instant::now(),
            listening: false,
            frames: Default::default(),
        }
    }

    /// The primary lives: what came here was not lost, it will be repeated to it.
    pub fn heard(&mut self) {
        self.heard_at = Instant::now();
        if self.listening {
            self.listening = false;
            self.frames.iter_mut().for_each(PacketLog::clear);
        }
    }

    /// How long until the primary counts as silent, if it does not yet.
    pub fn patience(&self) -> Option<Duration> {
        (!self.listening).then(|| self.silence.saturating_sub(self.heard_at.elapsed()))
    }

    /// Whether the primary has become silent; true once.
    pub fn begins(&mut self) -> bool {
        let begins = self.patience() == Some(Duration::ZERO);
        self.listening |= begins;
        begins
    }

    /// Notes a frame, if it is for the guest.
    pub fn take(&mut self, frame: &[u8]) {
        let wanted =
            self.listening && (frame.starts_with(&self.address) || frame.starts_with(&BROADCAST));
        if !wanted {
            return;
        }
        let [newest, earlier] = &mut self.frames;
        if newest.bytes() + frame.len() > MIRRORED_INPUTS_MAX_BYTES / 2 {
            std::mem::swap(newest, earlier);
            newest.clear();
        }
        newest.push(frame);
    }

    /// The last frames, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let [newest, earlier] = &self.frames;
        earlier.iter().chain(newest.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn frame(to: [u8; 6], number: u16) -> Vec<u8> {
        [&to[..], &number.to_le_bytes(), &[0; 1000]].concat()
    }

    #[test]
    fn the_guests_frames_are_kept_while_the_primary_is_silent() {
        let mut strays = Strays::new(GUEST, Duration::ZERO);
        strays.take(&frame(GUEST, 0));
        assert_eq!(strays.iter().count(), 0, "not silent yet");
        assert!(strays.begins() && !strays.begins());
        assert_eq!(strays.patience(), None);
        strays.take(&frame(GUEST, 1));
        strays.take(&frame([2, 0, 0, 0, 0, 9], 2));
        strays.take(&frame(BROADCAST, 3));
        strays.take(&[2, 0]);
        let kept: Vec<_> = strays.iter().map(|frame| frame[6]).collect();
        assert_eq!(kept, [1, 3]);
        strays.heard();
        assert_eq!(strays.iter().count(), 0);
    }

    #[test]
    fn a_primary_that_has_just_spoken_is_not_silent() {
        let mut strays = Strays::new(GUEST, Duration::from_secs(3600));
        strays.heard();
        assert!(!strays.begins());
        assert!(strays.patience() > Some(Duration::from_secs(3000)));
    }

    #[test]
    fn the_last_frames_are_kept_in_order_and_in_bounds() {
        let mut strays = Strays::new(GUEST, Duration::ZERO);
        assert!(strays.begins());
        for number in 0..2000 {
            strays.take(&frame(GUEST, number));
        }
        let numbers: Vec<u16> = strays
            .iter()
            .map(|frame| u16::from_le_bytes([frame[6], frame[7]]))
            .collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..2000).collect::<Vec<_>>());
        let bytes: usize = strays.iter().map(<[u8]>::len).sum();
        assert!((MIRRORED_INPUTS_MAX_BYTES / 4..=MIRRORED_INPUTS_MAX_BYTES).contains(&bytes));
    }
}
