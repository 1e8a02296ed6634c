//! Properties of the whole path: encoder, outgoing, wire, reader, assembly. The seed of a run is printed when it fails and can
//! be given again in `KEMARI_TEST_SEED`.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use super::frame::FrameKind;
use super::limits::{HEADER_BYTES, MAX_PACKET, MAX_RAW_PAGES_PER_FRAME, PAGE_BYTES};
use super::tally::Totals;
use super::*;

const GUEST_PAGES: u64 = 64;
const LIMIT_BYTES: usize = 8 << 20;

fn config(cases: u32) -> ProptestConfig {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs())
    };
    let seed = std::env::var("KEMARI_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(now);
    println!("KEMARI_TEST_SEED={seed}");
    ProptestConfig {
        cases,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// What a checkpoint captured. A page is made of its seed; seed 0 is a zero page.
#[derive(Debug, Clone)]
struct Captured {
    generation: u64,
    epoch: u64,
    opening: Opening,
    runs: Vec<(u64, Vec<u8>)>,
    device_state: Vec<u8>,
    /// Whether the secondary has [`committed_state`], so that only the changes are sent.
    based: bool,
    codec: Option<Codec>,
    packets: Vec<Vec<u8>>,
}

/// The device state of the epoch before.
fn committed_state() -> Vec<u8> {
    (0..2000u32).map(|at| at.to_le_bytes()[0]).collect()
}

/// What a secondary applied.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Applied {
    generation: u64,
    epoch: u64,
    opening: Opening,
    pages: BTreeMap<u64, Vec<u8>>,
    device_state: Vec<u8>,
    packets: Vec<Vec<u8>>,
}

fn opening_of([released_epoch, captured_ns, lag_ns]: [u64; 3]) -> Opening {
    Opening {
        released_epoch,
        captured_ns,
        lag_ns,
    }
}

fn page(seed: u8) -> Vec<u8> {
    (0..PAGE_BYTES)
        .map(|at| if at % 3 == 0 { seed } else { 0 })
        .collect()
}

fn codec() -> impl Strategy<Value = Option<Codec>> {
    prop::option::of(prop::sample::select(&Codec::ALL[..]))
}

/// Anything, or the one before with a change.
fn device_state() -> impl Strategy<Value = Vec<u8>> {
    let changed =
        (0..1500usize, vec(any::<u8>(), 1..400), 1..2500usize).prop_map(|(at, change, length)| {
            let mut state = committed_state();
            state[at..at + change.len()].copy_from_slice(&change);
            state.resize(length, 3);
            state
        });
    prop_oneof![vec(any::<u8>(), 1..3000), changed]
}

fn captured() -> impl Strategy<Value = Captured> {
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

    fn applied(&self) -> Applied {
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
    fn wire(&self, direction: &mut Direction, pieces: &[usize]) -> Vec<u8> {
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

/// A socket that takes some bytes, then is full, then takes some more.
struct Throttled<'a> {
    taken: Vec<u8>,
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    full: bool,
}

impl Write for Throttled<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.full = !self.full;
        if self.full {
            return Err(ErrorKind::WouldBlock.into());
        }
        let mut left = *self.pieces.next().expect("endless");
        let before = self.taken.len();
        for slice in slices {
            let bytes = left.min(slice.len());
            self.taken.extend_from_slice(&slice[..bytes]);
            left -= bytes;
        }
        Ok(self.taken.len() - before)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written(mut outgoing: Outgoing, body: &[u8], pieces: &[usize]) -> Vec<u8> {
    let mut socket = Throttled {
        taken: Vec::new(),
        pieces: pieces.iter().cycle(),
        full: false,
    };
    let waiting = outgoing.pending_bytes();
    while outgoing
        .write_to(&mut socket, body)
        .expect("a healthy socket")
        == Progress::Pending
    {}
    assert!(outgoing.is_empty());
    assert_eq!(outgoing.bytes_written(), waiting as u64);
    assert_eq!(socket.taken.len(), waiting);
    socket.taken
}

/// A socket that gives some bytes, then none, then some more, then ends.
struct Trickle<'a> {
    bytes: &'a [u8],
    pieces: std::iter::Cycle<std::slice::Iter<'a, usize>>,
    empty: bool,
}

impl Read for Trickle<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.empty = !self.empty;
        if self.empty {
            return Err(ErrorKind::WouldBlock.into());
        }
        let bytes = (*self.pieces.next().expect("endless"))
            .min(buffer.len())
            .min(self.bytes.len());
        let (now, later) = self.bytes.split_at(bytes);
        buffer[..bytes].copy_from_slice(now);
        self.bytes = later;
        Ok(bytes)
    }
}

/// Receives a whole connection as a secondary does, up to its end or the first thing that does not fit.
fn receive(assembly: &mut Assembly, bytes: &[u8], pieces: &[usize]) -> Vec<Applied> {
    let mut socket = Trickle {
        bytes,
        pieces: pieces.iter().cycle(),
        empty: false,
    };
    let mut reader = FrameReader::new();
    let mut applied = Vec::new();
    loop {
        let filled = reader.fill(&mut socket).expect("a healthy socket");
        loop {
            let frame = match reader.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(_) => return applied,
            };
            match assembly.feed(&frame.header, frame.payload) {
                Ok(Step::Incomplete) => {}
                Ok(Step::Complete) => {
                    applied.push(apply(assembly.transaction().expect("complete")));
                    assembly.reset();
                }
                Err(_) => return applied,
            }
        }
        if filled == Filled::Eof {
            return applied;
        }
    }
}

