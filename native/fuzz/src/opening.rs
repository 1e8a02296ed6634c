//! How a connection begins: the first byte, TLS, and the two frames that make a session, heard by either side.
//!
//! Input: u8 how; bit 0: we are called, or we call; bit 1: set to TLS, or to plain; bit 2: frames follow, as in `frames`, but
//! without a place (`{ u8 kind, u8 packing, u16 length, length bytes }`), or bytes as they are.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use kemari_engine::link::{answer, call};
use kemari_engine::spec::TransportChoice;

use crate::{frames, key};

/// Longest input: it must fit into the socket at once.
const MOST_BYTES: usize = 100_000;

pub fn run(data: &[u8]) {
    let Some((&how, rest)) = data.split_first() else {
        return;
    };
    let words = if how & 4 != 0 {
        framed(rest)
    } else {
        rest.to_vec()
    };
    let (ours, mut theirs) = sockets();
    theirs
        .write_all(&words[..words.len().min(MOST_BYTES)])
        .expect("room");
    theirs.shutdown(Shutdown::Write).expect("a socket");
    let choice = match how & 2 {
        0 => TransportChoice::Plain,
        _ => TransportChoice::Tls { key: key::path() },
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    let opened = match how & 1 {
        0 => answer(ours, &choice, deadline),
        _ => call(ours, &choice, deadline),
    };
    assert!(Instant::now() < deadline, "it waits for nobody");
    match opened {
        Ok(_) => assert!(choice == TransportChoice::Plain, "without the key"),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Both ends of a stream of bytes in the kernel. That it is no TCP nobody asks.
pub fn sockets() -> (TcpStream, TcpStream) {
    let (ours, theirs) = UnixStream::pair().expect("sockets");
    (OwnedFd::from(ours).into(), OwnedFd::from(theirs).into())
}

fn framed(data: &[u8]) -> Vec<u8> {
    let (mut rest, mut bytes, mut sequence) = (data, Vec::new(), 0);
    while let [kind, packing, low, high, payload @ ..] = rest {
        let length = usize::from(u16::from_le_bytes([*low, *high]));
        let (payload, later) = payload.split_at(length.min(payload.len()));
        rest = later;
        bytes.extend(frames::frame(*kind, packing & 3, (0, 0), sequence, payload));
        sequence += 1;
    }
    bytes
}

pub fn seeds() -> Vec<Vec<u8>> {
    let one = |how: u8, kind: u8, payload: &[u8]| {
        let length = u16::try_from(payload.len()).expect("short");
        [&[how, kind, 0][..], &length.to_le_bytes(), payload].concat()
    };
    let refuse = br#"{"code":"transport","message":"set the same"}"#;
    let mut seeds = vec![
        one(4, frames::CALL, &[1; 16]),
        one(6, frames::CALL, &[1; 16]),
        one(5, frames::CHALLENGE, &[2; 16]),
        one(5, frames::REFUSE, refuse),
        one(7, frames::REFUSE, refuse),
    ];
    // What a client and a server of TLS begin with.
    for (how, flight) in [(2, client_hello()), (3, server_hello())] {
        seeds.push([&[how][..], &flight].concat());
    }
    seeds
}

/// The first record of a caller within TLS.
fn client_hello() -> Vec<u8> {
    let (ours, theirs) = sockets();
    theirs.shutdown(Shutdown::Write).expect("a socket");
    let choice = TransportChoice::Tls { key: key::path() };
    let deadline = Instant::now() + Duration::from_secs(5);
    let _ = call(ours, &choice, deadline);
    heard(theirs)
}

/// What one that is called answers to that.
fn server_hello() -> Vec<u8> {
    let (ours, mut theirs) = sockets();
    theirs.write_all(&client_hello()).expect("room");
    theirs.shutdown(Shutdown::Write).expect("a socket");
    let choice = TransportChoice::Tls { key: key::path() };
    let deadline = Instant::now() + Duration::from_secs(5);
    let _ = answer(ours, &choice, deadline);
    heard(theirs)
}

fn heard(mut socket: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut socket, &mut bytes).expect("a socket");
    bytes
}
