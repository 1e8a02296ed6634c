//! Whoever else calls the second engine.

use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use kemari_engine::link::Key;
use kemari_engine::wire::{
    ControlKind, Direction, Fingerprint, Frame, FrameKind, FrameReader, Half, Hello, HelloRole,
    Outgoing, Refuse, session,
};
use serde_json::Value;
use uuid::Uuid;

use super::side::{Side, connect_from};

/// The engine of the second node.
pub const DOOR: &str = "10.77.2.2:7900";
/// An address of nobody's.
pub const STRANGER: &str = "10.77.2.12";

/// A connection to the second engine's sync port.
pub fn knock(from: &str) -> TcpStream {
    let door: SocketAddr = DOOR.parse().expect("an address");
    let socket = connect_from(from.parse().expect("an address"), door).expect("connect");
    let patience = Some(Duration::from_secs(30));
    socket.set_read_timeout(patience).expect("time-out");
    socket
}

/// Says something in clear and returns all that is answered.
pub fn shout(words: &[u8]) -> Vec<u8> {
    let mut socket = knock(STRANGER);
    let _ = socket.write_all(words);
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    heard
}

/// A frame as the first of a connection, in clear.
pub fn frame(kind: ControlKind, payload: &[u8]) -> Vec<u8> {
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(kind, 1, 1, payload);
    let mut bytes = Vec::new();
    outgoing.write_to(&mut bytes, &[]).expect("memory");
    bytes
}

/// What an engine would say of itself: of the guest of this lab, in a generation beyond all others.
pub fn hello(spec: &Value) -> Hello {
    Hello {
        protocol: kemari_engine::wire::limits::PROTOCOL_VERSION,
        resource: spec["resource"].as_str().expect("a name").to_owned(),
        vm_uuid: spec["machine"]["uuid"]
            .as_str()
            .and_then(|uuid| Uuid::parse_str(uuid).ok())
            .expect("a UUID"),
        node: "n7".to_owned(),
        engine_id: Uuid::from_u128(7),
        engine_version: "0".to_owned(),
        role: HelloRole::Primary,
        generation: 99,
        acked_epoch: 0,
        fingerprint: Fingerprint::default(),
    }
}

/// Introduces itself within TLS with this key, and returns what it is told.
pub fn introduce(key: &Path, hello: &Hello) -> Result<Refuse, String> {
    let key = Key::read(key).expect("a key");
    let side = Side::connect(knock(STRANGER), Some(key)).map_err(|error| error.to_string())?;
    let mut from = BufReader::with_capacity(1 << 16, &side);
    let mut reader = FrameReader::new();
    let mut hear = |reader: &mut FrameReader| -> Result<Option<Half>, Result<Refuse, String>> {
        loop {
            let taken = reader.next().map_err(|error| Err(error.to_string()))?;
            if let Some(frame) = taken {
                return understand(frame);
            }
            let mut bytes = vec![0; 1 << 16];
            let count = from.read(&mut bytes).map_err(|e| Err(e.to_string()))?;
            if count == 0 {
                return Err(Err("closed".to_owned()));
            }
            reader.fill(&mut &bytes[..count]).expect("memory");
        }
    };
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    let call = Half::random();
    let mut say = |direction: &mut Direction, kind, payload: &[u8]| {
        direction
            .encoder(&mut outgoing)
            .control(kind, 1, 1, payload);
        outgoing
            .write_to(&mut &side, &[])
            .map_err(|e| e.to_string())
    };
    say(&mut direction, ControlKind::Call, call.payload())?;
    let challenge = match hear(&mut reader) {
        Ok(Some(half)) => half,
        Ok(None) => return Err("no challenge".to_owned()),
        Err(outcome) => return outcome,
    };
    direction.join(session(call, challenge));
    reader.join(session(call, challenge));
    let payload = hello.to_payload().expect("a hello");
    say(&mut direction, ControlKind::Hello, &payload)?;
    match hear(&mut reader) {
        Err(outcome) => outcome,
        Ok(_) => Err("it was let in".to_owned()),
    }
}

fn understand(frame: Frame<'_>) -> Result<Option<Half>, Result<Refuse, String>> {
    match frame.header.kind {
        FrameKind::Refuse => Err(Refuse::from_payload(frame.payload).map_err(|e| e.to_string())),
        FrameKind::Challenge => Half::from_frame(&frame, FrameKind::Challenge)
            .map(Some)
            .map_err(|error| Err(error.to_string())),
        _ => Ok(None),
    }
}
