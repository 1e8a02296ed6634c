//! What was sent comes back as it was, however large it is and in whichever pieces it travels.

use proptest::prelude::*;

use super::config;
use super::streams::{WHOLE, pieces, receive, split, written};
use super::transactions::{Captured, assembly_for, captured, opening_of, page};
use crate::wire::frame::FrameKind;
use crate::wire::limits::{HEADER_BYTES, MAX_PACKET, MAX_RAW_PAGES_PER_FRAME, PAGE_BYTES};
use crate::wire::*;

#[test]
fn a_transaction_survives_any_chunking_of_writes_and_reads() {
    proptest!(config(96), |(captured in captured(), writes in pieces(), reads in pieces(), follow in any::<bool>())| {
        let mut direction = Direction::new();
        let mut wire = captured.wire(&mut direction, &writes);
        let mut expected = vec![captured.applied()];
        if follow {
            let next = Captured { epoch: captured.epoch + 1, ..captured.clone() };
            wire.extend(next.wire(&mut direction, &writes));
            expected.push(next.applied());
        }
        prop_assert_eq!(receive(&mut assembly_for(&captured), &wire, &reads), expected);
    });
}

#[test]
fn large_captures_are_split_and_come_back_whole() {
    let pages = 3 * MAX_RAW_PAGES_PER_FRAME + 7;
    let guest_pages = 2 * pages as u64;
    let device_bytes = (2 << 20) + 5;
    let mut body: Vec<u8> = (0..pages)
        .flat_map(|number| page(if number % 5 == 0 { 0 } else { 9 }))
        .collect();
    let state = body.len()..body.len() + device_bytes;
    body.resize(state.end, 0x5a);
    // Every second page of the guest: no two captured pages follow each other.
    let runs: Vec<_> = (0..pages)
        .map(|number| CapturedRun {
            first_page: 2 * number as u64,
            pages: 1,
            body_offset: number * PAGE_BYTES,
        })
        .collect();
    let packets: Vec<Vec<u8>> = (0..20).map(|seed| vec![seed; MAX_PACKET]).collect();
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.begin(1, 1, &Opening::default());
    encoder.pages(&body, &runs, |_| None);
    encoder.device_state(&body, state, None);
    encoder.outputs(packets.iter().map(Vec::as_slice));
    encoder.commit();
    let wire = written(outgoing, &body, &[1_000_003]);
    let mut assembly = Assembly::new(guest_pages, 64 << 20);
    assembly.expect(1, 1);
    let applied = receive(&mut assembly, &wire, &[700_001]);
    assert_eq!(applied.len(), 1);
    assert_eq!(applied[0].pages.len(), pages);
    assert!(applied[0].pages.iter().all(|(number, contents)| {
        *contents == page(if (number / 2) % 5 == 0 { 0 } else { 9 })
    }));
    assert_eq!(applied[0].device_state, vec![0x5a; device_bytes]);
    assert_eq!(applied[0].packets, packets);
}

#[test]
fn an_alternation_of_zero_and_other_pages_fits_the_table() {
    let pages = 3000;
    let body: Vec<u8> = (0..pages)
        .flat_map(|number| page(u8::from(number % 2 == 0)))
        .collect();
    let runs = [CapturedRun {
        first_page: 0,
        pages,
        body_offset: 0,
    }];
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .sync_pages(1, 1, &body, &runs);
    let frames = split(&written(outgoing, &body, WHOLE));
    let mut next = 0;
    for (header, payload) in &frames {
        assert_eq!(header.kind, FrameKind::SyncPages);
        for run in PageRuns::decode(payload, u64::from(pages)).expect("its own") {
            assert_eq!(run.first_page, next);
            assert_eq!(run.content == Content::Zero, next % 2 == 1);
            next += u64::from(run.pages);
        }
    }
    assert_eq!(next, u64::from(pages));
}

#[test]
fn a_large_zero_area_costs_one_frame() {
    let body = vec![0; 4096 * PAGE_BYTES];
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    let runs = [CapturedRun {
        first_page: 0,
        pages: 4096,
        body_offset: 0,
    }];
    direction
        .encoder(&mut outgoing)
        .sync_pages(1, 1, &body, &runs);
    assert_eq!(outgoing.pending_bytes(), HEADER_BYTES + 4 + 16);
}

#[test]
fn an_ack_names_the_complete_transaction() {
    let model = Captured {
        generation: 3,
        epoch: 9,
        opening: opening_of([8, 1, 2]),
        runs: Vec::new(),
        ..Captured::first()
    };
    let mut assembly = assembly_for(&model);
    for (header, payload) in split(&model.wire(&mut Direction::new(), WHOLE)) {
        assembly.feed(&header, &payload).expect("fits");
    }
    let proof = assembly
        .transaction()
        .expect("complete")
        .acknowledgement(|_| false)
        .expect("it changes no page");
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction.encoder(&mut outgoing).ack(proof);
    let frames = split(&written(outgoing, &[], WHOLE));
    let (header, _) = &frames[0];
    assert_eq!(
        (header.kind, header.generation, header.epoch),
        (FrameKind::Ack, 3, 9)
    );
    assembly.reset();
    assert!(assembly.transaction().is_none());
}
