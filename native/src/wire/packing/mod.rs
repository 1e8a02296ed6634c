//! Payloads that travel packed: compressed as a whole, frame by frame.
//!
//! ```text
//! u32 plain_bytes, u64 plain_checksum, the compressed payload
//! ```
//! The header's flags name the [`Codec`], its checksum is that of what travels and is checked before anything is unpacked.
//! A packed payload is always shorter than the plain one, which is never longer than [`MAX_PAYLOAD`]; unpacking yields
//! exactly `plain_bytes` with that checksum, or the frame is refused. The memory for it is bounded by that too.

mod packer;
mod unpacker;

use thiserror::Error;

use super::limits::MAX_PAYLOAD;

pub(super) use packer::Packer;
pub(super) use unpacker::Unpacker;

/// Bytes before the compressed ones.
const PACKED_HEAD_BYTES: usize = 12;
/// How a payload is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum Codec {
    /// LZ4 block format.
    Lz4 = 1,
    /// One Zstandard frame.
    Zstd = 2,
}

impl Codec {
    /// All of them, the fastest first.
    pub const ALL: [Self; 2] = [Self::Lz4, Self::Zstd];
}

/// What is wrong with a packed payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PackingError {
    /// It ends within its head.
    #[error("packed payload of {found} bytes ends within its head")]
    Torn {
        /// Its length, bytes.
        found: usize,
    },
    /// It stands for more than the bound, or for no more than itself.
    #[error(
        "{packed} bytes stand for {plain}, expected more than themselves and at most {MAX_PAYLOAD}"
    )]
    Length {
        /// The packed payload's length, bytes.
        packed: usize,
        /// The plain one's, as announced.
        plain: u32,
    },
    /// It cannot be unpacked.
    #[error("payload packed by {codec:?} cannot be unpacked to the {plain} bytes announced")]
    Corrupt {
        /// How it is packed.
        codec: Codec,
        /// The plain payload's length, as announced.
        plain: u32,
    },
    /// It was unpacked to something else.
    #[error("unpacked payload has checksum {found:#018x}, expected {expected:#018x}")]
    Checksum {
        /// Computed before it was packed.
        expected: u64,
        /// Of what came out.
        found: u64,
    },
}

#[cfg(test)]
mod tests {
    use super::super::limits::{PACK_MIN_BYTES, SAMPLE_BYTES};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn packed(codec: Codec, plain: &[u8]) -> Option<Vec<u8>> {
        let mut packer = Packer::default();
        packer.choose(Some(codec));
        let (found, payload) = packer.pack(plain)?;
        assert_eq!(found, codec);
        Some(payload.to_vec())
    }

