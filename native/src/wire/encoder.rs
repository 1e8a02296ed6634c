//! Makes frames. The only way to make one, so that order, counts and digest are right by construction.

use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::deltas::{Base, DeltaFrame, Difference};
use super::frame::{FrameKind, Header};
use super::limits::{
    HEADER_BYTES, MAX_DEVICE_STATE_PER_FRAME, MAX_HELLO, MAX_PACKET, MAX_PAYLOAD,
    OUTPUTS_PER_FRAME, PAGE_BYTES,
};
use super::outgoing::Outgoing;
use super::page_frame::PageFrame;
use super::pages::is_zero;
use super::tally::Tally;
use super::transaction::Acknowledgement;

/// Frames that stand alone and need nothing proven first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlKind {
    /// See [`FrameKind::Hello`].
    Hello,
    /// See [`FrameKind::Welcome`].
    Welcome,
    /// See [`FrameKind::Refuse`].
    Refuse,
    /// See [`FrameKind::SyncBegin`].
    SyncBegin,
    /// See [`FrameKind::Handover`].
    Handover,
    /// See [`FrameKind::HandoverAck`].
    HandoverAck,
    /// See [`FrameKind::Farewell`].
    Farewell,
    /// See [`FrameKind::End`].
    End,
    /// See [`FrameKind::EndAck`].
    EndAck,
    /// See [`FrameKind::Input`].
    Input,
}

