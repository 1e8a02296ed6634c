//! A peer that knows the protocol: frames of any kind and contents, numbered and summed as they should be, up to the replica.
//!
//! Input: frames of `{ u8 kind, u8 flags, u16 length, length bytes }`; flags: bits 0-1 packing, 2 another generation,
//! 3 another epoch, 4 a gap in the numbers. What is not whole at the end is dropped.

use std::io::Write;

use kemari_engine::guest::Ram;
use kemari_engine::role::host_clocks::Arrival;
use kemari_engine::role::replica::{Replica, ReplicaState};
use kemari_engine::wire::{
    Assembly, Base, CapturedRun, Codec, ControlKind, DeviceBase, Direction, FrameKind, FrameReader,
    Opening, Outgoing, Progress, Step, Violation, device_state_hash, page_hash,
};
use xxhash_rust::xxh3::xxh3_64;

/// Pages of the guest.
const PAGES: u64 = 32;
const PAGE_BYTES: usize = 4096;
const HEADER_BYTES: usize = 64;
const LIMIT_BYTES: usize = 4 << 20;

/// Guest RAM.
struct Memory(Vec<u8>);

impl Ram for Memory {
    fn bytes(&self) -> usize {
        self.0.len()
    }
    fn copy_out(&self, offset: usize, into: &mut [u8]) {
        into.copy_from_slice(&self.0[offset..offset + into.len()]);
    }
    fn copy_in(&mut self, offset: usize, from: &[u8]) {
        self.0[offset..offset + from.len()].copy_from_slice(from);
    }
    fn zero(&mut self, offset: usize, bytes: usize) {
        self.0[offset..offset + bytes].fill(0);
    }
}

/// As the engine's, with a header that fits.
fn frame(kind: u8, packing: u8, place: (u64, u64), sequence: u64, payload: &[u8]) -> Vec<u8> {
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

/// A secondary, as far as frames concern it.
struct Secondary {
    ram: Memory,
    replica: Replica,
    assembly: Assembly,
    /// RAM after the last complete transaction, or the last page of a baseline.
    committed: Vec<u8>,
}

impl Secondary {
    fn new() -> Self {
        let ram = Memory(vec![0; usize::try_from(PAGES).expect("few") * PAGE_BYTES]);
        let mut assembly = Assembly::new(PAGES, LIMIT_BYTES);
        assembly.expect(1, 1);
        Self {
            committed: ram.0.clone(),
            ram,
            replica: Replica::default(),
            assembly,
        }
    }

    /// False: the connection is of no more use.
    fn take(&mut self, frame: &kemari_engine::wire::Frame<'_>) -> bool {
        match frame.header.kind {
            kind if kind.is_transaction() => match self.assembly.feed(&frame.header, frame.payload)
            {
                Ok(Step::Incomplete) => true,
                Ok(Step::Complete) => self.apply(),
                Err(Violation::NoMemory { .. }) => panic!("bounded by {LIMIT_BYTES}"),
                Err(_) => false,
            },
            FrameKind::SyncBegin => {
                self.assembly
                    .expect(frame.header.generation, frame.header.epoch);
                self.replica
                    .begin(frame.header.generation, uuid::Uuid::nil());
                true
            }
            FrameKind::SyncPages if self.replica.state == ReplicaState::Receiving => {
                let applied = self
                    .replica
                    .apply_baseline(&mut self.ram, frame.payload, PAGES);
                if applied.is_ok() {
                    self.committed.clone_from(&self.ram.0);
                }
                applied.is_ok()
            }
            FrameKind::Input => {
                self.replica.note_input(frame.payload);
                true
            }
            _ => false,
        }
    }

    fn apply(&mut self) -> bool {
        let transaction = self.assembly.transaction().expect("it is complete");
        let totals = transaction.totals();
        assert!(totals.device_bytes > 0 && transaction.packets().count() as u64 == totals.packets);
        let holds = |committed| self.replica.holds(&self.ram, committed);
        if transaction.acknowledgement(holds).is_err() {
            self.assembly.reject();
            return false;
        }
        let arrival = Arrival {
            at: std::time::Instant::now(),
            wall: std::time::SystemTime::now(),
        };
        self.replica.apply(&mut self.ram, transaction, arrival);
        assert!(self.replica.device_state.len() as u64 == totals.device_bytes);
        self.committed.clone_from(&self.ram.0);
        self.assembly.reset();
        true
    }
}

pub fn run(data: &[u8]) {
    let mut secondary = Secondary::new();
    let mut reader = FrameReader::new();
    let (mut rest, mut sequence, mut place) = (data, 0, (1, 1));
    while let [kind, flags, low, high, payload @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let Some((payload, later)) = payload.split_at_checked(length) else {
            break;
        };
        rest = later;
        let at = (
            place.0 + u64::from(flags >> 2 & 1),
            place.1 + u64::from(flags >> 3 & 1),
        );
        sequence += u64::from(flags >> 4 & 1);
        let bytes = frame(*kind, flags & 3, at, sequence, payload);
        sequence += 1;
        reader.fill(&mut &bytes[..]).expect("memory does not fail");
        while let Ok(Some(frame)) = reader.next() {
            let goes_on = secondary.take(&frame);
            // I4: nothing but a whole transaction, or a page of a baseline, has changed the replica.
            assert!(secondary.ram.0 == secondary.committed);
            if !goes_on {
                return;
            }
            if frame.header.kind == FrameKind::Commit {
                place.1 += 1;
            }
        }
    }
}

/// The frames of a connection as this target wants them.
fn input(wire: &[u8]) -> Vec<u8> {
    let (mut rest, mut input) = (wire, Vec::new());
    while let Some((header, later)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let length = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
        let (payload, later) = later.split_at(length as usize);
        if let Ok(length) = u16::try_from(payload.len()) {
            input.extend([header[6], header[8]]);
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
    write(&mut outgoing, &body, &mut wire);
    wire
}

pub fn seeds() -> Vec<Vec<u8>> {
    connections().iter().map(|wire| input(wire)).collect()
}

/// A frame of baseline pages that says that it is packed by `codec`.
pub fn packed_pages(codec: Codec, payload: &[u8]) -> Vec<u8> {
    const SYNC_PAGES: u8 = 5;
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
