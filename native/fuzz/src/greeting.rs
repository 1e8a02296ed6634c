//! The JSON of the handshake.

use kemari_engine::wire::{
    Fingerprint, Hello, HelloRole, Refuse, RefuseCode, ReplicaHeld, Welcome,
};
use uuid::Uuid;

/// Whatever can be read can be written, and is read as the same again, unless it has become too long.
pub fn run(data: &[u8]) {
    if let Ok(hello) = Hello::from_payload(data) {
        let none = Fingerprint::default();
        let _ = none.difference("n1", &hello.fingerprint, &hello.node);
        assert!(
            hello
                .fingerprint
                .difference("n1", &hello.fingerprint.clone(), "n2")
                .is_none()
        );
        if let Ok(again) = hello.to_payload() {
            assert!(Hello::from_payload(&again).expect("its own") == hello);
        }
    }
    if let Ok(welcome) = Welcome::from_payload(data)
        && let Ok(again) = welcome.to_payload()
    {
        assert!(Welcome::from_payload(&again).expect("its own") == welcome);
    }
    if let Ok(refuse) = Refuse::from_payload(data)
        && let Ok(again) = refuse.to_payload()
    {
        assert!(Refuse::from_payload(&again).expect("its own") == refuse);
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    let hello = Hello {
        protocol: kemari_engine::wire::limits::PROTOCOL_VERSION,
        resource: "vm1".to_owned(),
        vm_uuid: Uuid::nil(),
        node: "n1".to_owned(),
        engine_id: Uuid::max(),
        engine_version: "0.1.0".to_owned(),
        role: HelloRole::Primary,
        generation: 3,
        acked_epoch: u64::MAX,
        fingerprint: Fingerprint {
            values: [("CPU model".to_owned(), "qemu64".to_owned())].into(),
            sets: [("devices".to_owned(), ["VGA".to_owned()].into())].into(),
        },
    };
    let welcome = Welcome {
        node: "n2".to_owned(),
        engine_id: Uuid::nil(),
        replica: Some(ReplicaHeld {
            generation: 1,
            epoch: 2,
            primary_engine_id: Uuid::nil(),
        }),
    };
    let refuse = Refuse {
        code: RefuseCode::Fingerprint,
        message: "no".to_owned(),
    };
    let payloads = [
        hello.to_payload(),
        welcome.to_payload(),
        refuse.to_payload(),
    ];
    payloads.map(|payload| payload.expect("short")).into()
}
