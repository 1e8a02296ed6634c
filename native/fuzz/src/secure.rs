//! Records of TLS that somebody on the way puts between those of the peer: what comes out is what the peer said, or nothing.
//!
//! Input: pieces of `{ u8 who, u8 length, length bytes }`; an odd one is put in as it is, the others the peer says.

use std::io::{Read, Write};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use kemari_engine::link::Key;
use kemari_engine::link::secure::{SecureStream, accept, connect};
use kemari_engine::wire::limits::READ_MIN_BYTES;

use crate::{key, opening};

pub fn run(data: &[u8]) {
    let (mut ours, mut theirs) = streams();
    let (mut rest, mut said) = (data, Vec::new());
    while let [who, length, piece @ ..] = rest {
        let (piece, later) = piece.split_at(usize::from(*length).min(piece.len()));
        rest = later;
        // A full socket takes no more.
        let written = if who % 2 == 1 {
            theirs.socket().write_all(piece)
        } else {
            said.extend_from_slice(piece);
            theirs.write_all(piece)
        };
        if written.is_err() {
            break;
        }
    }
    drop(theirs);
    let (mut heard, mut failures) = (Vec::new(), 0);
    let mut room = vec![0; READ_MIN_BYTES];
    while failures < 3 {
        match ours.read(&mut room) {
            Ok(0) => break,
            Ok(bytes) => heard.extend_from_slice(&room[..bytes]),
            // An engine gives the link up at the first one.
            Err(_) => failures += 1,
        }
    }
    assert!(said.starts_with(&heard), "what nobody said");
}

/// Both ends of a connection after its handshake, which do not block.
fn streams() -> (SecureStream, SecureStream) {
    static KEY: OnceLock<Key> = OnceLock::new();
    let key = KEY.get_or_init(|| Key::read(&key::path()).expect("a key"));
    let (ours, theirs) = opening::sockets();
    let deadline = Instant::now() + Duration::from_secs(60);
    thread::scope(|scope| {
        let called = scope.spawn(|| accept(&ours, key.clone(), deadline).expect("our key"));
        let caller = connect(&theirs, key.clone(), deadline).expect("our key");
        let streams = (called.join().expect("a thread"), caller);
        for stream in [&streams.0, &streams.1] {
            let socket = stream.socket();
            socket.set_nonblocking(true).expect("a socket");
        }
        streams
    })
}

pub fn seeds() -> Vec<Vec<u8>> {
    let piece = |who: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).expect("short");
        [&[who, length][..], bytes].concat()
    };
    // An alert in clear, the beginning of a record, and a whole one.
    let alert = [0x15, 3, 3, 0, 2, 1, 0];
    let begun = [0x17, 3, 3, 0, 200, 9, 9];
    let record = [&[0x17, 3, 3, 0, 20][..], &[5; 20]].concat();
    vec![
        [piece(0, b"one"), piece(0, &[7; 255])].concat(),
        [piece(0, b"one"), piece(1, &alert), piece(0, b"two")].concat(),
        [piece(0, b"one"), piece(1, &begun), piece(0, &[7; 255])].concat(),
        [piece(1, &record), piece(0, b"one")].concat(),
    ]
}
