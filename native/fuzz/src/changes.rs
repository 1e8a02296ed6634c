//! What the primary sends of any change is what the secondary gets: pages and device state.
//!
//! Input: `{ u16 offset, u8 length, u8 value }` one or more times; writes of odd value go to the page, the others to the
//! device state, whose length the first write decides.

use kemari_engine::wire::{
    Assembly, Base, CapturedRun, Codec, Content, DeviceBase, DeviceState, Direction, FrameReader,
    Opening, Outgoing, Progress, Step, device_state_hash, page_hash,
};

const PAGE_BYTES: usize = 4096;

pub fn run(data: &[u8]) {
    let base = std::array::from_fn::<u8, PAGE_BYTES, _>(|at| (at / 7).to_le_bytes()[0]);
    let (mut page, mut state) = (base, base.to_vec());
    if let [low, high, ..] = data {
        state.resize(1 + usize::from(u16::from_le_bytes([*low, *high]) % 9000), 1);
    }
    let committed = base.to_vec();
    let (writes, _) = data.as_chunks::<4>();
    for [low, high, length, value] in writes {
        let target = if value % 2 == 1 {
            &mut page[..]
        } else {
            &mut state[..]
        };
        let from = usize::from(u16::from_le_bytes([*low, *high])) % target.len();
        let to = (from + usize::from(*length)).min(target.len());
        target[from..to].fill(*value);
    }
    let body = [&page[..], &state].concat();
    let runs = [CapturedRun {
        first_page: 3,
        pages: 1,
        body_offset: 0,
    }];
    let (mut direction, mut outgoing, mut wire) = (Direction::new(), Outgoing::new(), Vec::new());
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.pack_by([None, Some(Codec::Lz4), Some(Codec::Zstd)][data.len() % 3]);
    encoder.begin(1, 1, &Opening::default());
    encoder.pages(&body, &runs, |_| {
        Some(Base {
            bytes: &base,
            hash: page_hash(&base),
        })
    });
    let device_base = DeviceBase {
        bytes: &committed,
        hash: device_state_hash(&committed),
    };
    encoder.device_state(&body, PAGE_BYTES..body.len(), Some(device_base));
    encoder.commit();
    assert_eq!(
        outgoing.write_to(&mut wire, &body).expect("memory"),
        Progress::Done
    );
    let (mut reader, mut assembly) = (FrameReader::new(), Assembly::new(8, 1 << 20));
    assembly.expect(1, 1);
    reader.fill(&mut &wire[..]).expect("memory");
    let mut last = Step::Incomplete;
    while let Some(frame) = reader.next().expect("its own") {
        last = assembly
            .feed(&frame.header, frame.payload)
            .expect("its own");
    }
    assert_eq!(last, Step::Complete);
    let transaction = assembly.transaction().expect("complete");
    let mut found = base;
    for run in transaction.runs() {
        assert_eq!((run.first_page, run.pages), (3, 1));
        match run.content {
            Content::Raw(bytes) => found.copy_from_slice(bytes),
            Content::Zero => found.fill(0),
        }
    }
    for delta in transaction.deltas() {
        assert_eq!((delta.page, delta.base_hash), (3, page_hash(&base)));
        for (offset, bytes) in delta.pieces() {
            found[offset..offset + bytes.len()].copy_from_slice(bytes);
        }
    }
    assert!(found == page);
    let mut found = committed;
    match transaction.device_state() {
        DeviceState::Whole(bytes) => found = bytes.to_vec(),
        DeviceState::Delta(delta) => delta.apply(&mut found),
    }
    assert!(found == state);
}

pub fn seeds() -> Vec<Vec<u8>> {
    vec![
        vec![0, 16, 8, 2, 100, 0, 4, 1],
        vec![0xff, 0x0f, 255, 9, 0, 8, 200, 3, 9, 9, 100, 4, 1],
        [
            [0, 0, 255, 1],
            [255, 0, 255, 1],
            [0, 8, 255, 1],
            [0, 1, 255, 2],
        ]
        .concat(),
    ]
}
