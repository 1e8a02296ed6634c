//! What waits to be written to the peer. Page bytes are not copied: they stay in the caller's staging area ("body").

use std::io::{self, ErrorKind, IoSlice, Write};
use std::ops::Range;

use super::limits::{OUTGOING_FORGOTTEN_MIN_BYTES, OUTGOING_RETAINED_BYTES, SEGMENTS_PER_WRITE};

/// Whether everything has been written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Everything; the body is free again.
    Done,
    /// The socket is full: wait until it can be written and call again with the same body.
    Pending,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Head(Range<usize>),
    Body(Range<usize>),
}

impl Segment {
    fn bytes(&self) -> usize {
        match self {
            Self::Head(range) | Self::Body(range) => range.len(),
        }
    }

    fn head(&self) -> Option<&Range<usize>> {
        match self {
            Self::Head(range) => Some(range),
            Self::Body(_) => None,
        }
    }
}

/// Whole frames that wait to be written, in order.
///
/// The body that frames refer to must stay unchanged and be passed to every [`Outgoing::write_to`] until that returns
/// [`Progress::Done`]. Frames without pages or device state do not refer to it and may be added at any time.
#[derive(Debug, Default)]
pub struct Outgoing {
    pub(super) head: Vec<u8>,
    segments: Vec<Segment>,
    head_segmented: usize,
    first: usize,
    first_written: usize,
    pending_bytes: usize,
    bytes_written: u64,
}

