use super::*;

const HEADER: Header = Header {
    kind: FrameKind::Pages,
    packing: None,
    payload_len: 4096,
    generation: 2,
    epoch: 4711,
    sequence: 9,
    payload_checksum: 0x0123_4567_89ab_cdef,
    session: 0xfedc_ba98_7654_3210,
};

#[test]
fn a_header_survives_the_wire_for_every_kind() {
    let kinds = (0..=u16::MAX).filter_map(FrameKind::from_wire);
    let numbers: Vec<u16> = kinds
        .map(|kind| {
            let header = Header { kind, ..HEADER };
            assert_eq!(Header::decode(&header.encode()), Ok(header));
            kind as u16
        })
        .collect();
    // 11 was `Cancel`.
    assert_eq!(numbers, (1..=26).filter(|&n| n != 11).collect::<Vec<_>>());
}

#[test]
fn only_kinds_of_which_there_is_much_may_be_packed_and_only_by_a_known_codec() {
    for kind in (0..=u16::MAX).filter_map(FrameKind::from_wire) {
        for codec in Codec::ALL {
            let packing = Some(codec);
            let header = Header {
                kind,
                packing,
                ..HEADER
            };
            let found = codec as u32;
            let expected = if kind.may_be_packed() {
                Ok(header)
            } else {
                Err(FrameError::Packing { kind, found })
            };
            assert_eq!(Header::decode(&header.encode()), expected);
        }
    }
    let mut bytes = HEADER.encode();
    bytes[8] = 3;
    let checksum = xxh3_64(&bytes[..CHECKED_BYTES]);
    bytes[CHECKED_BYTES..].copy_from_slice(&checksum.to_le_bytes());
    let (kind, found) = (FrameKind::Pages, 3);
    assert_eq!(
        Header::decode(&bytes),
        Err(FrameError::Packing { kind, found })
    );
}

#[test]
fn every_single_bit_flip_of_a_header_is_refused() {
    for bit in 0..HEADER_BYTES * 8 {
        let mut bytes = HEADER.encode();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(Header::decode(&bytes).is_err(), "bit {bit}");
    }
}

#[test]
fn a_payload_beyond_the_bound_is_refused_by_length() {
    let found = u32::try_from(MAX_PAYLOAD).expect("fits") + 1;
    let bytes = Header {
        payload_len: found,
        ..HEADER
    }
    .encode();
    assert_eq!(
        Header::decode(&bytes),
        Err(FrameError::PayloadTooLong { found })
    );
}

#[test]
fn the_errors_name_what_was_expected_and_found() {
    let mut bytes = HEADER.encode();
    bytes[4] = 7;
    let message = Header::decode(&bytes)
        .expect_err("another version")
        .to_string();
    assert_eq!(
        message,
        "the peer speaks version 7 of the protocol, this engine version 6: install the same Kemari on both hosts"
    );
}
