//! Takes frames off a nonblocking stream, without an allocation per frame.

use std::io::{self, ErrorKind, Read};

use xxhash_rust::xxh3::xxh3_64;

use super::frame::{Frame, FrameError, Header};
use super::limits::{HEADER_BYTES, MAX_FRAME_BYTES, READ_MIN_BYTES, READER_BYTES};
use super::packing::Unpacker;
use super::session::NO_SESSION;
use crate::fault::{Fault, makes};

/// What one [`FrameReader::fill`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filled {
    /// Some bytes arrived: take the frames and fill again.
    Progress,
    /// There is nothing to read now.
    WouldBlock,
    /// The peer closed its side. Frames that arrived before can still be taken.
    Eof,
    /// The buffer is as good as full of frames that have not been taken; nothing was read.
    Full,
}

/// The receiving side of one direction of one connection.
#[derive(Debug)]
pub struct FrameReader {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    session: u64,
    next_sequence: u64,
    failed: Option<FrameError>,
    unpacker: Unpacker,
}

impl Default for FrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl FrameReader {
    /// A reader for a new connection; expects frame number 0.
    pub fn new() -> Self {
        Self::with_room(READER_BYTES)
    }

    /// As [`FrameReader::new`], for a connection that has no frames of more than `bytes`.
    pub fn with_room(bytes: usize) -> Self {
        Self {
            buffer: vec![0; bytes].into_boxed_slice(),
            start: 0,
            end: 0,
            session: NO_SESSION,
            next_sequence: 0,
            failed: None,
            unpacker: Unpacker::default(),
        }
    }

    /// From here on every frame must bear this session.
    pub fn join(&mut self, session: u64) {
        self.session = session;
    }

    /// Bytes that were read and not yet taken as frames.
    pub fn buffered_bytes(&self) -> usize {
        self.end - self.start
    }

