//! What is said before and within TLS while a connection begins, and by whom it is believed.

use std::net::Shutdown;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::limits::FORGOTTEN_MAX_BYTES;
use crate::link::dialer::{Way, dial};
use crate::link::listener::introduce;
use crate::link::secure;
use crate::wire::{Fingerprint, Hello, HelloRole, Welcome};

/// A frame before there is a session, of this version.
fn frame(kind: ControlKind, payload: &[u8], version: u16) -> Vec<u8> {
    let (mut bytes, mut direction, mut outgoing) = (Vec::new(), Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(kind, 0, 0, payload);
    outgoing.write_to(&mut bytes, &[]).expect("memory");
    bytes[4..6].copy_from_slice(&version.to_le_bytes());
    bytes
}

fn refusal(code: RefuseCode, message: &str) -> Vec<u8> {
    let message = message.to_owned();
    let payload = (Refuse { code, message }).to_payload().expect("short");
    frame(ControlKind::Refuse, &payload, limits::PROTOCOL_VERSION)
}

fn deadline() -> Instant {
    Instant::now() + PATIENCE
}

#[test]
fn of_a_refusal_in_clear_only_the_code_is_passed_on() {
    let folder = folder();
    for (code, told) in [
        (
            RefuseCode::Transport,
            "set to plain TCP and the other to TLS (here)",
        ),
        (
            RefuseCode::Protocol,
            "speaks without TLS and refuses us (Protocol)",
        ),
        (
            RefuseCode::Other,
            "speaks without TLS and refuses us (Other)",
        ),
    ] {
        let (ours, mut theirs) = sockets();
        let words = refusal(code, "call 0900-123456 at once");
        theirs.write_all(&words).expect("write");
        let error = opening::call(ours, &tls(folder.path(), 1), deadline()).expect_err("refused");
        let text = crate::report::chain(&error);
        assert!(text.contains(told) && !text.contains("0900"), "{text}");
    }
}

#[test]
fn the_words_of_a_refusal_are_bounded_whoever_says_them() {
    let long = "x".repeat(60_000);
    // As somebody would write it who does not keep to that.
    let payload = format!(r#"{{"code":"busy","message":"{long}"}}"#);
    let words = frame(
        ControlKind::Refuse,
        payload.as_bytes(),
        limits::PROTOCOL_VERSION,
    );
    let (ours, mut theirs) = sockets();
    theirs.write_all(&words).expect("write");
    let outcome = opening::call(ours, &TransportChoice::Plain, deadline());
    let Err(LinkError::Refused(refuse)) = outcome else {
        panic!("{outcome:?}");
    };
    assert_eq!(refuse.message.len(), limits::WORDS_MAX);
    let message = long;
    let refuse = Refuse { message, ..refuse };
    assert!(refuse.to_payload().expect("shortened").len() < 2 * limits::WORDS_MAX);
}

/// Sends `bytes` within TLS.
fn say_within(stream: &mut secure::SecureStream, bytes: &[u8]) {
    stream.write_all(bytes).expect("write");
    stream.flush().expect("flush");
}

/// The version of the next frame within TLS, and the refusal in it.
fn hear_within(stream: &mut secure::SecureStream) -> (u16, Refuse) {
    let mut bytes = Vec::new();
    loop {
        let mut room = vec![0; limits::READ_MIN_BYTES];
        match stream.read(&mut room) {
            Ok(0) => panic!("nothing was said"),
            Ok(read) => bytes.extend_from_slice(&room[..read]),
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
        let mut reader = FrameReader::new();
        reader.fill(&mut &bytes[..]).expect("memory");
        if let Some(frame) = reader.next().expect("a good frame") {
            assert_eq!(frame.header.kind, FrameKind::Refuse);
            let refuse = Refuse::from_payload(frame.payload).expect("a refusal");
            return (u16::from_le_bytes([bytes[4], bytes[5]]), refuse);
        }
    }
}

#[test]
fn a_caller_of_another_version_within_tls_is_told_ours_and_we_name_both() {
    let folder = folder();
    let choice = tls(folder.path(), 1);
    let key = Key::read(&key_file(folder.path(), 1)).expect("key");
    for version in [limits::PROTOCOL_VERSION - 1, limits::PROTOCOL_VERSION + 1] {
        let (ours, theirs) = sockets();
        let error = thread::scope(|scope| {
            let answer = scope.spawn(|| opening::answer(theirs, &choice, deadline()).map(|_| ()));
            let mut stream = secure::connect(&ours, key.clone(), deadline()).expect("our key");
            say_within(&mut stream, &frame(ControlKind::Call, &[7; 16], version));
            let (told, refuse) = hear_within(&mut stream);
            assert_eq!(told, limits::PROTOCOL_VERSION);
            assert_eq!(refuse.code, RefuseCode::Protocol);
            assert!(refuse.message.contains("install the same Kemari"));
            drop(stream);
            // Whoever refuses waits until its caller hangs up.
            ours.shutdown(Shutdown::Both).expect("hung up");
            answer.join().expect("thread").expect_err("refused")
        });
        let text = crate::report::chain(&error);
        assert!(text.contains(&format!("version {version}")), "{text}");
    }
}

#[test]
fn a_secondary_of_another_version_within_tls_is_named_by_its_number() {
    let folder = folder();
    let choice = tls(folder.path(), 1);
    let key = Key::read(&key_file(folder.path(), 1)).expect("key");
    let (ours, theirs) = sockets();
    let outcome = thread::scope(|scope| {
        let call = scope.spawn(|| opening::call(ours, &choice, deadline()).map(|_| ()));
        let mut stream = secure::accept(&theirs, key, deadline()).expect("our key");
        say_within(
            &mut stream,
            &frame(ControlKind::Refuse, b"another format", 9),
        );
        call.join().expect("thread")
    });
    let text = crate::report::chain(&outcome.expect_err("refused"));
    assert!(text.contains("the peer speaks version 9"), "{text}");
}

/// Carries what `from` says to `to`; true if that was cut before a `K` on the way, and `to` had nothing else to read then.
/// When it is `over`, nobody reads any more.
fn carry(from: &mut TcpStream, to: &mut TcpStream, reader: &TcpStream, over: &AtomicBool) -> bool {
    let (mut bytes, mut is_cut) = (vec![0; 1 << 16], false);
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        let bytes = &bytes[..read];
        let at = bytes.iter().skip(1).position(|byte| *byte == b'K');
        let (first, rest) = bytes.split_at(at.map_or(read, |at| at + 1));
        if to.write_all(first).is_err() {
            break;
        }
        let mut is_read = false;
        while !rest.is_empty() && !is_read && !over.load(Ordering::Relaxed) {
            is_read = rustix::io::ioctl_fionread(reader).expect("a socket") == 0;
            thread::yield_now();
        }
        if to.write_all(rest).is_err() {
            break;
        }
        is_cut |= is_read;
    }
    is_cut
}

#[test]
fn a_handshake_that_arrives_in_pieces_is_not_taken_for_clear_text() {
    let folder = folder();
    let choice = tls(folder.path(), 1);
    let mut cut = 0;
    // A flight is some hundred bytes of chance.
    while cut < 5 {
        let (ours, mut near) = sockets();
        let (mut far, theirs) = sockets();
        let reader = ours.try_clone().expect("a descriptor");
        let mut back = (far.try_clone().expect("a descriptor"), near.try_clone());
        let over = &AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(move || std::io::copy(&mut near, &mut far));
            let carried = scope.spawn(move || {
                let near = back.1.as_mut().expect("a descriptor");
                carry(&mut back.0, near, &reader, over)
            });
            let answer = scope.spawn(|| opening::answer(theirs, &choice, deadline()));
            let caller = opening::call(ours, &choice, deadline()).expect("in pieces");
            drop((caller, answer.join().expect("thread").expect("in pieces")));
            over.store(true, Ordering::Relaxed);
            cut += usize::from(carried.join().expect("thread"));
        });
    }
}

