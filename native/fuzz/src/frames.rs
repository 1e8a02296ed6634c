//! A primary that knows the protocol: frames of any kind and contents, numbered and summed as they should be, to a real
//! secondary.
//!
//! Input: frames of `{ u8 kind, u8 flags, u16 length, length bytes }`; flags: bits 0-1 packing, 2 another generation,
//! 3 the next epoch, 4 a gap in the numbers, 5 the epoch before, 6 the generation before. What is not whole at the end is dropped.

use std::io::Write;

use kemari_engine::role::replica::ReplicaState;
use kemari_engine::wire::{
    Base, CapturedRun, Codec, ControlKind, DeviceBase, Direction, FrameKind, Opening, Outgoing,
    Progress, device_state_hash, page_hash,
};
use xxhash_rust::xxh3::xxh3_64;

use crate::secondary::Host;

const PAGE_BYTES: usize = 4096;
const HEADER_BYTES: usize = 64;
/// Kinds of frames by their numbers on the wire.
pub const REFUSE: u8 = 3;
const SYNC_PAGES: u8 = 5;
const COMMIT: u8 = 10;
const HANDOVER: u8 = 13;
pub const CALL: u8 = 21;
pub const CHALLENGE: u8 = 22;

/// As the engine's, with a header that fits.
pub fn frame(kind: u8, packing: u8, place: (u64, u64), sequence: u64, payload: &[u8]) -> Vec<u8> {
    let mut header = [0; HEADER_BYTES];
    header[..4].copy_from_slice(b"KMRI");
    let version = kemari_engine::wire::limits::PROTOCOL_VERSION;
    header[4..6].copy_from_slice(&version.to_le_bytes());
    header[6] = kind;
    header[8] = packing;
    let length = u32::try_from(payload.len()).expect("at most 64 KiB");
    header[12..16].copy_from_slice(&length.to_le_bytes());
    header[16..24].copy_from_slice(&place.0.to_le_bytes());
    header[24..32].copy_from_slice(&place.1.to_le_bytes());
    header[32..40].copy_from_slice(&sequence.to_le_bytes());
    header[40..48].copy_from_slice(&xxh3_64(payload).to_le_bytes());
    let checksum = xxh3_64(&header[..56]);
    header[56..].copy_from_slice(&checksum.to_le_bytes());
    [&header[..], payload].concat()
}

/// What the secondary was before a frame.
struct Before {
    state: ReplicaState,
    place: (u64, u64),
    ram: Vec<u8>,
}

impl Before {
    fn of(host: &Host) -> Self {
        let replica = host.secondary().replica();
        Self {
            state: replica.state,
            place: (replica.generation, replica.epoch),
            ram: host.memory.0.borrow().clone(),
        }
    }

    /// What may have come of a frame of this `kind`, with these answers.
    fn check(&self, host: &Host, kind: u8, told: &[FrameKind]) {
        let replica = host.secondary().replica();
        let acked = told.contains(&FrameKind::Ack);
        // I4: nothing but a whole transaction, or a page of a baseline, changes the replica.
        let is_baseline = kind == SYNC_PAGES && self.state == ReplicaState::Receiving;
        assert!(acked || is_baseline || *host.memory.0.borrow() == self.ram);
        assert!(!acked || kind == COMMIT);
        let (generation, epoch) = (replica.generation, replica.epoch);
        assert!(generation >= self.place.0, "an earlier generation");
        let was_handed_over = self.state == ReplicaState::HandedOver;
        let is_as_it_was = (replica.state, (generation, epoch)) == (self.state, self.place);
        assert!(!was_handed_over || is_as_it_was && !acked, "it is ours");
        if acked {
            assert!(replica.state == ReplicaState::InSync && !replica.device_state.is_empty());
            assert!(self.state != ReplicaState::Empty);
            let follows = (generation, epoch) == (self.place.0, self.place.1 + 1);
            assert!(self.state == ReplicaState::Receiving || follows);
        } else if replica.is_complete() {
            let was_complete = self.state != ReplicaState::Receiving && self.place.1 > 0;
            assert!(was_complete && (generation, epoch) == self.place);
        }
        // Nothing counts that could not be tried.
        assert!(!replica.is_complete() || host.passed.get());
        let handed_over = told.contains(&FrameKind::HandoverAck);
        assert!(!handed_over || replica.state == ReplicaState::HandedOver);
        assert!(!told.contains(&FrameKind::EndAck) || replica.state == ReplicaState::Empty);
    }
}

fn kinds(told: &[u8]) -> Vec<FrameKind> {
    let kinds = headings(told).0.into_iter().filter_map(|(number, _)| {
        let mut known = TOLD.into_iter();
        known.find(|kind| *kind as u8 == number)
    });
    kinds.collect()
}

/// The kind of a frame, and the generation and epoch that it belongs to.
pub type Heading = (u8, (u64, u64));

