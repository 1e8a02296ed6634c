//! The format itself, as it was when its version was given out: whoever changes it without a new number finds out here, and
//! not when two hosts of "the same" version meet.
//!
//! `golden/VERSION.txt` has the header of every frame of a connection; the checksum in it stands for the payload. What is JSON
//! may say more without a new version, so its contents are not among them; neither are packed ones, which are as good in
//! every form that the codec can read.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::frame::Header;
use super::limits::{HEADER_BYTES, PAGE_BYTES, PROTOCOL_VERSION};
use super::*;

const CONTROLS: [ControlKind; 15] = [
    ControlKind::Hello,
    ControlKind::Welcome,
    ControlKind::Refuse,
    ControlKind::SyncBegin,
    ControlKind::Handover,
    ControlKind::HandoverAck,
    ControlKind::Farewell,
    ControlKind::End,
    ControlKind::EndAck,
    ControlKind::Input,
    ControlKind::Heartbeat,
    ControlKind::TrialState,
    ControlKind::Trial,
    ControlKind::TrialResult,
    ControlKind::Call,
];

fn written(outgoing: &mut Outgoing, body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let done = outgoing.write_to(&mut wire, body).expect("memory");
    assert_eq!(done, Progress::Done);
    wire
}

/// One of every frame that there is.
fn connection() -> Vec<u8> {
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    let halves = [ControlKind::Call, ControlKind::Challenge];
    for kind in halves {
        direction
            .encoder(&mut outgoing)
            .control(kind, 0, 0, &[3; 16]);
    }
    direction.join(0x0123_4567_89ab_cdef);
    let page = |seed: usize| (0..PAGE_BYTES).map(move |at| (at / 8 * seed).to_le_bytes()[0]);
    let mut body: Vec<u8> = [3, 0, 7].into_iter().flat_map(page).collect();
    let state = body.len()..body.len() + 900;
    body.extend((0..900).map(|at: u32| at.to_le_bytes()[0]));
    let run = |first_page, pages, page: usize| CapturedRun {
        first_page,
        pages,
        body_offset: page * PAGE_BYTES,
    };
    let runs = [run(2, 2, 0), run(9, 1, 2)];
    let mut encoder = direction.encoder(&mut outgoing);
    for (number, kind) in CONTROLS.into_iter().enumerate() {
        encoder.control(kind, 7, number as u64, b"contents");
    }
    encoder.sync_pages(7, 40, &body, &runs);
    let opening = Opening {
        released_epoch: 39,
        captured_ns: 1_700_000_000_123_456_789,
        lag_ns: 77,
    };
    encoder.begin(7, 41, &opening);
    encoder.pages(&body, &runs, |_| None);
    encoder.device_state(&body, state.clone(), None);
    encoder.outputs([&b"one"[..], &[], &[7; 90]]);
    encoder.commit();
    let mut wire = written(&mut outgoing, &body);
    let before = body.clone();
    body[77] ^= 1;
    body[state.start + 500] ^= 1;
    let mut encoder = direction.encoder(&mut outgoing);
    encoder.begin(7, 42, &opening);
    let first: &[u8; PAGE_BYTES] = before.first_chunk().expect("a page");
    encoder.pages(&body, &runs, |page| {
        (page == 2).then(|| Base {
            bytes: first,
            hash: page_hash(first),
        })
    });
    let committed = DeviceBase {
        bytes: &before[state.clone()],
        hash: device_state_hash(&before[state.clone()]),
    };
    encoder.device_state(&body, state, Some(committed));
    encoder.commit();
    wire.extend(written(&mut outgoing, &body));
    wire.extend(acknowledgement(&wire, &mut direction));
    wire
}

/// What the other side says to the last transaction.
fn acknowledgement(wire: &[u8], direction: &mut Direction) -> Vec<u8> {
    let (mut outgoing, mut assembly) = (Outgoing::new(), Assembly::new(16, 1 << 20));
    let mut rest = wire;
    while let Some((header, later)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let header = Header::decode(header).expect("its own");
        let (payload, later) = later.split_at(header.payload_len as usize);
        rest = later;
        if !header.kind.is_transaction() {
            continue;
        }
        if header.kind == FrameKind::Begin {
            assembly.expect(header.generation, header.epoch);
        }
        if assembly.feed(&header, payload).expect("its own") == Step::Complete {
            let transaction = assembly.transaction().expect("complete");
            let acknowledgement = transaction.acknowledgement(|_| true).expect("it holds all");
            if rest.is_empty() {
                direction.encoder(&mut outgoing).ack(acknowledgement);
            }
            assembly.reset();
        }
    }
    written(&mut outgoing, &[])
}

/// A line for every frame.
fn lines(wire: &[u8]) -> String {
    let (mut rest, mut text) = (wire, String::new());
    while let Some((header, later)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let decoded = Header::decode(header).expect("its own");
        rest = &later[decoded.payload_len as usize..];
        for byte in header {
            write!(text, "{byte:02x}").expect("memory");
        }
        writeln!(text, " {:?}", decoded.kind).expect("memory");
    }
    text
}

#[test]
fn the_format_of_this_version_is_what_it_was() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("src/wire/golden/{PROTOCOL_VERSION}.txt"));
    let found = lines(&connection());
    let Ok(golden) = std::fs::read_to_string(&path) else {
        if std::env::var("KEMARI_GOLDEN").as_deref() == Ok("new") {
            std::fs::write(&path, found).expect("a new file");
            return;
        }
        panic!(
            "nobody has written down version {PROTOCOL_VERSION} of the protocol: if it is finished, run this test once with \
             KEMARI_GOLDEN=new, which makes {}",
            path.display()
        );
    };
    for (found, golden) in found.lines().zip(golden.lines()) {
        assert_eq!(
            found, golden,
            "this frame is not what version {PROTOCOL_VERSION} has been: a new format needs a new number"
        );
    }
    assert_eq!(found.lines().count(), golden.lines().count());
}

#[test]
fn every_kind_of_frame_is_written_down() {
    let text = lines(&connection());
    for number in 0..=u8::MAX {
        if let Some(kind) = FrameKind::from_wire(u16::from(number)) {
            let told = text
                .lines()
                .any(|line| line.ends_with(&format!(" {kind:?}")));
            assert!(told, "{kind:?} is not among the golden frames");
        }
    }
}

#[test]
fn what_every_version_changed_is_written_down() {
    let rows = include_str!("mod.rs").lines().filter_map(|line| {
        let (version, changed) = line.strip_prefix("//! | ")?.split_once(" | ")?;
        assert!(changed.len() > " |".len(), "{line}");
        version.parse().ok()
    });
    let written: Vec<u16> = rows.collect();
    let versions: Vec<u16> = (1..=PROTOCOL_VERSION).collect();
    assert_eq!(written, versions, "the table in wire/mod.rs");
}
