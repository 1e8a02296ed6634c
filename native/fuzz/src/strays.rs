//! Frames from the world while the primary is silent: bounded, in order, and none that is not for the guest.
//!
//! Input: frames of `{ u8 what, u8 seconds, u16 length, length bytes }`; what: bits 0-1 whom it is for, 2 the primary speaks,
//! 3 a long frame, 4 of the interface that bits 5 to 7 name.

use std::time::{Duration, Instant};

use kemari_engine::limits::MIRRORED_INPUTS_MAX_BYTES;
use kemari_engine::role::strays::Strays;

const GUEST: [u8; 6] = [0x52, 0x54, 0, 0x6b, 0, 1];
const OTHER: [u8; 6] = [0x52, 0x54, 0, 0x6b, 0, 2];

pub fn run(data: &[u8]) {
    let mut now = Instant::now();
    let silence = Duration::from_millis(350);
    let mut strays = Strays::new(vec![OTHER, GUEST], silence, now);
    let mut given = Vec::new();
    let mut rest = data;
    // What is asserted takes time by the square of it.
    while given.len() < 500
        && let [what, seconds, low, high, body @ ..] = rest
    {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (body, later) = body.split_at(length.min(body.len()));
        rest = later;
        now += Duration::from_secs((*seconds).into());
        if what & 4 != 0 {
            strays.heard(now);
            given.clear();
            assert!(strays.recent(now).next().is_none());
            continue;
        }
        let patience = strays.patience(now);
        assert_eq!(strays.begins(now), patience == Some(Duration::ZERO));
        let address: &[u8] = match what & 3 {
            0 => &GUEST,
            1 => &[0xff; 6],
            2 => &[0x33, 0x33, 0xff, 1, 2, 3],
            _ => &[],
        };
        // Of the second interface, unless it is strange.
        let number = if what & 16 == 0 { 1 } else { what >> 5 };
        let mut frame = [&[number], address, body].concat();
        if what & 8 != 0 {
            frame.resize(frame.len() + 60_000, *what);
        }
        strays.take(&frame, now);
        given.push(frame);
        let kept: Vec<&[u8]> = strays.recent(now).collect();
        let bytes: usize = kept.iter().map(|frame| frame.len()).sum();
        assert!(bytes <= MIRRORED_INPUTS_MAX_BYTES);
        // Each is one that was given, later than the one before it.
        let mut from = given.iter();
        for packet in kept {
            let (number, frame) = packet.split_first().expect("a number");
            let guest = [OTHER, GUEST][usize::from(*number)];
            assert!(
                frame.starts_with(&guest)
                    || frame.starts_with(&[0xff; 6])
                    || frame.starts_with(&[0x33, 0x33, 0xff])
            );
            assert!(frame.get(6..12) != Some(&guest), "its own");
            assert!(from.any(|given| given == packet), "out of order");
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let frame = |what: u8, seconds: u8, body: &[u8]| {
        let length = u16::try_from(body.len()).expect("short");
        [&[what, seconds][..], &length.to_le_bytes(), body].concat()
    };
    vec![
        [
            frame(0, 1, b"one"),
            frame(1, 0, b"two"),
            frame(2, 9, b"three"),
            frame(3, 9, b"x"),
        ]
        .concat(),
        [
            frame(8, 1, b"long"),
            frame(8, 0, b""),
            frame(9, 0, b""),
            frame(4, 0, b""),
            frame(0, 3, b""),
        ]
        .concat(),
        frame(1, 1, &GUEST),
    ]
}