    /// Reads once from `stream`, which gets room for at least [`READ_MIN_BYTES`].
    ///
    /// # Errors
    /// What the stream's `read` reports, `WouldBlock` and `Interrupted` excepted.
    pub fn fill(&mut self, stream: &mut impl Read) -> io::Result<Filled> {
        self.make_room();
        if self.buffer.len() - self.end < READ_MIN_BYTES {
            return Ok(Filled::Full);
        }
        loop {
            return match stream.read(&mut self.buffer[self.end..]) {
                Ok(0) => Ok(Filled::Eof),
                Ok(bytes) => {
                    self.end += bytes;
                    Ok(Filled::Progress)
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Filled::WouldBlock),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    /// Takes the next whole frame, if it has arrived. An error is final: every later call repeats it.
    ///
    /// # Errors
    /// [`FrameError`] if the frame was changed, lost, repeated or reordered.
    #[expect(
        clippy::should_implement_trait,
        reason = "the frame borrows the reader, which no Iterator can say"
    )]
    pub fn next(&mut self) -> Result<Option<Frame<'_>>, FrameError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        match self.check_next() {
            Ok(None) => Ok(None),
            Ok(Some(header)) => {
                let from = self.start + HEADER_BYTES;
                let to = from + header.payload_len as usize;
                self.start = to;
                self.next_sequence += 1;
                let payload = match header.packing {
                    None => &self.buffer[from..to],
                    Some(_) => self.unpacker.plain(),
                };
                Ok(Some(Frame { header, payload }))
            }
            Err(error) => {
                self.failed = Some(error);
                Err(error)
            }
        }
    }

    fn check_next(&mut self) -> Result<Option<Header>, FrameError> {
        let bytes = &self.buffer[self.start..self.end];
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let header = Header::decode(header)?;
        let Header {
            kind,
            sequence,
            payload_checksum: expected,
            ..
        } = header;
        if header.session != self.session && !makes(Fault::AnySession) {
            return Err(FrameError::Session { kind, sequence });
        }
        if sequence != self.next_sequence && !makes(Fault::AnySequence) {
            return Err(FrameError::Sequence {
                kind,
                expected: self.next_sequence,
                found: sequence,
            });
        }
        let Some(payload) = rest.get(..header.payload_len as usize) else {
            return Ok(None);
        };
        let found = xxh3_64(payload);
        if found != expected {
            return Err(FrameError::PayloadChecksum {
                kind,
                sequence,
                expected,
                found,
            });
        }
        if let Some(codec) = header.packing {
            let unpacked = self.unpacker.unpack(codec, payload);
            unpacked.map_err(|source| FrameError::Packed {
                kind,
                sequence,
                source,
            })?;
        }
        Ok(Some(header))
    }

    /// Moves what is left to the front, only when the largest frame would no longer fit there or little room is left.
    fn make_room(&mut self) {
        if self.start == self.end {
            self.start = 0;
            self.end = 0;
        } else if self.buffer.len() - self.start < MAX_FRAME_BYTES
            || self.buffer.len() - self.end < READ_MIN_BYTES
        {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::frame::FrameKind;
    use super::super::{ControlKind, Direction, Outgoing, Progress};
    use super::*;

    /// Three frames that stand alone, one by one.
    fn frames() -> [Vec<u8>; 3] {
        let mut direction = Direction::new();
        [1, 2, 3].map(|epoch| {
            let (mut outgoing, mut wire) = (Outgoing::new(), Vec::new());
            direction
                .encoder(&mut outgoing)
                .control(ControlKind::Farewell, 1, epoch, b"same");
            assert_eq!(
                outgoing.write_to(&mut wire, &[]).expect("memory"),
                Progress::Done
            );
            wire
        })
    }

    fn read(order: &[usize]) -> (Vec<u64>, Option<FrameError>) {
        let frames = frames();
        let wire: Vec<u8> = order.iter().flat_map(|at| frames[*at].clone()).collect();
        let mut reader = FrameReader::new();
        assert_eq!(
            reader.fill(&mut &wire[..]).expect("memory"),
            Filled::Progress
        );
        let mut epochs = Vec::new();
        loop {
            match reader.next() {
                Ok(Some(frame)) => epochs.push(frame.header.epoch),
                Ok(None) => return (epochs, None),
                Err(error) => {
                    assert_eq!(reader.next().err(), Some(error), "an error is final");
                    return (epochs, Some(error));
                }
            }
        }
    }

    #[test]
    fn frames_in_order_are_taken() {
        assert_eq!(read(&[0, 1, 2]), (vec![1, 2, 3], None));
    }

    #[test]
    fn a_lost_repeated_or_reordered_frame_is_named() {
        let error = |expected, found| {
            let kind = FrameKind::Farewell;
            Some(FrameError::Sequence {
                kind,
                expected,
                found,
            })
        };
        assert_eq!(read(&[0, 2]), (vec![1], error(1, 2)));
        assert_eq!(read(&[1]), (vec![], error(0, 1)));
        assert_eq!(read(&[0, 0, 1]), (vec![1], error(1, 0)));
        assert_eq!(read(&[0, 2, 1]), (vec![1], error(1, 2)));
    }

    #[test]
    fn a_frame_of_another_session_is_named_whatever_it_says() {
        for (kind, frame_kind) in [
            (ControlKind::Input, FrameKind::Input),
            (ControlKind::Heartbeat, FrameKind::Heartbeat),
            (ControlKind::HandoverAck, FrameKind::HandoverAck),
            (ControlKind::Farewell, FrameKind::Farewell),
        ] {
            let (mut direction, mut outgoing, mut wire) =
                (Direction::new(), Outgoing::new(), Vec::new());
            direction.join(7);
            direction.encoder(&mut outgoing).control(kind, 1, 1, b"");
            outgoing.write_to(&mut wire, &[]).expect("memory");
            for (session, is_ours) in [(7, true), (8, false), (NO_SESSION, false)] {
                let mut reader = FrameReader::new();
                reader.join(session);
                reader.fill(&mut &wire[..]).expect("memory");
                let outcome = reader.next().map(|frame| frame.is_some());
                let error = FrameError::Session {
                    kind: frame_kind,
                    sequence: 0,
                };
                assert_eq!(outcome, if is_ours { Ok(true) } else { Err(error) });
            }
        }
    }

    #[test]
    fn a_full_buffer_says_so_and_does_not_look_like_an_end() {
        let mut reader = FrameReader::new();
        let mut endless = io::repeat(b'K');
        while READER_BYTES - reader.buffered_bytes() >= READ_MIN_BYTES {
            assert_eq!(
                reader.fill(&mut endless).expect("endless"),
                Filled::Progress
            );
        }
        assert_eq!(reader.fill(&mut endless).expect("endless"), Filled::Full);
    }
}
