//! What waits to be written to the peer. Page bytes are not copied: they stay in the caller's staging area ("body").

use std::io::{self, ErrorKind, IoSlice, Write};
use std::ops::Range;

use super::limits::{OUTGOING_RETAINED_BYTES, SEGMENTS_PER_WRITE};

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
                    return Ok(Progress::Pending);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.clear();
        Ok(Progress::Done)
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