    fn payload() -> impl Strategy<Value = Vec<u8>> {
        let run = (any::<u8>(), 1..400usize, any::<bool>());
        vec(run, 0..60).prop_map(|runs| {
            let run = |(seed, length, even): (u8, usize, bool)| {
                (0..length).map(move |at| {
                    let noise = u8::try_from(at * at % 251).expect("small");
                    if even { seed } else { seed ^ noise }
                })
            };
            runs.into_iter().flat_map(run).collect()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]
        /// What is packed comes out the same and is shorter on its way.
        #[test]
        fn a_packed_payload_comes_out_as_it_was(plain in payload(), codec in prop::sample::select(&Codec::ALL[..])) {
            if let Some(packed) = packed(codec, &plain) {
                prop_assert!(packed.len() < plain.len());
                let mut unpacker = Unpacker::default();
                prop_assert_eq!(unpacker.unpack(codec, &packed), Ok(()));
                prop_assert_eq!(unpacker.plain(), plain);
            }
        }

        /// A bit that was flipped after the header's checksum was made gives the same payload or an error, never another one.
        #[test]
        fn a_flipped_bit_never_yields_another_payload(
            plain in payload(),
            codec in prop::sample::select(&Codec::ALL[..]),
            at in any::<prop::sample::Index>(),
            bit in 0..8u32,
        ) {
            if let Some(mut packed) = packed(codec, &plain) {
                let at = at.index(packed.len());
                packed[at] ^= 1 << bit;
                let mut unpacker = Unpacker::default();
                if unpacker.unpack(codec, &packed).is_ok() {
                    prop_assert_eq!(unpacker.plain(), plain);
                }
            }
        }

        #[test]
        fn every_truncation_is_refused(
            plain in payload(),
            codec in prop::sample::select(&Codec::ALL[..]),
            at in any::<prop::sample::Index>(),
        ) {
            if let Some(packed) = packed(codec, &plain) {
                let cut = &packed[..at.index(packed.len())];
                prop_assert!(Unpacker::default().unpack(codec, cut).is_err());
            }
        }

        #[test]
        fn random_bytes_are_refused_within_bounds(
            mut bytes in vec(any::<u8>(), 0..300),
            codec in prop::sample::select(&Codec::ALL[..]),
            announced in 0..2_000_000u32,
        ) {
            if let Some(length) = bytes.first_chunk_mut() {
                *length = announced.to_le_bytes();
            }
            let mut unpacker = Unpacker::default();
            prop_assert!(unpacker.unpack(codec, &bytes).is_err());
            prop_assert!(unpacker.plain().len() <= MAX_PAYLOAD);
        }
    }

    #[test]
    fn a_bomb_is_refused_by_its_announcement_and_by_its_contents() {
        let plain = vec![0; MAX_PAYLOAD];
        for codec in Codec::ALL {
            let mut bomb = packed(codec, &plain).expect("zeros");
            assert!(bomb.len() < plain.len() / 100);
            let mut unpacker = Unpacker::default();
            assert_eq!(unpacker.unpack(codec, &bomb), Ok(()));
            for announced in [MAX_PAYLOAD + 1, u32::MAX as usize, bomb.len(), 0] {
                let announced = u32::try_from(announced).expect("fits");
                bomb[..4].copy_from_slice(&announced.to_le_bytes());
                let refused = PackingError::Length {
                    packed: bomb.len(),
                    plain: announced,
                };
                assert_eq!(unpacker.unpack(codec, &bomb), Err(refused));
            }
            // More than announced, and less.
            let announced = u32::try_from(MAX_PAYLOAD).expect("fits") - 1;
            bomb[..4].copy_from_slice(&announced.to_le_bytes());
            let corrupt = PackingError::Corrupt {
                codec,
                plain: announced,
            };
            assert_eq!(unpacker.unpack(codec, &bomb), Err(corrupt));
            let mut short = packed(codec, &plain[1..]).expect("zeros");
            short[..4].copy_from_slice(&(announced + 1).to_le_bytes());
            assert!(matches!(
                unpacker.unpack(codec, &short),
                Err(PackingError::Corrupt { .. })
            ));
        }
    }

    #[test]
    fn what_does_not_shrink_and_what_is_short_travels_plain() {
        let mut seed = 1u64;
        let noise: Vec<u8> = (0..5000)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                seed.to_be_bytes()[0]
            })
            .collect();
        for codec in Codec::ALL {
            assert_eq!(packed(codec, &noise), None);
            assert_eq!(packed(codec, &[0; PACK_MIN_BYTES - 1]), None);
            assert!(packed(codec, &[0; PACK_MIN_BYTES]).is_some());
        }
    }

    #[test]
    fn a_sample_is_kept_once_and_bounded() {
        let (mut packer, mut unpacker) = (Packer::default(), Unpacker::default());
        assert!(!packer.wants(1 << 20));
        assert_eq!(packer.try_out(Codec::Lz4, &mut unpacker), None);
        packer.take_sample();
        while packer.wants(1) {
            assert_eq!(packer.pack(&[3; 5000]), None, "no codec is chosen");
        }
        let (before, after) = packer
            .try_out(Codec::Zstd, &mut unpacker)
            .expect("a sample");
        assert_eq!(before, SAMPLE_BYTES as u64);
        assert!(after < 100);
        assert_eq!(packer.try_out(Codec::Zstd, &mut unpacker), None);
    }
}