fn pages_of(transaction: CompleteTransaction<'_>) -> BTreeMap<u64, Vec<u8>> {
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

fn apply(transaction: CompleteTransaction<'_>) -> Applied {
    Applied {
        generation: transaction.generation(),
        epoch: transaction.epoch(),
        opening: *transaction.opening(),
        pages: pages_of(transaction),
        device_state: device_state_after(transaction, committed_state()),
        packets: transaction.packets().map(<[u8]>::to_vec).collect(),
    }
}

fn device_state_after(transaction: CompleteTransaction<'_>, mut before: Vec<u8>) -> Vec<u8> {
    match transaction.device_state() {
        DeviceState::Whole(state) => state.to_vec(),
        DeviceState::Delta(delta) => {
            assert_eq!(delta.base_hash, device_state_hash(&before));
            delta.apply(&mut before);
            before
        }
    }
}

fn assembly_for(captured: &Captured) -> Assembly {
    let mut assembly = Assembly::new(GUEST_PAGES, LIMIT_BYTES);
    assembly.expect(captured.generation, captured.epoch);
    assembly
}

fn split(mut wire: &[u8]) -> Vec<(Header, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some((header, rest)) = wire.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(header).expect("its own");
        let (payload, rest) = rest.split_at(header.payload_len as usize);
        frames.push((header, payload.to_vec()));
        wire = rest;
    }
    frames
}

fn join(frames: &[(Header, Vec<u8>)]) -> Vec<u8> {
    frames
        .iter()
        .flat_map(|(header, payload)| [&header.encode()[..], payload].concat())
        .collect()
}

/// As a sender would number them: what was done to the frames is then hidden from the reader.
fn renumber(frames: &mut [(Header, Vec<u8>)]) {
    for ((header, _), sequence) in frames.iter_mut().zip(0..) {
        header.sequence = sequence;
    }
}

const WHOLE: &[usize] = &[usize::MAX];

fn pieces() -> impl Strategy<Value = Vec<usize>> {
    vec(1..9000usize, 1..20)
}

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
fn no_decoder_panics_on_random_bytes() {
    let field = prop_oneof![0..4u32, any::<u32>()];
    let structured = vec(field, 0..64)
        .prop_map(|fields| fields.into_iter().flat_map(u32::to_le_bytes).collect());
    let bytes = prop_oneof![vec(any::<u8>(), 0..300), structured];
    proptest!(config(512), |(bytes in bytes, guest_pages in prop_oneof![0..100u64, any::<u64>()], kind in 0..8usize)| {
        if let Ok(runs) = PageRuns::decode(&bytes, guest_pages) {
            prop_assert!(runs.pages() > 0);
            for run in runs {
                prop_assert!(run.first_page + u64::from(run.pages) <= guest_pages);
            }
        }
        if let Ok(packets) = Packets::decode(&bytes) {
            prop_assert!(packets.count() > 0);
        }
        let _ = Totals::decode(&bytes);
        let _ = Hello::from_payload(&bytes);
        let _ = Welcome::from_payload(&bytes);
        if let Some(header) = bytes.first_chunk::<HEADER_BYTES>() {
            prop_assert!(Header::decode(header).is_err());
        }
        let mut assembly = Assembly::new(guest_pages, LIMIT_BYTES);
        assembly.expect(1, 1);
        prop_assert_eq!(receive(&mut assembly, &bytes, WHOLE), []);
        assembly.expect(1, 1);
        let kinds = [FrameKind::Begin, FrameKind::Pages, FrameKind::Deltas, FrameKind::DeviceState, FrameKind::DeviceDelta, FrameKind::Outputs, FrameKind::Commit];
        let begin = Header { kind: FrameKind::Begin, packing: None, payload_len: 8, generation: 1, epoch: 1, sequence: 0, payload_checksum: 0, session: 0 };
        let _ = assembly.feed(&begin, &[0; 8]);
        for kind in kinds.iter().cycle().skip(kind).take(7) {
            let step = assembly.feed(&Header { kind: *kind, ..begin }, &bytes);
            prop_assert!(step != Ok(Step::Complete));
        }
    });
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
        generation: 1,
        epoch: 1,
        opening: Opening::default(),
        runs: vec![(0, vec![1])],
        device_state: vec![1],
        based: false,
        codec: None,
        packets: vec![vec![1]],
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

#[test]
fn a_transaction_that_does_not_fit_the_replica_never_was() {
    let model = Captured {
        generation: 1,
        epoch: 1,
        opening: Opening::default(),
        runs: vec![(0, vec![1])],
        device_state: vec![1],
        based: false,
        codec: None,
        packets: Vec::new(),
    };
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
fn a_transaction_beyond_the_bound_is_refused_and_its_memory_given_back() {
    let model = Captured {
        generation: 1,
        epoch: 1,
        opening: Opening::default(),
        runs: vec![(0, vec![1; 40]), (0, vec![2; 40])],
        device_state: vec![1],
        based: false,
        codec: None,
        packets: Vec::new(),
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

#[test]
fn an_ack_names_the_complete_transaction() {
    let model = Captured {
        generation: 3,
        epoch: 9,
        opening: opening_of([8, 1, 2]),
        runs: Vec::new(),
        device_state: vec![1],
        based: false,
        codec: None,
        packets: Vec::new(),
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
