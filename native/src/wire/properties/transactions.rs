//! What the properties send: what a checkpoint captured, how it travels, and what a secondary makes of it.

use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::prelude::*;

use super::streams::written;
use crate::wire::limits::PAGE_BYTES;
use crate::wire::*;

pub(super) const GUEST_PAGES: u64 = 64;
pub(super) const LIMIT_BYTES: usize = 8 << 20;

/// What a checkpoint captured. A page is made of its seed; seed 0 is a zero page.
#[derive(Debug, Clone)]
pub(super) struct Captured {
    pub(super) generation: u64,
    pub(super) epoch: u64,
    pub(super) opening: Opening,
    pub(super) runs: Vec<(u64, Vec<u8>)>,
    pub(super) device_state: Vec<u8>,
    /// Whether the secondary has [`committed_state`], so that only the changes are sent.
    pub(super) based: bool,
    pub(super) codec: Option<Codec>,
    pub(super) packets: Vec<Vec<u8>>,
}

/// The device state of the epoch before.
pub(super) fn committed_state() -> Vec<u8> {
    (0..2000u32).map(|at| at.to_le_bytes()[0]).collect()
}

/// What a secondary applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Applied {
    generation: u64,
    epoch: u64,
    opening: Opening,
    pub(super) pages: BTreeMap<u64, Vec<u8>>,
    pub(super) device_state: Vec<u8>,
    pub(super) packets: Vec<Vec<u8>>,
}

pub(super) fn opening_of([released_epoch, captured_ns, lag_ns]: [u64; 3]) -> Opening {
    Opening {
        released_epoch,
        captured_ns,
        lag_ns,
    }
}

pub(super) fn page(seed: u8) -> Vec<u8> {
    (0..PAGE_BYTES)
        .map(|at| if at % 3 == 0 { seed } else { 0 })
        .collect()
}

pub(super) fn codec() -> impl Strategy<Value = Option<Codec>> {
    prop::option::of(prop::sample::select(&Codec::ALL[..]))
}

/// Anything, or the one before with a change.
pub(super) fn device_state() -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (0..1500usize, vec(any::<u8>(), 1..400), 1..2500usize).prop_map(|(at, change, length)| {
            let mut state = committed_state();
            state[at..at + change.len()].copy_from_slice(&change);
            state.resize(length, 3);
            state
        });
    prop_oneof![vec(any::<u8>(), 1..3000), changed]
}

pub(super) fn captured() -> impl Strategy<Value = Captured> {
    let run = (
        0..GUEST_PAGES - 8,
        vec(prop_oneof![Just(0), 1..=255u8], 1..8),
    );
    let packets = vec(vec(any::<u8>(), 0..100), 0..6);
    (
        1..1000u64,
        1..1000u64,
        any::<[u64; 3]>(),
        vec(run, 0..6),
        (device_state(), any::<bool>(), codec()),
        packets,
    )
        .prop_map(
            |(generation, epoch, opening, runs, (device_state, based, codec), packets)| Captured {
                generation,
                epoch,
                opening: opening_of(opening),
                runs,
                device_state,
                based,
                codec,
                packets,
            },
        )
}

impl Captured {
    /// The first epoch of the first guest: one page, and hardly any device state.
    pub(super) fn first() -> Self {
        Self {
            generation: 1,
            epoch: 1,
            opening: Opening::default(),
            runs: vec![(0, vec![1])],
            device_state: vec![1],
            based: false,
            codec: None,
            packets: Vec::new(),
        }
    }

    fn body(&self) -> (Vec<u8>, Vec<CapturedRun>) {
        let mut body = Vec::new();
        let mut runs = Vec::new();
        for (first_page, seeds) in &self.runs {
            let pages = u32::try_from(seeds.len()).expect("few");
            runs.push(CapturedRun {
                first_page: *first_page,
                pages,
                body_offset: body.len(),
            });
            body.extend(seeds.iter().flat_map(|seed| page(*seed)));
        }
        (body, runs)
    }

    pub(super) fn applied(&self) -> Applied {
        let mut pages = BTreeMap::new();
        for (first_page, seeds) in &self.runs {
            pages.extend((*first_page..).zip(seeds.iter().map(|seed| page(*seed))));
        }
        let Self {
            generation,
            epoch,
            opening,
            device_state,
            packets,
            ..
        } = self.clone();
        Applied {
            generation,
            epoch,
            opening,
            pages,
            device_state,
            packets,
        }
    }

    /// The transaction as it travels, written in pieces of the given sizes.
    pub(super) fn wire(&self, direction: &mut Direction, pieces: &[usize]) -> Vec<u8> {
        let (mut body, runs) = self.body();
        let state = body.len()..body.len() + self.device_state.len();
        body.extend_from_slice(&self.device_state);
        let mut outgoing = Outgoing::new();
        let mut encoder = direction.encoder(&mut outgoing);
        encoder.pack_by(self.codec);
        encoder.begin(self.generation, self.epoch, &self.opening);
        encoder.pages(&body, &runs, |_| None);
        let committed = committed_state();
        let base = self.based.then(|| DeviceBase {
            bytes: &committed,
            hash: device_state_hash(&committed),
        });
        encoder.device_state(&body, state, base);
        encoder.outputs(self.packets.iter().map(Vec::as_slice));
        encoder.commit();
        written(outgoing, &body, pieces)
    }
}

pub(super) fn pages_of(transaction: CompleteTransaction<'_>) -> BTreeMap<u64, Vec<u8>> {
    let mut pages = BTreeMap::new();
    for run in transaction.runs() {
        for (index, number) in (run.first_page..).take(run.pages as usize).enumerate() {
            let contents = match run.content {
                Content::Raw(bytes) => bytes[index * PAGE_BYTES..][..PAGE_BYTES].to_vec(),
                Content::Zero => vec![0; PAGE_BYTES],
            };
            pages.insert(number, contents);
        }
    }
    pages
}

pub(super) fn apply(transaction: CompleteTransaction<'_>) -> Applied {
    Applied {
        generation: transaction.generation(),
        epoch: transaction.epoch(),
        opening: *transaction.opening(),
        pages: pages_of(transaction),
        device_state: device_state_after(transaction, committed_state()),
        packets: transaction.packets().map(<[u8]>::to_vec).collect(),
    }
}

pub(super) fn device_state_after(
    transaction: CompleteTransaction<'_>,
    mut before: Vec<u8>,
) -> Vec<u8> {
    match transaction.device_state() {
        DeviceState::Whole(state) => state.to_vec(),
        DeviceState::Delta(delta) => {
            assert_eq!(delta.base_hash, device_state_hash(&before));
            delta.apply(&mut before);
            before
        }
    }
}

pub(super) fn assembly_for(captured: &Captured) -> Assembly {
    let mut assembly = Assembly::new(GUEST_PAGES, LIMIT_BYTES);
    assembly.expect(captured.generation, captured.epoch);
    assembly
}
