//! Connections that carry a few bytes at a time, and the frames in what they carry.

use std::io::{self, ErrorKind, IoSlice, Read, Write};

use proptest::collection::vec;
use proptest::prelude::*;

use super::transactions::{Applied, apply};
use crate::wire::limits::HEADER_BYTES;
use crate::wire::*;

/// All bytes at once.
pub(super) const WHOLE: &[usize] = &[usize::MAX];

pub(super) fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(1..9000usize, 1..20)
}

/// A socket that takes some bytes, then is full, then takes some more.
struct Throttled<'a> {
    taken: Vec<u8>,
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    full: bool,
}

impl Write for Throttled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.full = !self.full;
        if self.full {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = *self.pieces.next().expect("endless");
        let before = self.taken.len();
        for slice in slices {
            let bytes = left.min(slice.len());
            self.taken.extend_from_slice(&slice[..bytes]);
            left -= bytes;
        }
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn written(mut outgoing: Outgoing, body: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut socket = Throttled {
        taken: Vec::new(),
        pieces: pieces.iter().cycle(),
        full: false,
    };
    let waiting = outgoing.pending_bytes();
    while outgoing
        .write_to(&mut socket, body)
        .expect("a healthy socket")
        == Progress::Pending
    {}
    assert!(outgoing.is_empty());
    assert_eq!(outgoing.bytes_written(), waiting as u64);
    assert_eq!(socket.taken.len(), waiting);
    socket.taken
}

/// A socket that gives some bytes, then none, then some more, then ends.
struct Trickle<'a> {
    bytes: &'a [u8],
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    empty: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.empty = !self.empty;
        if self.empty {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = (*self.pieces.next().expect("endless"))
            .min(buffer.len())
            .min(self.bytes.len());
        let (now, later) = self.bytes.split_at(bytes);
        buffer[..bytes].copy_from_slice(now);
        self.bytes = later;
        Ok(bytes)
    }
}

/// Receives a whole connection as a secondary does, up to its end or the first thing that does not fit.
pub(super) fn receive(assembly: &mut Assembly, bytes: &[u8], pieces: &[usize]) -> Vec<Applied> {
    let mut socket = Trickle {
        bytes,
        pieces: pieces.iter().cycle(),
        empty: false,
    };
    let mut reader = FrameReader::new();
    let mut applied = Vec::new();
    loop {
        let filled = reader.fill(&mut socket).expect("a healthy socket");
        loop {
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return applied,
            };
            match assembly.feed(&frame.header, frame.payload) {
                Ok(Step::Incomplete) => {}
                Ok(Step::Complete) => {
                    applied.push(apply(assembly.transaction().expect("complete")));
                    assembly.reset();
                }
                Err(_) => return applied,
            }
        }
        if filled == Filled::Eof {
            return applied;
        }
    }
}

pub(super) fn split(mut wire: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = wire.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(header).expect("its own");
        let (payload, rest) = rest.split_at(header.payload_len as usize);
        frames.push((header, payload.to_vec()));
        wire = rest;
    }
    frames
}

pub(super) fn join(frames: &[(Header, Vec<u8>)]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|(header, payload)| [&header.encode()[..], payload].concat())
        .collect()
}

/// As a sender would number them: what was done to the frames is then hidden from the reader.
pub(super) fn renumber(frames: &mut [(Header, Vec<u8>)]) {
    for ((header, _), sequence) in frames.iter_mut().zip(0..) {
        header.sequence = sequence;
    }
}