/// Those of the whole frames at the beginning, and the bytes of all of these.
pub fn headings(wire: &[u8]) -> (Vec<Heading>, usize) {
    let (mut rest, mut headings) = (wire, Vec::new());
    while let Some((header, later)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let number = |at: usize| {
            let bytes = header[at..].first_chunk().expect("eight bytes of 64");
            u64::from_le_bytes(*bytes)
        };
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let Some((_, later)) = later.split_at_checked(length as usize) else {
            break;
        };
        headings.push((header[6], (number(16), number(24))));
        rest = later;
    }
    (headings, wire.len() - rest.len())
}

/// What a secondary tells.
const TOLD: [FrameKind; 5] = [
    FrameKind::Ack,
    FrameKind::HandoverAck,
    FrameKind::EndAck,
    FrameKind::TrialResult,
    FrameKind::Heartbeat,
];

pub fn run(data: &[u8]) {
    play(data);
}

/// What the secondary has told in the end.
fn play(data: &[u8]) -> Vec<FrameKind> {
    played(data).1
}

/// The secondary in the end, and what it has told.
fn played(data: &[u8]) -> (Host, Vec<FrameKind>) {
    let mut host = Host::new();
    let (mut rest, mut sequence, mut place) = (data, 0, (1, 1));
    let mut all = Vec::new();
    while host.secondary().is_connected()
        && let [kind, flags, low, high, payload @ ..] = rest
    {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((payload, later)) = payload.split_at_checked(length) else {
            break;
        };
        rest = later;
        let at = (
            place.0 + u64::from(flags >> 2 & 1) - u64::from(flags >> 6 & 1),
            place.1 + u64::from(flags >> 3 & 1) - u64::from(flags >> 5 & 1),
        );
        sequence += u64::from(flags >> 4 & 1);
        let bytes = frame(*kind, flags & 3, at, sequence, payload);
        sequence += 1;
        let before = Before::of(&host);
        let told = kinds(&host.hear(&bytes));
        before.check(&host, *kind, &told);
        all.extend(told);
        place.1 += u64::from(*kind == COMMIT);
    }
    (host, all)
}

/// The frames of a connection as this target wants them.
fn input(wire: &[u8]) -> Vec<u8> {
    let (mut rest, mut input) = (wire, Vec::new());
    while let Some((header, later)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let (payload, later) = later.split_at(length as usize);
        if let Ok(length) = u16::try_from(payload.len()) {
            // What is handed over is what was committed.
            let before = u8::from(header[6] == HANDOVER) << 5;
            input.extend([header[6], header[8] | before]);
            input.extend(length.to_le_bytes());
            input.extend(payload);
        }
        rest = later;
    }
    input
}

/// Connections of an engine: a baseline and two epochs each, plain and packed.
pub fn connections() -> Vec<Vec<u8>> {
    [None, Some(Codec::Lz4), Some(Codec::Zstd)]
        .map(connection)
        .into()
}

fn connection(codec: Option<Codec>) -> Vec<u8> {
    let (mut direction, mut outgoing, mut wire) = (Direction::new(), Outgoing::new(), Vec::new());
    let page = |seed: usize| -> Vec<u8> {
        (0..PAGE_BYTES)
            .map(|at| (at / 64 * seed).to_le_bytes()[0])
            .collect()
    };
    let mut body: Vec<u8> = [3, 0, 7].into_iter().flat_map(page).collect();
    body.extend((0..900u32).flat_map(u32::to_le_bytes));
    let run = |first_page, pages, offset| CapturedRun {
        first_page,
        pages,
        body_offset: offset * PAGE_BYTES,
    };
    let runs = [run(2, 2, 0), run(9, 1, 2)];
    let state = 3 * PAGE_BYTES..body.len();
    let write = |outgoing: &mut Outgoing, body: &[u8], wire: &mut Vec<u8>| {
        let done = outgoing.write_to(wire, body).expect("memory does not fail");
        assert_eq!(done, Progress::Done);
        wire.flush().expect("memory does not fail");
    };
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.pack_by(codec);
    encoder.control(ControlKind::SyncBegin, 1, 1, &[]);
    encoder.sync_pages(1, 1, &body, &runs);
    encoder.control(ControlKind::Input, 1, 1, b"packet");
    encoder.control(ControlKind::Heartbeat, 0, 0, &[]);
    for piece in [&[1; 90][..], &[2; 10]] {
        encoder.control(ControlKind::TrialState, 1, 1, piece);
    }
    encoder.control(ControlKind::Trial, 1, 1, &[]);
    // Until the verdict, and one more.
    for _ in 0..3 {
        encoder.control(ControlKind::Heartbeat, 0, 0, &[]);
    }
    encoder.begin(1, 1, &Opening::default());
    encoder.pages(&body, &runs, |_| None);
    encoder.device_state(&body, state.clone(), None);
    encoder.outputs([&b"one"[..], &[], &[7; 90]]);
    encoder.commit();
    write(&mut outgoing, &body, &mut wire);
    let before = body.clone();
    body[77] ^= 1;
    body[2 * PAGE_BYTES + 900] ^= 1;
    body[state.start + 500] ^= 1;
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.begin(1, 2, &Opening::default());
    let (pages, _) = before.as_chunks::<PAGE_BYTES>();
    encoder.pages(&body, &runs, |page| {
        let bytes = &pages[if page == 9 { 2 } else { 0 }];
        (page != 3).then(|| Base {
            bytes,
            hash: page_hash(bytes),
        })
    });
    let base = &before[state.clone()];
    encoder.device_state(
        &body,
        state,
        Some(DeviceBase {
            bytes: base,
            hash: device_state_hash(base),
        }),
    );
    encoder.commit();
    encoder.control(
        if codec.is_none() {
            ControlKind::End
        } else {
            ControlKind::Handover
        },
        1,
        2,
        &[],
    );
    write(&mut outgoing, &body, &mut wire);
    wire
}

