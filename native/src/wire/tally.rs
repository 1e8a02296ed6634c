//! What a transaction consists of, counted on both sides and compared at `Commit`.

use std::fmt;

use xxhash_rust::xxh3::Xxh3;

use super::cursor::Cursor;
use super::frame::FrameKind;

/// Size of the payload of `Commit`, bytes.
pub(super) const TOTALS_BYTES: usize = 36;

/// The payload of `Commit`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Totals {
    /// Frames before `Commit`, `Begin` included.
    pub frames: u32,
    /// Pages, zero pages included.
    pub pages: u64,
    /// Device state, bytes.
    pub device_bytes: u64,
    /// Packets.
    pub packets: u64,
    /// xxh3-64 of the kinds and payload checksums of all those frames.
    pub digest: u64,
}

impl Totals {
    pub(super) fn encode(&self) -> [u8; TOTALS_BYTES] {
        let mut bytes = [0; TOTALS_BYTES];
        bytes[0..4].copy_from_slice(&self.frames.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.pages.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.device_bytes.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.packets.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.digest.to_le_bytes());
        bytes
    }

    /// `None` if the payload is not exactly [`TOTALS_BYTES`] long.
    pub(super) fn decode(payload: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(payload);
        let totals = Self {
            frames: cursor.u32()?,
            pages: cursor.u64()?,
            device_bytes: cursor.u64()?,
            packets: cursor.u64()?,
            digest: cursor.u64()?,
        };
        cursor.rest().is_empty().then_some(totals)
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            frames,
            pages,
            device_bytes,
            packets,
            digest,
        } = self;
        write!(
            formatter,
            "{frames} frames, {pages} pages, {device_bytes} bytes of device state, {packets} packets, digest {digest:#018x}"
        )
    }
}

/// Counts while the frames go by.
#[derive(Clone)]
pub(super) struct Tally {
    pub(super) frames: u32,
    pub(super) pages: u64,
    pub(super) device_bytes: u64,
    pub(super) packets: u64,
    digest: Xxh3,
}

impl fmt::Debug for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Tally({})", self.totals())
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            frames: 0,
            pages: 0,
            device_bytes: 0,
            packets: 0,
            digest: Xxh3::new(),
        }
    }

    /// Starts over, for the next transaction.
    pub(super) fn restart(&mut self) {
        self.digest.reset();
        (self.frames, self.pages, self.device_bytes, self.packets) = (0, 0, 0, 0);
    }

    pub(super) fn add_frame(&mut self, kind: FrameKind, payload_checksum: u64) {
        self.frames += 1;
        self.digest.update(&(kind as u16).to_le_bytes());
        self.digest.update(&payload_checksum.to_le_bytes());
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            frames: self.frames,
            pages: self.pages,
            device_bytes: self.device_bytes,
            packets: self.packets,
            digest: self.digest.digest(),
        }
    }
}
