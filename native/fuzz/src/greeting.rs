//! The JSON of the handshake, and of what came of a trial.

use kemari_engine::wire::{
    Fingerprint, Hello, HelloRole, Refuse, RefuseCode, ReplicaHeld, TrialResult, Welcome,
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
    if let Ok(result) = TrialResult::from_payload(data) {
        // Shortened if it must be: then it is the beginning.
        let again = result.to_payload().expect("it is shortened to fit");
        let again = TrialResult::from_payload(&again).expect("its own").failure;
        let (again, whole) = (again.as_deref(), result.failure.as_deref());
        assert!(again == whole || again.zip(whole).is_some_and(|(a, b)| b.starts_with(a)));
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
    let failed = TrialResult {
        failure: Some("Unknown section".to_owned()),
    };
    let payloads = [
        hello.to_payload(),
        welcome.to_payload(),
        refuse.to_payload(),
        failed.to_payload(),
    ];
    payloads.map(|payload| payload.expect("short")).into()
}