impl ControlKind {
    fn frame_kind(self) -> FrameKind {
        match self {
            Self::Hello => FrameKind::Hello,
            Self::Welcome => FrameKind::Welcome,
            Self::Refuse => FrameKind::Refuse,
            Self::SyncBegin => FrameKind::SyncBegin,
            Self::Handover => FrameKind::Handover,
            Self::HandoverAck => FrameKind::HandoverAck,
            Self::Farewell => FrameKind::Farewell,
            Self::End => FrameKind::End,
            Self::EndAck => FrameKind::EndAck,
            Self::Input => FrameKind::Input,
        }
    }
}

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
    next_sequence: u64,
    open: Option<Place>,
    tally: Tally,
    page_frame: PageFrame,
    deltas: DeltaFrame,
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
            next_sequence: 0,
            open: None,
            tally: Tally::new(),
            page_frame: PageFrame::default(),
            deltas: DeltaFrame::new(),
        }
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

    /// Pages of a baseline, outside of any transaction; split into as many frames as it takes.
    pub fn sync_pages(&mut self, generation: u64, epoch: u64, body: &[u8], runs: &[CapturedRun]) {
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
        );
    }

    /// Starts a transaction. `released_epoch`: the last epoch whose outputs have left the primary.
    pub fn begin(&mut self, generation: u64, epoch: u64, released_epoch: u64) {
        assert!(
            self.direction.open.is_none(),
            "a transaction within a transaction"
        );
        let place = Place { generation, epoch };
        self.direction.open = Some(place);
        self.direction.tally.restart();
        self.direction.deltas.restart();
        self.counted(FrameKind::Begin, place, &released_epoch.to_le_bytes());
    }

    /// Pages of the transaction; split into as many frames as it takes. Zero pages are sent as a flag, the bytes of the
    /// others stay in `body`. `bases` says what the secondary has committed of a page: of such a page only the changes are
    /// sent. A page is given once.
    pub fn pages<'b>(
        &mut self,
        body: &[u8],
        runs: &[CapturedRun],
        bases: impl Fn(u64) -> Option<Base<'b>>,
    ) {
        let place = self.place();
        self.page_frames(FrameKind::Pages, place, body, runs, bases);
    }

    /// Device state: the bytes of `body` in `range`, which is not empty; they stay there.
    pub fn device_state(&mut self, body: &[u8], range: Range<usize>) {
        let place = self.place();
        self.finish_deltas(place);
        assert!(!range.is_empty(), "no device state");
        let mut from = range.start;
        while from < range.end {
            let to = range.end.min(from + MAX_DEVICE_STATE_PER_FRAME);
            let checksum = xxh3_64(&body[from..to]);
            let header_at = self.reserve_header();
            self.finish(
                FrameKind::DeviceState,
                place,
                header_at,
                to - from,
                checksum,
            );
            self.outgoing.push_body(from..to);
            self.direction
                .tally
                .add_frame(FrameKind::DeviceState, checksum);
            self.direction.tally.device_bytes += (to - from) as u64;
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

    /// Ends the transaction as if it had never begun.
    pub fn cancel(&mut self) {
        let place = self.place();
        self.whole(FrameKind::Cancel, place, &[]);
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

    fn place(&self) -> Place {
        self.direction.open.expect("a transaction has begun")
    }

    fn page_frames<'b>(
        &mut self,
        kind: FrameKind,
        place: Place,
        body: &[u8],
        runs: &[CapturedRun],
        bases: impl Fn(u64) -> Option<Base<'b>>,
    ) {
        let mut header_at = self.open_page_frame();
        for run in runs {
            let bytes = &body[run.body_offset..][..run.pages as usize * PAGE_BYTES];
            let (pages, _) = bytes.as_chunks::<PAGE_BYTES>();
            for ((page, offset), contents) in (run.first_page..)
                .zip((run.body_offset..).step_by(PAGE_BYTES))
                .zip(pages)
            {
                let zero = is_zero(contents);
                if !zero
                    && let Some(base) = bases(page)
                    && self.direction.deltas.add(page, base, contents) != Difference::Whole
                {
                    continue;
                }
                if !self
                    .direction
                    .page_frame
                    .add(&mut self.outgoing.head, page, offset, zero)
                {
                    self.finish_pages(kind, place, header_at, body);
                    header_at = self.open_page_frame();
                    let added =
                        self.direction
                            .page_frame
                            .add(&mut self.outgoing.head, page, offset, zero);
                    assert!(added, "an empty frame has room for a page");
                }
            }
        }
        if self.direction.page_frame.is_empty() {
            self.outgoing.head.truncate(header_at);
        } else {
            self.finish_pages(kind, place, header_at, body);
        }
    }

    fn open_page_frame(&mut self) -> usize {
        self.direction.page_frame.restart();
        let header_at = self.reserve_header();
        self.outgoing.head.extend_from_slice(&[0; 4]);
        header_at
    }

    fn finish_pages(&mut self, kind: FrameKind, place: Place, header_at: usize, body: &[u8]) {
        let frame = &mut self.direction.page_frame;
        frame.close_run(&mut self.outgoing.head);
        let table = &mut self.outgoing.head[header_at + HEADER_BYTES..];
        table[..4].copy_from_slice(&frame.runs().to_le_bytes());
        let mut checksum = Xxh3::new();
        checksum.update(table);
        let mut payload_bytes = table.len();
        for range in frame.ranges() {
            checksum.update(&body[range.clone()]);
            payload_bytes += range.len();
        }
        let checksum = checksum.digest();
        self.finish(kind, place, header_at, payload_bytes, checksum);
        for range in self.direction.page_frame.ranges() {
            self.outgoing.push_body(range.clone());
        }
        if kind == FrameKind::Pages {
            self.direction.tally.add_frame(kind, checksum);
            self.direction.tally.pages += self.direction.page_frame.pages();
        }
    }

    /// The changes of pages, all in one frame behind the whole pages.
    fn finish_deltas(&mut self, place: Place) {
        let count = u64::from(self.direction.deltas.count());
        let Some(payload) = self.direction.deltas.payload() else {
            return;
        };
        let (payload_bytes, checksum) = (payload.len(), xxh3_64(payload));
        let header_at = self.outgoing.head.len();
        self.outgoing.head.extend_from_slice(&[0; HEADER_BYTES]);
        self.outgoing.head.extend_from_slice(payload);
        self.finish(FrameKind::Deltas, place, header_at, payload_bytes, checksum);
        self.direction.deltas.restart();
        self.direction.tally.add_frame(FrameKind::Deltas, checksum);
        self.direction.tally.pages += count;
    }

    fn finish_outputs(&mut self, place: Place, header_at: usize, count: u32) {
        let payload = &mut self.outgoing.head[header_at + HEADER_BYTES..];
        payload[..4].copy_from_slice(&count.to_le_bytes());
        let (payload_bytes, checksum) = (payload.len(), xxh3_64(payload));
        self.finish(
            FrameKind::Outputs,
            place,
            header_at,
            payload_bytes,
            checksum,
        );
        self.direction.tally.add_frame(FrameKind::Outputs, checksum);
        self.direction.tally.packets += u64::from(count);
    }

    /// A frame of the transaction with a small payload.
    fn counted(&mut self, kind: FrameKind, place: Place, payload: &[u8]) {
        let checksum = self.whole(kind, place, payload);
        self.direction.tally.add_frame(kind, checksum);
    }

    fn whole(&mut self, kind: FrameKind, place: Place, payload: &[u8]) -> u64 {
        let checksum = xxh3_64(payload);
        let header_at = self.reserve_header();
        self.outgoing.head.extend_from_slice(payload);
        self.finish(kind, place, header_at, payload.len(), checksum);
        checksum
    }

    fn reserve_header(&mut self) -> usize {
        let at = self.outgoing.head.len();
        self.outgoing.head.extend_from_slice(&[0; HEADER_BYTES]);
        at
    }

    fn finish(
        &mut self,
        kind: FrameKind,
        place: Place,
        header_at: usize,
        payload_bytes: usize,
        payload_checksum: u64,
    ) {
        assert!(
            payload_bytes <= MAX_PAYLOAD,
            "{kind:?} payload of {payload_bytes} bytes"
        );
        let header = Header {
            kind,
            payload_len: u32::try_from(payload_bytes).expect("bounded above"),
            generation: place.generation,
            epoch: place.epoch,
            sequence: self.direction.next_sequence,
            payload_checksum,
        };
        self.direction.next_sequence += 1;
        self.outgoing.head[header_at..][..HEADER_BYTES].copy_from_slice(&header.encode());
        self.outgoing.push_head();
    }
}
