//! What was spoiled on its way, belongs elsewhere or does not fit never completes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::config;
use super::streams::{WHOLE, join, receive, renumber, split};
use super::transactions::{
    Captured, GUEST_PAGES, LIMIT_BYTES, assembly_for, captured, committed_state,
};
use crate::wire::frame::FrameKind;
use crate::wire::limits::{HEADER_BYTES, PAGE_BYTES};
use crate::wire::tally::Totals;
use crate::wire::*;

#[test]
fn a_flipped_bit_anywhere_never_completes() {
    proptest!(config(256), |(captured in captured(), at in any::<prop::sample::Index>(), bit in 0..8u32)| {
        let mut wire = captured.wire(&mut Direction::new(), WHOLE);
        let at = at.index(wire.len());
        wire[at] ^= 1 << bit;
        prop_assert_eq!(receive(&mut assembly_for(&captured), &wire, WHOLE), []);
    });
}

#[test]
fn a_torn_transaction_changes_nothing_and_the_next_connection_completes() {
    proptest!(config(128), |(captured in captured(), next in captured(), at in any::<prop::sample::Index>())| {
        let wire = captured.wire(&mut Direction::new(), WHOLE);
        let mut assembly = assembly_for(&captured);
        prop_assert_eq!(receive(&mut assembly, &wire[..at.index(wire.len())], WHOLE), []);
        prop_assert!(assembly.transaction().is_none());
        assembly.expect(next.generation, next.epoch);
        let wire = next.wire(&mut Direction::new(), WHOLE);
        prop_assert_eq!(receive(&mut assembly, &wire, WHOLE), [next.applied()]);
    });
}

#[test]
fn a_lost_repeated_or_swapped_frame_never_completes() {
    let places = any::<(prop::sample::Index, prop::sample::Index)>();
    proptest!(config(256), |(captured in captured(), (from, to) in places, what in 0..3, hidden in any::<bool>())| {
        let mut frames = split(&captured.wire(&mut Direction::new(), WHOLE));
        let (from, to) = (from.index(frames.len()), to.index(frames.len()));
        prop_assume!(what != 2 || from != to);
        match what {
            0 => { frames.remove(from); }
            1 => frames.insert(to, frames[from].clone()),
            _ => frames.swap(from, to),
        }
        // Repeating the last frame behind itself leaves a complete transaction before it.
        let complete_before = what == 1 && from == frames.len() - 2 && to == from && !hidden;
        if hidden {
            renumber(&mut frames);
        }
        let applied = receive(&mut assembly_for(&captured), &join(&frames), WHOLE);
        // Frames of the same contents may be exchanged: that is the same transaction.
        prop_assert!(applied.is_empty() || applied == [captured.applied()]);
        prop_assert!(applied.is_empty() || hidden || complete_before);
    });
}

#[test]
fn a_frame_of_another_generation_or_epoch_never_completes() {
    let strategy = (
        captured(),
        any::<prop::sample::Index>(),
        any::<bool>(),
        0..2000u64,
    );
    proptest!(config(128), |((captured, at, epoch, foreign) in strategy)| {
        let mut frames = split(&captured.wire(&mut Direction::new(), WHOLE));
        let at = at.index(frames.len());
        let field = if epoch { &mut frames[at].0.epoch } else { &mut frames[at].0.generation };
        prop_assume!(*field != foreign);
        *field = foreign;
        prop_assert_eq!(receive(&mut assembly_for(&captured), &join(&frames), WHOLE), []);
    });
}

#[test]
fn a_wholly_foreign_transaction_never_completes() {
    proptest!(config(64), |(captured in captured(), generation in any::<bool>(), up in any::<bool>())| {
        let mut foreign = captured.clone();
        let field = if generation { &mut foreign.generation } else { &mut foreign.epoch };
        *field = if up { *field + 1 } else { *field - 1 };
        let wire = foreign.wire(&mut Direction::new(), WHOLE);
        prop_assert_eq!(receive(&mut assembly_for(&captured), &wire, WHOLE), []);
    });
}

#[test]
fn a_frame_of_the_same_shape_from_another_transaction_never_completes() {
    let seeds = (1..=255u8, 1..=255u8);
    proptest!(config(32), |(captured in captured(), (ours, theirs) in seeds, device in any::<bool>())| {
        prop_assume!(ours != theirs);
        let ours = Captured { runs: vec![(0, vec![ours])], device_state: vec![ours], ..captured.clone() };
        let theirs = Captured { runs: vec![(0, vec![theirs])], device_state: vec![theirs], ..captured };
        let mut frames = split(&ours.wire(&mut Direction::new(), WHOLE));
        let foreign = split(&theirs.wire(&mut Direction::new(), WHOLE));
        let at = if device { 2 } else { 1 };
        prop_assert_eq!(frames[at].0.kind, foreign[at].0.kind);
        frames[at] = foreign[at].clone();
        prop_assert_eq!(receive(&mut assembly_for(&ours), &join(&frames), WHOLE), []);
    });
}