impl Outgoing {
    /// Nothing to write.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pending_bytes == 0
    }

    /// Bytes that wait.
    pub fn pending_bytes(&self) -> usize {
        self.pending_bytes
    }

    /// Bytes written since this was made; `clear` does not reset it.
    pub fn bytes_written(&self) -> u64 {
        self.bytes_written
    }

    /// Bytes encoded since this was made, written or not.
    pub fn bytes_encoded(&self) -> u64 {
        self.bytes_written + self.pending_bytes() as u64
    }

    /// Drops what waits (the connection is gone), keeping a bounded amount of memory for the next use.
    pub fn clear(&mut self) {
        self.head.clear();
        self.head.shrink_to(OUTGOING_RETAINED_BYTES);
        self.segments.clear();
        self.segments
            .shrink_to(OUTGOING_RETAINED_BYTES / size_of::<Segment>());
        self.head_segmented = 0;
        self.first = 0;
        self.first_written = 0;
        self.pending_bytes = 0;
    }

    /// Takes the memory for `head_bytes` more in `segments` more pieces, unless it is there.
    pub(super) fn reserve(&mut self, head_bytes: usize, segments: usize) {
        self.head.reserve(head_bytes);
        self.segments.reserve(segments);
    }

    /// Writes as much as the socket takes.
    ///
    /// # Errors
    /// What the socket's `write_vectored` reports, `WouldBlock` and `Interrupted` excepted; `WriteZero` if it takes nothing.
    ///
    /// # Panics
    /// If `body` is shorter than the body that the frames were made from.
    pub fn write_to(&mut self, socket: &mut impl Write, body: &[u8]) -> io::Result<Progress> {
        while !self.is_empty() {
            let mut slices = [IoSlice::new(&[]); SEGMENTS_PER_WRITE];
            let mut count = 0;
            for (slice, segment) in slices.iter_mut().zip(&self.segments[self.first..]) {
                let skip = if count == 0 { self.first_written } else { 0 };
                *slice = IoSlice::new(match segment {
                    Segment::Head(range) => &self.head[range.start + skip..range.end],
                    Segment::Body(range) => &body[range.start + skip..range.end],
                });
                count += 1;
            }
            match socket.write_vectored(&slices[..count]) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => self.advance(written),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.forget_written();
                    return Ok(Progress::Pending);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(Progress::Done)
    }

    /// Gives back what has been written, when that is the larger part: what is added faster than it is written is never done.
    fn forget_written(&mut self) {
        let mut waiting = self.segments[self.first..].iter();
        let written = match waiting.next() {
            Some(Segment::Head(first)) => first.start + self.first_written,
            _ => waiting
                .find_map(Segment::head)
                .map_or(self.head_segmented, |next| next.start),
        };
        if written < OUTGOING_FORGOTTEN_MIN_BYTES || written < self.head.len() / 2 {
            return;
        }
        self.segments.drain(..self.first);
        self.first = 0;
        if let Some(Segment::Head(first)) = self.segments.first_mut() {
            first.start = written;
            self.first_written = 0;
        }
        self.head.drain(..written);
        self.head_segmented -= written;
        for segment in &mut self.segments {
            if let Segment::Head(range) = segment {
                *range = range.start - written..range.end - written;
            }
        }
    }

    /// Everything that was added to `head` since the last call follows what waits.
    pub(super) fn push_head(&mut self) {
        let range = self.head_segmented..self.head.len();
        self.head_segmented = range.end;
        self.pending_bytes += range.len();
        // A segment that is being written may grow too: what was written of it is counted from its start.
        match self.segments.last_mut() {
            Some(Segment::Head(last)) if last.end == range.start => last.end = range.end,
            _ => self.segments.push(Segment::Head(range)),
        }
    }

    /// A range of the body follows what waits.
    pub(super) fn push_body(&mut self, range: Range<usize>) {
        debug_assert!(!range.is_empty(), "an empty piece of the body");
        self.pending_bytes += range.len();
        match self.segments.last_mut() {
            Some(Segment::Body(last)) if last.end == range.start => last.end = range.end,
            _ => self.segments.push(Segment::Body(range)),
        }
    }

    fn advance(&mut self, written: usize) {
        debug_assert!(
            written <= self.pending_bytes,
            "a socket cannot take more than it was given"
        );
        self.pending_bytes -= written;
        self.bytes_written += written as u64;
        let mut left = self.first_written + written;
        while let Some(bytes) = self.segments.get(self.first).map(Segment::bytes)
            && left >= bytes
        {
            left -= bytes;
            self.first += 1;
        }
        self.first_written = left;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Takes so many bytes, and no more.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
    }

    impl Write for Narrow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let count = bytes.len().min(self.room);
            if count == 0 {
                return Err(ErrorKind::WouldBlock.into());
            }
            self.taken.extend_from_slice(&bytes[..count]);
            self.room -= count;
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Takes everything, and notes how many pieces it was given at once.
    #[derive(Default)]
    struct Wide(Vec<usize>);

    impl Write for Wide {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.write_vectored(&[IoSlice::new(bytes)])
        }

        fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
            self.0.push(pieces.len());
            Ok(pieces.iter().map(|piece| piece.len()).sum())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn headers_and_pages_are_written_together_and_pages_from_where_they_are() {
        let body = [7; 64];
        let mut outgoing = Outgoing::new();
        for piece in 0..SEGMENTS_PER_WRITE {
            outgoing.head.push(1);
            outgoing.push_head();
            outgoing.push_body(piece % 64..piece % 64 + 1);
        }
        let mut socket = Wide::default();
        outgoing.write_to(&mut socket, &body).expect("written");
        assert_eq!(socket.0, [SEGMENTS_PER_WRITE; 2]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever is added while something waits: it arrives as it is, and what has been written takes no memory.
        #[test]
        fn what_is_never_done_does_not_grow(
            steps in prop::collection::vec((0..60_000usize, any::<bool>(), 0..60_000usize), 1..60),
        ) {
            let body: Vec<u8> = (0..=255u8).cycle().take(60_000).collect();
            let (mut outgoing, mut wanted) = (Outgoing::new(), Vec::new());
            let mut socket = Narrow { taken: Vec::new(), room: 0 };
            for (added, of_body, room) in steps {
                if of_body && added > 0 {
                    outgoing.push_body(0..added);
                    wanted.extend_from_slice(&body[..added]);
                } else {
                    let bytes: Vec<u8> = (0..251u8).cycle().skip(added % 250).take(added).collect();
                    outgoing.head.extend_from_slice(&bytes);
                    outgoing.push_head();
                    wanted.extend_from_slice(&bytes);
                }
                socket.room = room;
                outgoing.write_to(&mut socket, &body).expect("written");
                let most = OUTGOING_FORGOTTEN_MIN_BYTES + 60_000 + 2 * outgoing.pending_bytes();
                prop_assert!(outgoing.head.len() <= most, "{}", outgoing.head.len());
            }
            socket.room = usize::MAX;
            prop_assert_eq!(outgoing.write_to(&mut socket, &body).expect("written"), Progress::Done);
            prop_assert_eq!(socket.taken, wanted);
        }
    }
}
