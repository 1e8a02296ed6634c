//! Makes frames. The only way to make one, so that order, counts and digest are right by construction.

mod control;
mod finish;
mod pages;

use std::ops::Range;

use super::deltas::{Base, DeltaFrame};
use super::device_delta::{self, DeviceBase};
use super::frame::FrameKind;
use super::limits::{
    HEADER_BYTES, MAX_DEVICE_STATE_PER_FRAME, MAX_HELLO, MAX_PACKET, MAX_PAYLOAD,
    MAX_RAW_PAGES_PER_FRAME, MAX_RUNS_PER_FRAME, OUTPUTS_PER_FRAME, PAGE_BYTES,
};
use super::opening::Opening;
use super::outgoing::Outgoing;
use super::packing::{Codec, Packer, Unpacker};
use super::page_frame::PageFrame;
use super::session::NO_SESSION;
use super::tally::Tally;
use super::transaction::Acknowledgement;

pub use control::ControlKind;

/// A run in the table of a frame of pages.
const RUN_BYTES: usize = 16;
/// What a transaction begins with, and heartbeats.
const SMALL_FRAMES_BYTES: usize = 16 * HEADER_BYTES;

/// Pages that were captured: they follow each other both in the guest's RAM and in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapturedRun {
    /// Number of the first page (offset in the RAM file / 4096).
    pub first_page: u64,
    /// Number of pages.
    pub pages: u32,
    /// Where the first page is in the body, bytes.
    pub body_offset: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    generation: u64,
    epoch: u64,
}

/// The sending side of one direction of one connection: numbers its frames and counts its transaction.
/// A new connection needs a new one.
#[derive(Debug)]
pub struct Direction {
    session: u64,
    next_sequence: u64,
    open: Option<Place>,
    tally: Tally,
    page_frame: PageFrame,
    deltas: DeltaFrame,
    packer: Packer,
    unpacker: Unpacker,
    /// Bytes of page frames before they were packed.
    plain_page_bytes: u64,
}

impl Default for Direction {
    fn default() -> Self {
        Self::new()
    }
}

impl Direction {
    /// A new connection: the first frame has number 0.
    pub fn new() -> Self {
        Self {
            session: NO_SESSION,
            next_sequence: 0,
            open: None,
            tally: Tally::new(),
            page_frame: PageFrame::default(),
            deltas: DeltaFrame::new(),
            packer: Packer::default(),
            unpacker: Unpacker::default(),
            plain_page_bytes: 0,
        }
    }

    /// From here on every frame bears this session.
    pub fn join(&mut self, session: u64) {
        self.session = session;
    }

    /// Adds frames to `outgoing`.
    pub fn encoder<'a>(&'a mut self, outgoing: &'a mut Outgoing) -> Encoder<'a> {
        Encoder {
            direction: self,
            outgoing,
        }
    }
}

/// Adds whole frames to an [`Outgoing`].
///
/// # Panics
/// Its methods panic when frames are asked for in an order that the protocol does not have, or beyond its bounds:
/// both are mistakes of the program.
#[derive(Debug)]
pub struct Encoder<'a> {
    direction: &'a mut Direction,
    outgoing: &'a mut Outgoing,
}

