//! Packs what is sent.

use std::{fmt, mem};

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use xxhash_rust::xxh3::xxh3_64;
use zstd::zstd_safe::{CCtx, CParameter};

use super::super::limits::{PACK_MIN_BYTES, SAMPLE_BYTES};
use super::{Codec, PACKED_HEAD_BYTES, Unpacker};

/// A higher level packs several times slower for a few percent.
const ZSTD_LEVEL: i32 = 1;

/// Packs payloads. Its memory is taken when it is first needed, and kept.
#[derive(Default)]
pub(in super::super) struct Packer {
    codec: Option<Codec>,
    table: Option<CompressTable>,
    zstd: Option<CCtx<'static>>,
    packed: Vec<u8>,
    /// Where a payload that lies in pieces is put together.
    pub(in super::super) gathered: Vec<u8>,
    sample: Option<Vec<u8>>,
    /// The codec that has had all of its memory.
    ready: Option<Codec>,
}

impl fmt::Debug for Packer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Packer({:?})", self.codec)
    }
}

impl Packer {
    /// From now on payloads are packed by `codec`, or not.
    pub(in super::super) fn choose(&mut self, codec: Option<Codec>) {
        self.codec = codec;
    }

    /// Takes all the memory that packing a payload of at most `plain_bytes` can need, unless it is there.
    pub(in super::super) fn reserve(&mut self, plain_bytes: usize) {
        if self.codec.is_none() && self.sample.is_none() {
            return;
        }
        self.gathered.clear();
        self.gathered.reserve(plain_bytes);
        if let Some(codec) = self.codec
            && self.ready != self.codec
        {
            // The codecs take theirs when they are first used, by what they are given.
            let mut gathered = mem::take(&mut self.gathered);
            gathered.resize(plain_bytes, 0);
            let _ = self.pack_by(codec, &gathered, plain_bytes);
            self.gathered = gathered;
            self.ready = self.codec;
        }
    }

    /// Whether a payload of this length is to be packed, or a piece of it to be kept as sample.
    pub(in super::super) fn wants(&self, plain_bytes: usize) -> bool {
        let sampling = self
            .sample
            .as_ref()
            .is_some_and(|sample| sample.len() < SAMPLE_BYTES);
        sampling || (self.codec.is_some() && plain_bytes >= PACK_MIN_BYTES)
    }

    /// What of the payloads to come fits into a sample is kept for [`Packer::try_out`].
    pub(in super::super) fn take_sample(&mut self) {
        let mut sample = self.sample.take().unwrap_or_default();
        sample.clear();
        sample.reserve(SAMPLE_BYTES);
        self.sample = Some(sample);
    }

    /// The payload as it is to travel, and how it is packed; `None`: as it is, it is not worth it.
    pub(in super::super) fn pack(&mut self, plain: &[u8]) -> Option<(Codec, &[u8])> {
        if let Some(sample) = &mut self.sample {
            let room = SAMPLE_BYTES.saturating_sub(sample.len()).min(plain.len());
            sample.extend_from_slice(&plain[..room]);
        }
        let codec = self.codec?;
        if plain.len() < PACK_MIN_BYTES {
            return None;
        }
        // Less than a sixteenth saved does not pay for unpacking it.
        let most = plain.len() - plain.len() / 16;
        let bytes = self.pack_by(codec, plain, most)?;
        Some((codec, &self.packed[..bytes]))
    }

    fn pack_by(&mut self, codec: Codec, plain: &[u8], most: usize) -> Option<usize> {
        let plain_bytes = u32::try_from(plain.len()).ok()?;
        let room = match codec {
            // It does not start with less.
            Codec::Lz4 => PACKED_HEAD_BYTES + get_maximum_output_size(plain.len()),
            // It gives up when that is full.
            Codec::Zstd => most,
        };
        if self.packed.len() < room {
            self.packed.resize(room, 0);
        }
        let (head, output) = self.packed[..room].split_at_mut_checked(PACKED_HEAD_BYTES)?;
        let compressed = match codec {
            Codec::Lz4 => {
                let table = self.table.get_or_insert_with(CompressTable::large);
                compress_into_with_table(plain, output, table).ok()?
            }
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = zstd();
                }
                // What does not shrink is an error. One of `zstd::bulk` would take memory for each such frame, also in a pause.
                self.zstd.as_mut()?.compress2(output, plain).ok()?
            }
        };
        let (length, checksum) = head.split_at_mut(4);
        length.copy_from_slice(&plain_bytes.to_le_bytes());
        checksum.copy_from_slice(&xxh3_64(plain).to_le_bytes());
        Some(PACKED_HEAD_BYTES + compressed).filter(|&bytes| bytes <= most)
    }

    /// Packs and unpacks the sample; its length plain and packed, or `None` if there is none. Whoever calls it takes the time.
    pub(in super::super) fn try_out(
        &mut self,
        codec: Codec,
        unpacker: &mut Unpacker,
    ) -> Option<(u64, u64)> {
        let sample = self.sample.take().filter(|sample| !sample.is_empty())?;
        let (plain, most) = (sample.len(), sample.len() - 1);
        let packed = match self.pack_by(codec, &sample, most) {
            Some(bytes) => {
                unpacker.unpack(codec, &self.packed[..bytes]).ok()?;
                bytes
            }
            None => plain,
        };
        Some((plain as u64, packed as u64))
    }
}

/// What packs by zstd.
fn zstd() -> Option<CCtx<'static>> {
    let mut context = CCtx::try_create()?;
    let level = CParameter::CompressionLevel(ZSTD_LEVEL);
    context.set_parameter(level).ok()?;
    Some(context)
}
