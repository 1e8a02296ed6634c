//! Frames for the guest that nobody receives: what the world sends, and sends again, while the primary is dead and its
//! replica not yet promoted. The sender's time-out doubles with each try; the promoted guest gets what was last sent at
//! once.
//!
//! While the primary lives, the network brings the guest's frames to it and not here. When it has been silent for a
//! while, the bridge here forgets behind which port the guest was: from then on they come here too. No address is claimed
//! by that, and a primary that lives after all goes on as before.

use std::time::{Duration, Instant};

use crate::hold::PacketLog;
use crate::limits::{MIRRORED_INPUTS_MAX_BYTES, SILENCES_APART, STRAYS_AGE};

const BROADCAST: [u8; 6] = [0xff; 6];
/// IPv6's neighbour solicitations go to groups that begin so (RFC 4291, RFC 2464).
const SOLICITED_NODE: [u8; 3] = [0x33, 0x33, 0xff];

/// The last frames for one guest.
#[derive(Debug)]
pub struct Strays {
    /// By the numbers of its interfaces.
    addresses: Vec<[u8; 6]>,
    silence: Duration,
    heard_at: Instant,
    listening: bool,
    began_at: Option<Instant>,
    /// The newest, and those before them.
    frames: [PacketLog; 2],
    /// When the newest began.
    turned_at: Instant,
}

impl Strays {
    /// For the guest with these Ethernet `addresses`; a primary that has said nothing for `silence` may be dead.
    pub fn new(addresses: Vec<[u8; 6]>, silence: Duration, now: Instant) -> Self {
        Self {
            addresses,
            silence,
            heard_at: now,
            listening: false,
            began_at: None,
            frames: Default::default(),
            turned_at: now,
        }
    }

    /// The primary lives: what came here was not lost, it will be repeated to it.
    pub fn heard(&mut self, now: Instant) {
        self.heard_at = now;
        if self.listening {
            self.listening = false;
            self.frames.iter_mut().for_each(PacketLog::clear);
        }
    }