#[test]
fn one_that_is_sent_away_is_not_listened_to_for_long() {
    let (mut ours, theirs) = sockets();
    let answer =
        thread::spawn(move || opening::answer(theirs, &TransportChoice::Plain, deadline()));
    // TLS where plain is spoken, and then as much as it takes.
    let mut said = 0;
    while ours.write_all(&[0x16; 4096]).is_ok() {
        said += 4096;
        assert!(said < 1 << 30, "it is read without an end");
    }
    assert!(said > FORGOTTEN_MAX_BYTES);
    let error = answer.join().expect("thread").expect_err("refused");
    assert!(matches!(error, LinkError::Opening(OpeningError::WithTls)));
}

#[test]
fn neither_end_waits_to_fill_a_segment() {
    let folder = folder();
    let uuid = uuid::Uuid::nil();
    let hello = Hello {
        protocol: limits::PROTOCOL_VERSION,
        resource: "vm1".to_owned(),
        vm_uuid: uuid,
        node: "n1".to_owned(),
        engine_id: uuid,
        engine_version: String::new(),
        role: HelloRole::Primary,
        generation: 1,
        acked_epoch: 0,
        fingerprint: Fingerprint::default(),
    };
    let welcome = Welcome {
        node: "n2".to_owned(),
        engine_id: uuid,
        replica: None,
    };
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        let address = listener.local_addr().expect("address");
        let way = Way {
            from: address.ip(),
            address,
            choice: choice.clone(),
        };
        let (ours, theirs) = thread::scope(|scope| {
            let answer = scope.spawn(|| {
                let socket = listener.accept().expect("accept").0;
                let caller = introduce(socket, &choice).expect("a greeting");
                caller.welcome(&welcome, Instant::now()).expect("there")
            });
            let caller = dial(&way, &hello).expect("a welcome").0;
            (caller, answer.join().expect("thread"))
        });
        for link in [ours, theirs] {
            assert!(link.transport.socket().nodelay().expect("an option"));
        }
    }
}