pub fn seeds() -> Vec<Vec<u8>> {
    connections().iter().map(|wire| input(wire)).collect()
}

/// A frame of baseline pages that says that it is packed by `codec`.
pub fn packed_pages(codec: Codec, payload: &[u8]) -> Vec<u8> {
    let packing = match codec {
        Codec::Lz4 => 1,
        Codec::Zstd => 2,
    };
    frame(SYNC_PAGES, packing, (1, 1), 0, payload)
}

/// Packed payloads of an engine, each behind a byte for its codec.
pub fn packed_payloads() -> Vec<Vec<u8>> {
    let mut payloads = Vec::new();
    for input in seeds() {
        let mut rest = &input[..];
        while let [_, packing, low, high, later @ ..] = rest {
            let length = usize::from(u16::from_le_bytes([*low, *high]));
            let (payload, later) = later.split_at(length);
            if *packing > 0 {
                payloads.push([&[packing - 1][..], payload].concat());
            }
            rest = later;
        }
    }
    payloads
}

/// The frames of an input, and whatever else there is, one by one.
#[cfg(test)]
pub fn steps(input: &[u8]) -> Vec<&[u8]> {
    let (mut rest, mut steps) = (input, Vec::new());
    while let [_, _, low, high, ..] = rest {
        let bytes = 4 + usize::from(u16::from_le_bytes([*low, *high]));
        let (step, later) = rest.split_at(bytes);
        steps.push(step);
        rest = later;
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_whose_state_was_not_tried_before_is_not_taken() {
        let seed = &seeds()[0];
        let trial = [FrameKind::TrialState as u8, FrameKind::Trial as u8];
        let mut untried = steps(seed);
        untried.retain(|step| !trial.contains(&step[0]));
        let untried = untried.concat();
        assert!(untried.len() < seed.len());
        assert_eq!(play(&untried), []);
    }

    /// Frames without a payload.
    fn bare(kind: FrameKind, flags: u8) -> [u8; 4] {
        [kind as u8, flags, 0, 0]
    }

    #[test]
    fn a_guest_that_was_handed_over_is_not_taken_back() {
        let (seeds, handed_over) = (seeds(), &seeds()[1]);
        let frames = steps(&seeds[0]);
        let begins = |frame: &&[u8]| frame[0] == FrameKind::Begin as u8;
        let commits = |frame: &&[u8]| frame[0] == FrameKind::Commit as u8;
        let from = frames.iter().position(begins).expect("a transaction");
        let to = frames.iter().position(commits).expect("a transaction");
        for more in [
            bare(FrameKind::SyncBegin, 0).to_vec(),
            bare(FrameKind::SyncBegin, 1 << 2).to_vec(),
            bare(FrameKind::End, 0).to_vec(),
            frames[from..=to].concat(),
        ] {
            let (host, mut told) = played(&[&handed_over[..], &more].concat());
            assert!(!host.secondary().is_connected());
            let state = host.secondary().replica().state;
            assert_eq!(state, ReplicaState::HandedOver);
            assert_eq!(told.pop(), Some(FrameKind::HandoverAck));
        }
        let inputs = [FrameKind::Input, FrameKind::Heartbeat].map(|kind| bare(kind, 0));
        let (host, _) = played(&[&handed_over[..], &inputs.concat()].concat());
        assert!(host.secondary().is_connected());
    }

    #[test]
    fn a_primary_does_not_go_back_to_an_earlier_generation() {
        let (host, _) = played(&bare(FrameKind::SyncBegin, 1 << 6));
        assert!(!host.secondary().is_connected());
        let (host, _) = played(&bare(FrameKind::SyncBegin, 1 << 2));
        assert!(host.secondary().is_connected());
        // What it has gone on to counts, and not what it introduced itself with.
        let back = [
            bare(FrameKind::SyncBegin, 1 << 2),
            bare(FrameKind::SyncBegin, 0),
        ]
        .concat();
        let (host, _) = played(&back);
        assert!(!host.secondary().is_connected());
    }

    #[test]
    fn the_seeds_lead_through_a_whole_connection() {
        use FrameKind::{Ack, EndAck, HandoverAck, TrialResult};
        for (seed, last) in seeds().iter().zip([EndAck, HandoverAck, HandoverAck]) {
            assert_eq!(play(seed), [TrialResult, Ack, Ack, last]);
        }
    }
}
