//! The bytes of a connection, as they are: what a stranger can send.

use kemari_engine::wire::{Filled, FrameReader};

use crate::frames;

/// The first byte says in what pieces the rest arrives.
pub fn run(data: &[u8]) {
    let Some((&piece, mut rest)) = data.split_first() else {
        return;
    };
    let mut reader = FrameReader::new();
    loop {
        let (now, later) = rest.split_at(rest.len().min(1 + usize::from(piece) * 16));
        let filled = reader.fill(&mut &*now).expect("memory does not fail");
        rest = later;
        loop {
            match reader.next() {
                Ok(Some(frame)) => assert!(frame.payload.len() <= 1 << 21),
                Ok(None) => break,
                Err(error) => {
                    assert_eq!(reader.next().err(), Some(error), "an error is final");
                    return;
                }
            }
        }
        if filled == Filled::Eof {
            return;
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    frames::connections()
        .into_iter()
        .map(|wire| [&[255][..], &wire].concat())
        .collect()
}
