//! Epochs that follow each other on one connection, of whole pages and of changes.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::config;
use super::streams::{WHOLE, written};
use super::transactions::{
    GUEST_PAGES, LIMIT_BYTES, codec, committed_state, device_state, device_state_after, page,
    pages_of,
};
use crate::wire::frame::FrameKind;
use crate::wire::limits::PAGE_BYTES;
use crate::wire::*;

/// A secondary's RAM.
struct Memory(BTreeMap<u64, Vec<u8>>);

impl Memory {
    fn new() -> Self {
        Self((0..GUEST_PAGES).map(|number| (number, page(0))).collect())
    }

    fn page(&self, number: u64) -> &[u8; PAGE_BYTES] {
        self.0[&number][..].try_into().expect("a page")
    }

    fn apply(&mut self, transaction: CompleteTransaction<'_>) {
        self.0.extend(pages_of(transaction));
        for delta in transaction.deltas() {
            assert_eq!(page_hash(self.page(delta.page)), delta.base_hash);
            let contents = self.0.get_mut(&delta.page).expect("a page of the guest");
            for (offset, bytes) in delta.pieces() {
                contents[offset..offset + bytes.len()].copy_from_slice(bytes);
            }
        }
    }
}

/// Whichever pages have a base, and however much of them is new, the secondary gets the primary's RAM.
#[test]
fn epochs_of_whole_pages_and_of_changes_add_up() {
    let write = (
        0..GUEST_PAGES,
        0..PAGE_BYTES,
        1..3000usize,
        any::<u8>(),
        any::<bool>(),
    );
    proptest!(config(48), |(epochs in vec((vec(write, 0..24), device_state(), any::<bool>(), codec()), 1..6))| {
        let (mut primary, mut secondary) = (Memory::new(), Memory::new());
        let mut committed = committed_state();
        let mut direction = Direction::new();
        let mut assembly = Assembly::new(GUEST_PAGES, LIMIT_BYTES);
        assembly.expect(1, 1);
        let (mut reader, mut wire) = (FrameReader::new(), Vec::new());
        for (epoch, (writes, device_state, based, codec)) in (1..).zip(&epochs) {
            let mut has_base = BTreeMap::new();
            for &(number, at, length, value, based) in writes {
                let contents = primary.0.get_mut(&number).expect("a page of the guest");
                let end = (at + length).min(PAGE_BYTES);
                contents[at..end].fill(value);
                has_base.insert(number, based);
            }
            let mut body: Vec<u8> = has_base.keys().flat_map(|number| primary.page(*number)).copied().collect();
            let runs: Vec<_> = has_base.keys().enumerate().map(|(index, number)| CapturedRun {
                first_page: *number,
                pages: 1,
                body_offset: index * PAGE_BYTES,
            }).collect();
            let state = body.len()..body.len() + device_state.len();
            body.extend_from_slice(device_state);
            let mut outgoing = Outgoing::new();
            let mut encoder = direction.encoder(&mut outgoing);
            encoder.pack_by(*codec);
            encoder.begin(1, epoch, &Opening::default());
            encoder.pages(&body, &runs, |number| has_base[&number].then(|| {
                let bytes = secondary.page(number);
                Base { bytes, hash: page_hash(bytes) }
            }));
            let hash = device_state_hash(&committed);
            encoder.device_state(&body, state, based.then_some(DeviceBase { bytes: &committed, hash }));
            encoder.commit();
            wire.extend(written(outgoing, &body, WHOLE));
            prop_assert_eq!(reader.fill(&mut &wire[..]).expect("memory"), Filled::Progress);
            wire.clear();
            while let Some(frame) = reader.next().expect("its own") {
                let step = assembly.feed(&frame.header, frame.payload).expect("fits");
                prop_assert_eq!(step == Step::Complete, frame.header.kind == FrameKind::Commit);
            }
            let transaction = assembly.transaction().expect("complete");
            let holds = |expected| match expected {
                Committed::Page { page, hash } => page_hash(secondary.page(page)) == hash,
                Committed::DeviceState { hash } => device_state_hash(&committed) == hash,
            };
            prop_assert!(transaction.acknowledgement(holds).is_ok());
            let first = transaction.deltas().next().map(|delta| delta.page);
            let refused = transaction.acknowledgement(|it| matches!(it, Committed::DeviceState { .. })).err();
            prop_assert_eq!(refused.map(|it| it.to_string()), first.map(|page| format!("page {page}")));
            let refused = transaction.acknowledgement(|it| matches!(it, Committed::Page { .. })).err();
            let is_delta = matches!(transaction.device_state(), DeviceState::Delta(_));
            prop_assert_eq!(refused, is_delta.then_some(Committed::DeviceState { hash }));
            committed = device_state_after(transaction, committed);
            prop_assert_eq!(&committed, device_state);
            secondary.apply(transaction);
            assembly.reset();
            prop_assert!(primary.0 == secondary.0, "epoch {epoch}");
        }
    });
}
