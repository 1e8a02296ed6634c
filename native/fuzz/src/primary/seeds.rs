//! Conversations to begin with.

use kemari_engine::wire::{FrameKind, Refuse, RefuseCode, ReplicaHeld, TrialResult, Welcome};
use uuid::Uuid;

use super::{
    BURST, DEMOTE, ENTER_SOLO, NARROW, NEXT_EPOCH, PASS, POWER_OFF, UNSAVED, WORLD, WRITE,
};

/// A secondary's answer to a greeting.
fn welcome(replica: Option<ReplicaHeld>) -> Vec<u8> {
    let welcome = Welcome {
        node: "n2".to_owned(),
        engine_id: Uuid::max(),
        replica,
    };
    input(
        FrameKind::Welcome,
        &welcome.to_payload().expect("it is short"),
    )
}

fn input(kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).expect("short");
    [&[kind as u8, 0][..], &length.to_le_bytes(), payload].concat()
}

fn tried(failure: Option<&str>) -> Vec<u8> {
    let result = TrialResult {
        failure: failure.map(str::to_owned),
    };
    input(
        FrameKind::TrialResult,
        &result.to_payload().expect("it is short"),
    )
}

/// A guest that is moved, one that ends, one whose replica is outdated; a secondary that cannot, and one that comes back; a guest
/// that writes more than can be staged; a secondary that acknowledges what it does not have; a guest
/// whose state cannot be saved at first.
pub fn seeds() -> Vec<Vec<u8>> {
    let said = |kind| input(kind, &[]);
    let ack = || said(FrameKind::Ack);
    let happens = |kind, flags| vec![kind, flags, 0, 0];
    let epoch = || [happens(PASS, 5), ack()].concat();
    let replica = || [welcome(None), tried(None), ack()].concat();
    let held = ReplicaHeld {
        generation: 1,
        epoch: 2,
        primary_engine_id: Uuid::nil(),
    };
    let refuse = Refuse {
        code: RefuseCode::Busy,
        message: "later".to_owned(),
    };
    let refuse = refuse.to_payload().expect("it is short");
    let moved = [
        replica(),
        epoch(),
        happens(WORLD, 0),
        happens(WRITE, 3),
        epoch(),
        happens(DEMOTE, 0),
        ack(),
        ack(),
        said(FrameKind::HandoverAck),
        said(FrameKind::Heartbeat),
    ];
    let ended = [
        replica(),
        happens(POWER_OFF, 0),
        ack(),
        ack(),
        said(FrameKind::EndAck),
    ];
    let outdated = [
        replica(),
        epoch(),
        said(FrameKind::Farewell),
        happens(ENTER_SOLO, 1),
        replica(),
        epoch(),
    ];
    let unable = [
        input(FrameKind::Refuse, &refuse),
        welcome(None),
        tried(Some("Unknown section")),
        (0..30).flat_map(|_| happens(PASS, 255)).collect(),
        replica(),
    ];
    let back = [
        replica(),
        happens(PASS, 5),
        said(FrameKind::Hello),
        welcome(Some(held.clone())),
        epoch(),
    ];
    // The next epoch's, of which the connection has taken a part only.
    let early = vec![FrameKind::Ack as u8, NEXT_EPOCH, 0, 0];
    let hasty = [
        replica(),
        happens(NARROW, 4),
        ack(),
        happens(PASS, 5),
        early,
        happens(NARROW, 0),
        welcome(Some(held)),
        epoch(),
    ];
    // Until a peer whose trial has failed is called again.
    let long = || (0..30).flat_map(|_| happens(PASS, 255)).collect();
    let unsaved = [
        happens(UNSAVED, 0),
        welcome(None),
        long(),
        happens(UNSAVED, 1),
        welcome(None),
        long(),
        // A trial has passed, and what follows cannot be saved.
        welcome(None),
        happens(UNSAVED, 0),
        tried(None),
        long(),
        welcome(None),
        happens(UNSAVED, 1),
        tried(None),
        long(),
        replica(),
        epoch(),
    ];
    let large = [
        // By this page it is found that packing pays, which the others then refute.
        happens(WRITE, 7),
        happens(BURST, 7),
        replica(),
        happens(BURST, 5),
        epoch(),
        happens(BURST, 32),
        epoch(),
    ];
    [
        moved.concat(),
        ended.concat(),
        outdated.concat(),
        unable.concat(),
        back.concat(),
        large.concat(),
        hasty.concat(),
        unsaved.concat(),
    ]
    .into()
}