    /// How long until the primary counts as silent, if it does not yet.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let left = |span: Duration, since: Instant| {
            span.saturating_sub(now.saturating_duration_since(since))
        };
        let apart = self
            .began_at
            .map_or(Duration::ZERO, |at| left(SILENCES_APART, at));
        (!self.listening).then(|| left(self.silence, self.heard_at).max(apart))
    }

    /// Whether the primary has become silent; true once.
    pub fn begins(&mut self, now: Instant) -> bool {
        let begins = self.patience(now) == Some(Duration::ZERO);
        if begins {
            self.listening = true;
            (self.began_at, self.turned_at) = (Some(now), now);
        }
        begins
    }

    /// Notes a packet, if it is for the guest.
    pub fn take(&mut self, packet: &[u8], now: Instant) {
        if !self.listening || !self.is_for_the_guest(packet) {
            return;
        }
        self.drop_old(now);
        if self.frames[0].bytes() + packet.len() > MIRRORED_INPUTS_MAX_BYTES / 2 {
            self.turn(now);
        }
        self.frames[0].push(packet);
    }

    /// The last packets, in order.
    pub fn recent(&mut self, now: Instant) -> impl Iterator<Item = &[u8]> {
        self.drop_old(now);
        let [newest, earlier] = &self.frames;
        earlier.iter().chain(newest.iter())
    }

    fn is_for_the_guest(&self, packet: &[u8]) -> bool {
        let Some((number, frame)) = packet.split_first() else {
            return false;
        };
        let Some(address) = self.addresses.get(usize::from(*number)) else {
            return false;
        };
        // What the guest itself sent to everybody comes back here.
        frame.get(6..12) != Some(&address[..])
            && (frame.starts_with(address)
                || frame.starts_with(&BROADCAST)
                || frame.starts_with(&SOLICITED_NODE))
    }

    /// A network that repeats a packet does not do so for long.
    fn drop_old(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.turned_at);
        if age >= 2 * STRAYS_AGE {
            self.turn(now);
        }
        if age >= STRAYS_AGE {
            self.turn(now);
        }
    }

    fn turn(&mut self, now: Instant) {
        let [newest, earlier] = &mut self.frames;
        std::mem::swap(newest, earlier);
        newest.clear();
        self.turned_at = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GUEST: [u8; 6] = [2, 0, 0, 0, 0, 1];

    fn frame(to: [u8; 6], number: u16) -> Vec<u8> {
        [
            &[1],
            &to[..],
            &[2, 0, 0, 0, 0, 7],
            &number.to_le_bytes(),
            &[0; 1000],
        ]
        .concat()
    }

    #[test]
    fn the_guests_frames_are_kept_while_the_primary_is_silent() {
        let now = Instant::now();
        let mut strays = Strays::new(vec![GUEST; 2], Duration::ZERO, now);
        strays.take(&frame(GUEST, 0), now);
        assert_eq!(strays.recent(now).count(), 0, "not silent yet");
        assert!(strays.begins(now) && !strays.begins(now));
        assert_eq!(strays.patience(now), None);
        strays.take(&frame(GUEST, 1), now);
        strays.take(&frame([2, 0, 0, 0, 0, 9], 2), now);
        strays.take(&frame(BROADCAST, 3), now);
        strays.take(&frame([0x33, 0x33, 0xff, 0, 0, 1], 4), now);
        strays.take(&[&[0], &BROADCAST[..], &GUEST, &[5; 60]].concat(), now);
        strays.take(&[&[2], &BROADCAST[..], &[6; 60]].concat(), now);
        strays.take(&[0, 2, 0], now);
        strays.take(&[], now);
        let kept: Vec<_> = strays.recent(now).map(|frame| frame[13]).collect();
        assert_eq!(kept, [1, 3, 4]);
        strays.heard(now);
        assert_eq!(strays.recent(now).count(), 0);
        assert!(!strays.begins(now), "it was silent a moment ago");
    }

    #[test]
    fn what_was_sent_long_ago_is_not_delivered() {
        let now = Instant::now();
        let mut strays = Strays::new(vec![GUEST; 2], Duration::ZERO, now);
        assert!(strays.begins(now));
        strays.take(&frame(GUEST, 1), now);
        let later = now + STRAYS_AGE;
        strays.take(&frame(GUEST, 2), later);
        assert_eq!(strays.recent(later).count(), 2);
        let later = later + STRAYS_AGE;
        assert_eq!(strays.recent(later).count(), 1);
        assert_eq!(strays.recent(later + STRAYS_AGE).count(), 0);
    }

    #[test]
    fn a_primary_that_has_just_spoken_is_not_silent() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut strays = Strays::new(vec![GUEST; 2], hour, now);
        strays.heard(now);
        assert!(!strays.begins(now));
        assert_eq!(strays.patience(now + hour / 2), Some(hour / 2));
        assert!(strays.begins(now + hour));
    }

    #[test]
    fn the_last_frames_are_kept_in_order_and_in_bounds() {
        let now = Instant::now();
        let mut strays = Strays::new(vec![GUEST; 2], Duration::ZERO, now);
        assert!(strays.begins(now));
        for number in 0..2000 {
            strays.take(&frame(GUEST, number), now);
        }
        let numbers: Vec<u16> = strays
            .recent(now)
            .map(|frame| u16::from_le_bytes([frame[13], frame[14]]))
            .collect();
        let first = numbers[0];
        assert_eq!(numbers, (first..2000).collect::<Vec<_>>());
        let bytes: usize = strays.recent(now).map(<[u8]>::len).sum();
        assert!((MIRRORED_INPUTS_MAX_BYTES / 4..=MIRRORED_INPUTS_MAX_BYTES).contains(&bytes));
    }
}
