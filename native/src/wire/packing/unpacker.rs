//! Unpacks what arrives.

use std::fmt;

use lz4_flex::block::decompress_into;
use xxhash_rust::xxh3::xxh3_64;
use zstd::bulk::Decompressor;

use super::super::cursor::Cursor;
use super::super::limits::MAX_PAYLOAD;
use super::{Codec, PackingError};

/// Unpacks payloads. Its memory is taken when it is first needed, and kept.
#[derive(Default)]
pub(in super::super) struct Unpacker {
    buffer: Vec<u8>,
    plain_bytes: usize,
    zstd: Option<Decompressor<'static>>,
}

impl fmt::Debug for Unpacker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Unpacker({} bytes)", self.buffer.len())
    }
}

impl Unpacker {
    /// Unpacks one payload; it is then at [`Unpacker::plain`].
    pub(in super::super) fn unpack(
        &mut self,
        codec: Codec,
        packed: &[u8],
    ) -> Result<(), PackingError> {
        let found = packed.len();
        let mut rest = Cursor::new(packed);
        let head = rest.u32().zip(rest.u64());
        let (plain, expected) = head.ok_or(PackingError::Torn { found })?;
        let bytes = plain as usize;
        if bytes > MAX_PAYLOAD || bytes <= found {
            return Err(PackingError::Length {
                packed: found,
                plain,
            });
        }
        if self.buffer.len() < bytes {
            self.buffer.resize(bytes, 0);
        }
        self.plain_bytes = bytes;
        let output = &mut self.buffer[..bytes];
        let unpacked = match codec {
            Codec::Lz4 => decompress_into(rest.rest(), output).ok(),
            Codec::Zstd => {
                if self.zstd.is_none() {
                    self.zstd = Decompressor::new().ok();
                }
                self.zstd
                    .as_mut()
                    .and_then(|zstd| zstd.decompress_to_buffer(rest.rest(), output).ok())
            }
        };
        if unpacked != Some(bytes) {
            return Err(PackingError::Corrupt { codec, plain });
        }
        match xxh3_64(self.plain()) {
            found if found == expected => Ok(()),
            found => Err(PackingError::Checksum { expected, found }),
        }
    }

    /// What was unpacked last.
    pub(in super::super) fn plain(&self) -> &[u8] {
        &self.buffer[..self.plain_bytes]
    }
}
