//! Compressed bytes that were not compressed by us: bounded, and refused if they are not what they say.
//!
//! Input: u8 codec, then the payload; if it can be packed, it comes out as it was.

use kemari_engine::wire::{
    CapturedRun, Codec, Direction, FrameReader, Outgoing, PageRuns, Progress, limits,
};

const PAGE_BYTES: usize = 4096;

pub fn run(data: &[u8]) {
    let Some((&codec, payload)) = data.split_first() else {
        return;
    };
    let codec = Codec::ALL[usize::from(codec) % Codec::ALL.len()];
    let mut reader = FrameReader::new();
    let frame = crate::frames::packed_pages(codec, payload);
    reader.fill(&mut &frame[..]).expect("memory");
    if let Ok(Some(frame)) = reader.next() {
        assert!(frame.payload.len() <= limits::MAX_PAYLOAD);
        let _ = PageRuns::decode(frame.payload, 1 << 20);
    }
    comes_out_as_it_was(codec, payload);
}

/// Pages of these bytes, over and over.
fn comes_out_as_it_was(codec: Codec, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let body: Vec<u8> = bytes.iter().copied().cycle().take(3 * PAGE_BYTES).collect();
    let runs = [CapturedRun {
        first_page: 5,
        pages: 3,
        body_offset: 0,
    }];
    let (mut direction, mut outgoing, mut wire) = (Direction::new(), Outgoing::new(), Vec::new());
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.pack_by(Some(codec));
    encoder.sync_pages(1, 1, &body, &runs);
    assert_eq!(
        outgoing.write_to(&mut wire, &body).expect("memory"),
        Progress::Done
    );
    let mut reader = FrameReader::new();
    reader.fill(&mut &wire[..]).expect("memory");
    let frame = reader.next().expect("its own").expect("whole");
    let found: Vec<u8> = PageRuns::decode(frame.payload, 8)
        .expect("its own")
        .flat_map(|run| match run.content {
            kemari_engine::wire::Content::Raw(bytes) => bytes.to_vec(),
            kemari_engine::wire::Content::Zero => vec![0; run.pages as usize * PAGE_BYTES],
        })
        .collect();
    assert!(found == body);
}

pub fn seeds() -> Vec<Vec<u8>> {
    crate::frames::packed_payloads()
}