#[test]
fn no_decoder_panics_on_random_bytes() {
    let field = prop_oneof![0..4u32, any::<u32>()];
    let structured = vec(field, 0..64)
        .prop_map(|fields| fields.into_iter().flat_map(u32::to_le_bytes).collect());
    let bytes = prop_oneof![vec(any::<u8>(), 0..300), structured];
    proptest!(config(512), |(bytes in bytes, guest_pages in prop_oneof![0..100u64, any::<u64>()])| {
        if let Ok(runs) = PageRuns::decode(&bytes, guest_pages) {
            prop_assert!(runs.pages() > 0);
            for run in runs {
                prop_assert!(run.first_page + u64::from(run.pages) <= guest_pages);
            }
        }
        if let Ok(packets) = Packets::decode(&bytes) {
            prop_assert!(packets.count() > 0);
        }
        if let Ok((deltas, count)) = Deltas::decode(&bytes, guest_pages) {
            prop_assert_eq!(deltas.map(|delta| prop_assert_delta(&delta, guest_pages)).count(), count as usize);
        }
        if let Ok(delta) = DeviceDelta::decode(&bytes) {
            let mut state = committed_state();
            delta.apply(&mut state);
            prop_assert_eq!(state.len(), delta.bytes);
        }
        let _ = Totals::decode(&bytes);
        let _ = Hello::from_payload(&bytes);
        let _ = Welcome::from_payload(&bytes);
        let _ = TrialResult::from_payload(&bytes);
        if let Some(header) = bytes.first_chunk::<HEADER_BYTES>() {
            prop_assert!(Header::decode(header).is_err());
        }
        let mut assembly = Assembly::new(guest_pages, LIMIT_BYTES);
        assembly.expect(1, 1);
        prop_assert_eq!(receive(&mut assembly, &bytes, WHOLE), []);
        for kind in PARTS {
            open(&mut assembly, kind);
            let step = assembly.feed(&header_of(kind), &bytes);
            prop_assert!(step != Ok(Step::Complete));
            // It was looked at, and not only refused at its place.
            prop_assert!(!matches!(step, Err(Violation::Unready { .. } | Violation::Order { .. })), "{:?}: {:?}", kind, step);
        }
    });
}

/// What a transaction consists of after its beginning.
const PARTS: [FrameKind; 6] = [
    FrameKind::Pages,
    FrameKind::Deltas,
    FrameKind::DeviceState,
    FrameKind::DeviceDelta,
    FrameKind::Outputs,
    FrameKind::Commit,
];

fn header_of(kind: FrameKind) -> Header {
    Header {
        kind,
        packing: None,
        payload_len: 0,
        generation: 1,
        epoch: 1,
        sequence: 0,
        payload_checksum: 0,
        session: 0,
    }
}

/// Begins a transaction, so far that `kind` may come next.
fn open(assembly: &mut Assembly, kind: FrameKind) {
    assembly.expect(1, 1);
    let opening = Opening::default().encode();
    let began = assembly.feed(&header_of(FrameKind::Begin), &opening);
    assert_eq!(began, Ok(Step::Incomplete));
    if matches!(kind, FrameKind::Outputs | FrameKind::Commit) {
        let state = assembly.feed(&header_of(FrameKind::DeviceState), &[1]);
        assert_eq!(state, Ok(Step::Incomplete));
    }
}

fn prop_assert_delta(delta: &Delta<'_>, guest_pages: u64) {
    assert!(delta.page < guest_pages);
    for (offset, bytes) in delta.pieces() {
        assert!(offset + bytes.len() <= PAGE_BYTES);
    }
}

#[test]
fn random_frame_orders_complete_only_by_the_grammar() {
    let kinds = vec(
        prop::sample::select(
            &[
                FrameKind::Begin,
                FrameKind::Pages,
                FrameKind::DeviceState,
                FrameKind::Outputs,
                FrameKind::Commit,
                FrameKind::DeviceDelta,
                FrameKind::SyncPages,
                FrameKind::Ack,
                FrameKind::Hello,
            ][..],
        ),
        1..12,
    );
    let model = Captured {
        packets: vec![vec![1]],
        ..Captured::first()
    };
    let frames = split(&model.wire(&mut Direction::new(), WHOLE));
    proptest!(config(512), |(kinds in kinds)| {
        let mut sent: Vec<_> = kinds.iter().map(|kind| {
            let found = frames.iter().find(|(header, _)| header.kind == *kind);
            let (header, payload) = found.cloned().unwrap_or_else(|| (frames[0].0, Vec::new()));
            let checksum = xxhash_rust::xxh3::xxh3_64(&payload);
            let payload_len = u32::try_from(payload.len()).expect("short");
            (Header { kind: *kind, payload_len, payload_checksum: checksum, ..header }, payload)
        }).collect();
        renumber(&mut sent);
        let applied = receive(&mut assembly_for(&model), &join(&sent), WHOLE);
        prop_assert!(applied.is_empty() || applied == [model.applied()]);
    });
}

#[test]
fn a_transaction_that_does_not_fit_the_replica_never_was() {
    let model = Captured::first();
    let mut assembly = assembly_for(&model);
    for (header, payload) in split(&model.wire(&mut Direction::new(), WHOLE)) {
        assembly.feed(&header, &payload).expect("fits");
    }
    assembly.reject();
    assert!(assembly.transaction().is_none());
    let wire = model.wire(&mut Direction::new(), WHOLE);
    assert_eq!(receive(&mut assembly, &wire, WHOLE), []);
    assembly.expect(1, 1);
    assert_eq!(receive(&mut assembly, &wire, WHOLE), [model.applied()]);
}

#[test]
fn a_transaction_beyond_the_bound_is_refused_and_its_memory_given_back() {
    let model = Captured {
        runs: vec![(0, vec![1; 40]), (0, vec![2; 40])],
        ..Captured::first()
    };
    let wire = model.wire(&mut Direction::new(), WHOLE);
    let mut assembly = Assembly::new(GUEST_PAGES, 64 * PAGE_BYTES);
    assembly.expect(1, 1);
    assert_eq!(receive(&mut assembly, &wire, WHOLE), []);
    assembly.expect(1, 1);
    let small = Captured {
        runs: vec![(0, vec![1; 40])],
        ..model
    };
    assert_eq!(
        receive(
            &mut assembly,
            &small.wire(&mut Direction::new(), WHOLE),
            WHOLE
        ),
        [small.applied()]
    );
}