#[expect(clippy::missing_panics_doc, reason = "said once, at the type")]
impl Encoder<'_> {
    /// A small frame that stands alone. `payload` is at most [`MAX_HELLO`] bytes.
    pub fn control(&mut self, kind: ControlKind, generation: u64, epoch: u64, payload: &[u8]) {
        assert!(
            payload.len() <= MAX_HELLO,
            "{kind:?} payload of {} bytes",
            payload.len()
        );
        self.whole(kind.frame_kind(), Place { generation, epoch }, payload);
    }

    /// Pages of a baseline, outside of any transaction; split into as many frames as it takes. Returns what they come to
    /// before they are packed, bytes.
    pub fn sync_pages(
        &mut self,
        generation: u64,
        epoch: u64,
        body: &[u8],
        runs: &[CapturedRun],
    ) -> u64 {
        assert!(
            self.direction.open.is_none(),
            "baseline pages within a transaction"
        );
        self.page_frames(
            FrameKind::SyncPages,
            Place { generation, epoch },
            body,
            runs,
            |_| None,
        )
    }

    /// Starts a transaction.
    pub fn begin(&mut self, generation: u64, epoch: u64, opening: &Opening) {
        assert!(
            self.direction.open.is_none(),
            "a transaction within a transaction"
        );
        let place = Place { generation, epoch };
        self.direction.open = Some(place);
        self.direction.tally.restart();
        self.direction.deltas.restart();
        self.counted(FrameKind::Begin, place, &opening.encode());
    }

    /// Pages of the transaction; split into as many frames as it takes. Zero pages are sent as a flag, the bytes of the
    /// others stay in `body`. `bases` says what the secondary has committed of a page: of such a page only the changes are
    /// sent. A page is given once. Returns what they come to before they are packed, bytes.
    pub fn pages<'b>(
        &mut self,
        body: &[u8],
        runs: &[CapturedRun],
        bases: impl Fn(u64) -> Option<Base<'b>>,
    ) -> u64 {
        let place = self.place();
        self.page_frames(FrameKind::Pages, place, body, runs, bases)
    }

    /// Device state: the bytes of `body` in `range`, which is not empty; they stay there. If `base` says what the secondary
    /// has committed, only the changes are sent, unless they are more than half of it.
    pub fn device_state(&mut self, body: &[u8], range: Range<usize>, base: Option<DeviceBase<'_>>) {
        let place = self.place();
        self.finish_deltas(place);
        assert!(!range.is_empty(), "no device state");
        self.direction.tally.device_bytes += range.len() as u64;
        if let Some(base) = base {
            let header_at = self.reserve_header();
            let head = &mut self.outgoing.head;
            if device_delta::encode(head, base, &body[range.clone()]) {
                self.finish_bulk(FrameKind::DeviceDelta, place, header_at, &[], &[]);
                return;
            }
            head.truncate(header_at);
        }
        let mut from = range.start;
        while from < range.end {
            let to = range.end.min(from + MAX_DEVICE_STATE_PER_FRAME);
            let header_at = self.reserve_header();
            let piece = from..to;
            let pieces = std::slice::from_ref(&piece);
            self.finish_bulk(FrameKind::DeviceState, place, header_at, body, pieces);
            from = to;
        }
    }

    /// Packets that wait for this epoch's ack, at most [`MAX_PACKET`] bytes each; split into as many frames as it takes.
    pub fn outputs<'p>(&mut self, packets: impl IntoIterator<Item = &'p [u8]>) {
        let place = self.place();
        let mut open: Option<(usize, u32)> = None;
        for packet in packets {
            assert!(
                packet.len() <= MAX_PACKET,
                "packet of {} bytes",
                packet.len()
            );
            let (header_at, count) = match open.take() {
                Some((header_at, count))
                    if self.outgoing.head.len() - header_at - HEADER_BYTES + 4 + packet.len()
                        <= OUTPUTS_PER_FRAME =>
                {
                    (header_at, count)
                }
                full => {
                    if let Some((header_at, count)) = full {
                        self.finish_outputs(place, header_at, count);
                    }
                    let header_at = self.reserve_header();
                    self.outgoing.head.extend_from_slice(&[0; 4]);
                    (header_at, 0)
                }
            };
            let bytes = u32::try_from(packet.len()).expect("bounded above");
            self.outgoing.head.extend_from_slice(&bytes.to_le_bytes());
            self.outgoing.head.extend_from_slice(packet);
            open = Some((header_at, count + 1));
        }
        if let Some((header_at, count)) = open {
            self.finish_outputs(place, header_at, count);
        }
    }

    /// Completes the transaction: counts and digest.
    pub fn commit(&mut self) {
        let place = self.place();
        assert!(
            self.direction.tally.device_bytes > 0,
            "a transaction without device state"
        );
        let totals = self.direction.tally.totals();
        self.whole(FrameKind::Commit, place, &totals.encode());
        self.direction.open = None;
    }

    /// Tells the primary that a whole epoch is here. Only a checked, complete transaction can be acknowledged.
    pub fn ack(&mut self, acknowledgement: Acknowledgement) {
        let place = Place {
            generation: acknowledgement.generation(),
            epoch: acknowledgement.epoch(),
        };
        self.whole(FrameKind::Ack, place, &[]);
    }

    /// Takes all the memory that it takes to add `pages` pages, as they would be packed now, and a few small frames: none is
    /// asked for then. Pages of which only the changes are sent are not meant.
    pub fn reserve_pages(&mut self, pages: usize) {
        let frames = pages / MAX_RAW_PAGES_PER_FRAME + pages / (MAX_RUNS_PER_FRAME - 1) + 2;
        let table = RUN_BYTES * (pages + frames) + frames * (HEADER_BYTES + 4);
        let head = table + SMALL_FRAMES_BYTES;
        let direction = &mut *self.direction;
        direction.page_frame.reserve();
        let frame = MAX_PAYLOAD.min(pages * PAGE_BYTES + table);
        direction.packer.reserve(frame);
        let packed = if direction.packer.wants(frame) {
            // In its place first, and then instead.
            pages * PAGE_BYTES
        } else {
            0
        };
        self.outgoing.reserve(head + packed, 2 * (pages + frames));
    }

    /// From now on payloads of which there is much are packed by `codec` if that shortens them, or not at all.
    pub fn pack_by(&mut self, codec: Option<Codec>) {
        self.direction.packer.choose(codec);
    }

    /// Keeps some of what is encoded from now on as a sample for [`Encoder::try_out`].
    pub fn take_sample(&mut self) {
        self.direction.packer.take_sample();
    }

    /// Packs and unpacks the sample, once; returns its length plain and packed (bytes), `None` if there is none. Whoever
    /// calls this takes the time.
    pub fn try_out(&mut self, codec: Codec) -> Option<(u64, u64)> {
        let Direction {
            packer, unpacker, ..
        } = &mut *self.direction;
        packer.try_out(codec, unpacker)
    }
}
