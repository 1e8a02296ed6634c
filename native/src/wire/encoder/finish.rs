//! The ends of frames: header, checksums, tally.

use std::mem;
use std::ops::Range;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::super::frame::{FrameKind, Header};
use super::super::limits::{HEADER_BYTES, MAX_PAYLOAD};
use super::super::packing::Codec;
use super::{Encoder, Place};

impl Encoder<'_> {
    pub(super) fn place(&self) -> Place {
        self.direction.open.expect("a transaction has begun")
    }

    pub(super) fn reserve_header(&mut self) -> usize {
        let at = self.outgoing.head.len();
        self.outgoing.head.extend_from_slice(&[0; HEADER_BYTES]);
        at
    }

    /// The changes of pages, all in one frame behind the whole pages.
    pub(super) fn finish_deltas(&mut self, place: Place) {
        let count = u64::from(self.direction.deltas.count());
        let header_at = self.reserve_header();
        let Some(payload) = self.direction.deltas.payload() else {
            self.outgoing.head.truncate(header_at);
            return;
        };
        self.outgoing.head.extend_from_slice(payload);
        self.finish_bulk(FrameKind::Deltas, place, header_at, &[], &[]);
        self.direction.deltas.restart();
        self.direction.tally.pages += count;
    }

    pub(super) fn finish_outputs(&mut self, place: Place, header_at: usize, count: u32) {
        let payload = &mut self.outgoing.head[header_at + HEADER_BYTES..];
        payload[..4].copy_from_slice(&count.to_le_bytes());
        self.finish_bulk(FrameKind::Outputs, place, header_at, &[], &[]);
        self.direction.tally.packets += u64::from(count);
    }

    /// A frame of the transaction with a small payload.
    pub(super) fn counted(&mut self, kind: FrameKind, place: Place, payload: &[u8]) {
        let checksum = self.whole(kind, place, payload);
        self.direction.tally.add_frame(kind, checksum);
    }

    pub(super) fn whole(&mut self, kind: FrameKind, place: Place, payload: &[u8]) -> u64 {
        let checksum = xxh3_64(payload);
        let header_at = self.reserve_header();
        self.outgoing.head.extend_from_slice(payload);
        self.finish(kind, None, place, header_at, payload.len(), checksum);
        checksum
    }

    /// Ends a frame of which there may be much. Its payload is what follows the header in the head, and then `ranges` of the
    /// body, which stay there unless the payload is packed.
    pub(super) fn finish_bulk(
        &mut self,
        kind: FrameKind,
        place: Place,
        header_at: usize,
        body: &[u8],
        ranges: &[Range<usize>],
    ) {
        let payload_at = header_at + HEADER_BYTES;
        let in_body: usize = ranges.iter().map(Range::len).sum();
        let plain_bytes = self.outgoing.head.len() - payload_at + in_body;
        let (codec, payload_bytes, checksum) =
            if let Some((codec, checksum)) = self.pack(payload_at, plain_bytes, body, ranges) {
                let packed_bytes = self.outgoing.head.len() - payload_at;
                (Some(codec), packed_bytes, checksum)
            } else {
                let head = &self.outgoing.head[payload_at..];
                (None, plain_bytes, checksum_of(head, body, ranges))
            };
        self.finish(kind, codec, place, header_at, payload_bytes, checksum);
        if codec.is_none() {
            for range in ranges {
                self.outgoing.push_body(range.clone());
            }
        }
        if kind.is_transaction() {
            self.direction.tally.add_frame(kind, checksum);
        }
    }

    /// Replaces the payload by the packed one, if that is wanted and worth it; returns its checksum.
    fn pack(
        &mut self,
        payload_at: usize,
        plain_bytes: usize,
        body: &[u8],
        ranges: &[Range<usize>],
    ) -> Option<(Codec, u64)> {
        let (packer, head) = (&mut self.direction.packer, &mut self.outgoing.head);
        if !packer.wants(plain_bytes) {
            return None;
        }
        let mut gathered = mem::take(&mut packer.gathered);
        gathered.clear();
        gathered.extend_from_slice(&head[payload_at..]);
        for range in ranges {
            gathered.extend_from_slice(&body[range.clone()]);
        }
        let done = packer.pack(&gathered).map(|(codec, payload)| {
            head.truncate(payload_at);
            head.extend_from_slice(payload);
            (codec, xxh3_64(payload))
        });
        packer.gathered = gathered;
        done
    }

    fn finish(
        &mut self,
        kind: FrameKind,
        packing: Option<Codec>,
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
            packing,
            payload_len: u32::try_from(payload_bytes).expect("bounded above"),
            generation: place.generation,
            epoch: place.epoch,
            sequence: self.direction.next_sequence,
            payload_checksum,
            session: self.direction.session,
        };
        self.direction.next_sequence += 1;
        self.outgoing.head[header_at..][..HEADER_BYTES].copy_from_slice(&header.encode());
        self.outgoing.push_head();
    }
}

fn checksum_of(head: &[u8], body: &[u8], ranges: &[Range<usize>]) -> u64 {
    match (head, ranges) {
        (head, []) => xxh3_64(head),
        ([], [range]) => xxh3_64(&body[range.clone()]),
        _ => {
            let mut checksum = Xxh3::new();
            checksum.update(head);
            for range in ranges {
                checksum.update(&body[range.clone()]);
            }
            checksum.digest()
        }
    }
}
