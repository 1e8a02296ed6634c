//! Connections over the loopback: how they begin, how they are refused, and that nothing stays within.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use tempfile::TempDir;

use super::opening::{self, Opened};
use super::secure::{Key, key_file};
use super::*;
use crate::spec::TransportChoice;
use crate::wire::{FrameKind, RefuseCode, limits};

/// Generous: the machine is shared.
const PATIENCE: Duration = Duration::from_secs(30);

fn tls(folder: &Path, seed: u8) -> TransportChoice {
    TransportChoice::Tls {
        key: key_file(folder, seed),
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("folder")
}

fn sockets() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let caller = TcpStream::connect(listener.local_addr().expect("address")).expect("connect");
    (caller, listener.accept().expect("accept").0)
}

type Outcome = Result<Opened<Channel>, LinkError>;

/// Both sides of a beginning.
fn meet(caller: &TransportChoice, host: &TransportChoice) -> (Outcome, Outcome) {
    let (ours, theirs) = sockets();
    meet_over(ours, theirs, caller, host)
}

fn meet_over(
    ours: TcpStream,
    theirs: TcpStream,
    caller: &TransportChoice,
    host: &TransportChoice,
) -> (Outcome, Outcome) {
    let deadline = Instant::now() + PATIENCE;
    thread::scope(|scope| {
        let answer = scope.spawn(|| opening::answer(theirs, host, deadline));
        let call = opening::call(ours, caller, deadline);
        (call, answer.join().expect("thread"))
    })
}

fn link(opened: Outcome) -> Link<Channel> {
    let opened = opened.expect("a beginning");
    opened.channel.establish().expect("established");
    Link::new(opened, Instant::now())
}

fn links(choice: &TransportChoice) -> (Link<Channel>, Link<Channel>) {
    let (caller, host) = meet(choice, choice);
    (link(caller), link(host))
}

fn said(outcome: Outcome) -> String {
    crate::report::chain(&outcome.expect_err("refused"))
}

fn ready(link: &Link<Channel>) -> bool {
    let flags = if link.wants_write() {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    };
    let timeout = rustix::event::Timespec::try_from(Duration::from_secs(10)).expect("timespec");
    let mut polled = [PollFd::new(link, flags)];
    poll(&mut polled, Some(&timeout)).expect("poll") > 0
}

/// The payload of the next frame, which must come.
fn next_payload(link: &mut Link<Channel>) -> Vec<u8> {
    loop {
        if let Some(frame) = link.reader.next().expect("a good frame") {
            return frame.payload.to_vec();
        }
        assert!(ready(link), "what was sent stays somewhere");
        link.fill().expect("an open connection");
    }
}

#[test]
fn frames_travel_both_ways_in_clear_and_within_tls() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let (mut caller, mut host) = links(&choice);
        for number in 0..50u8 {
            caller
                .encoder()
                .control(ControlKind::Input, 1, 1, &[number; 3000]);
            caller.flush(&[]).expect("flush");
            assert_eq!(next_payload(&mut host), [number; 3000]);
            host.encoder()
                .control(ControlKind::Farewell, 1, 1, &[number]);
            host.flush(&[]).expect("flush");
            assert_eq!(next_payload(&mut caller), [number]);
        }
    }
}

/// Frames that each side sends, 12 KiB each: more than both sockets hold.
const CROWD: usize = 4000;

#[test]
fn both_directions_full_at_once_come_to_an_end_and_nothing_stays_within() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let (mut caller, mut host) = links(&choice);
        let mut received = [0, 0];
        for _ in 0..CROWD {
            for side in [&mut caller, &mut host] {
                side.encoder()
                    .control(ControlKind::Input, 1, 1, &[7; 12 << 10]);
            }
        }
        // Nobody reads before the sockets are full.
        while caller.flush(&[]).expect("flush") == Progress::Done {}
        while host.flush(&[]).expect("flush") == Progress::Done {}
        assert!(caller.wants_write() && host.wants_write());
        assert!(
            caller.outgoing.pending_bytes() > 1 << 20,
            "it is taken without an end"
        );
        while received.iter().sum::<usize>() < 2 * CROWD {
            for (side, received) in [&mut caller, &mut host].into_iter().zip(&mut received) {
                if *received == CROWD && !side.wants_write() {
                    continue;
                }
                assert!(ready(side), "stuck at {received} frames");
                side.flush(&[]).expect("flush");
                side.fill().expect("open");
                while let Some(frame) = side.reader.next().expect("a good frame") {
                    assert_eq!(frame.payload, [7; 12 << 10]);
                    *received += 1;
                }
            }
        }
        assert!(!caller.wants_write() && !host.wants_write());
        let all = caller.outgoing.bytes_written();
        assert_eq!(caller.sent_at_most(), all);
    }
}

#[test]
fn what_waits_encrypted_is_not_said_to_be_there() {
    let folder = folder();
    let (mut caller, mut host) = links(&tls(folder.path(), 1));
    loop {
        caller
            .encoder()
            .control(ControlKind::Input, 1, 1, &[7; 12 << 10]);
        let before = caller.outgoing.bytes_written();
        if caller.flush(&[]).expect("flush") == Progress::Pending && caller.outgoing.is_empty() {
            // Taken, but its last record is still here.
            assert!(caller.outgoing.bytes_written() > before);
            break;
        }
        assert!(caller.outgoing.bytes_written() < 1 << 30, "never full");
    }
    let end = caller.outgoing.bytes_written();
    assert_eq!(caller.sent_at_most(), end - 1);
    // The peer cannot have the last frame, whatever it reads.
    let mut frames = 0;
    while frames < 10_000 && host.fill().expect("open") {
        while host.reader.next().expect("a good frame").is_some() {
            frames += 1;
        }
    }
    let bytes = frames * (limits::HEADER_BYTES as u64 + (12 << 10));
    assert!(bytes < end - 16, "{bytes} of {end} bytes have arrived");
    let mut last = Progress::Pending;
    while last == Progress::Pending {
        assert!(ready(&caller));
        last = caller.flush(&[]).expect("flush");
        host.fill().expect("open");
        while host.reader.next().expect("a good frame").is_some() {}
    }
    assert_eq!(caller.sent_at_most(), end);
}

#[test]
fn a_goodbye_and_a_torn_connection_end_a_link_alike() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let (mut caller, host) = links(&choice);
        drop(host);
        assert!(ready(&caller));
        assert!(matches!(caller.fill(), Err(LinkError::Closed)));
        let (mut caller, host) = links(&choice);
        let torn = host.transport.socket().shutdown(Shutdown::Both);
        torn.expect("shutdown");
        assert!(ready(&caller));
        assert!(matches!(caller.fill(), Err(LinkError::Closed)));
    }
}

#[test]
fn two_keys_do_not_meet_and_both_sides_name_them() {
    let folder = folder();
    let (ours, theirs) = (tls(folder.path(), 1), tls(folder.path(), 2));
    let fingerprint = |choice: &TransportChoice| match choice {
        TransportChoice::Tls { key } => Key::read(key).expect("key").fingerprint().to_owned(),
        TransportChoice::Plain => String::new(),
    };
    let (caller, host) = meet(&ours, &theirs);
    let (caller, host) = (said(caller), said(host));
    assert!(
        caller.contains(&fingerprint(&ours)) && caller.contains(&fingerprint(&theirs)),
        "{caller}"
    );
    assert!(caller.contains("copy the key file"), "{caller}");
    assert!(host.contains("refuses our sync key"), "{host}");
    assert!(host.contains(&fingerprint(&theirs)), "{host}");
}

#[test]
fn one_in_clear_and_one_within_tls_do_not_meet_and_both_sides_say_so() {
    let folder = folder();
    let (plain, tls) = (TransportChoice::Plain, tls(folder.path(), 1));
    let (caller, host) = meet(&plain, &tls);
    let Err(LinkError::Refused(refuse)) = &caller else {
        panic!("{caller:?}");
    };
    assert_eq!(refuse.code, RefuseCode::Transport);
    for text in [said(caller), said(host)] {
        assert!(text.contains("plain TCP and the other to TLS"), "{text}");
    }
    let (caller, host) = meet(&tls, &plain);
    for text in [said(caller), said(host)] {
        assert!(text.contains("TLS and the other to plain TCP"), "{text}");
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_when_it_is_needed() {
    let folder = folder();
    let missing = TransportChoice::Tls {
        key: PathBuf::from("/nonexistent/sync.key"),
    };
    let (caller, host) = meet(&tls(folder.path(), 1), &missing);
    assert!(said(host).contains("/nonexistent/sync.key"));
    assert!(said(caller).contains("hung up while TLS began"));
}

/// Says `words`, and returns what it hears until the end.
fn say(choice: &TransportChoice, words: &[u8], patience: Duration) -> (LinkError, Vec<u8>) {
    let (mut ours, theirs) = sockets();
    thread::scope(|scope| {
        let answer =
            scope.spawn(|| opening::answer(theirs, choice, Instant::now() + patience).map(|_| ()));
        ours.write_all(words).expect("write");
        ours.shutdown(Shutdown::Write).expect("shutdown");
        let mut heard = Vec::new();
        let _ = ours.read_to_end(&mut heard);
        let error = answer.join().expect("thread").expect_err("refused");
        (error, heard)
    })
}

#[test]
fn another_version_is_told_ours_and_we_name_both() {
    let folder = folder();
    let mut hello = Vec::new();
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Hello, 1, 1, b"{}");
    outgoing.write_to(&mut hello, &[]).expect("memory");
    for version in [2u16, 3, limits::PROTOCOL_VERSION + 1] {
        hello[4..6].copy_from_slice(&version.to_le_bytes());
        for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
            let (error, heard) = say(&choice, &hello, PATIENCE);
            let text = crate::report::chain(&error);
            assert!(text.contains(&format!("version {version}")), "{text}");
            assert_eq!(&heard[..4], b"KMRI");
            assert_eq!(heard[4..6], limits::PROTOCOL_VERSION.to_le_bytes());
            let mut reader = FrameReader::new();
            reader.fill(&mut &heard[..]).expect("memory");
            let frame = reader.next().expect("good").expect("whole");
            let refuse = Refuse::from_payload(frame.payload).expect("a refusal");
            assert_eq!(refuse.code, RefuseCode::Protocol);
            assert!(refuse.message.contains("install the same Kemari"));
        }
    }
}

#[test]
fn a_secondary_of_another_version_is_named_by_its_number() {
    let (ours, mut theirs) = sockets();
    let mut refuse = Vec::new();
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Refuse, 0, 0, b"another format");
    outgoing.write_to(&mut refuse, &[]).expect("memory");
    refuse[4..6].copy_from_slice(&9u16.to_le_bytes());
    theirs.write_all(&refuse).expect("write");
    let folder = folder();
    for (socket, choice) in [
        (ours.try_clone().expect("clone"), TransportChoice::Plain),
        (ours, tls(folder.path(), 1)),
    ] {
        theirs.write_all(&refuse).expect("write");
        let outcome = opening::call(socket, &choice, Instant::now() + PATIENCE);
        let text = said(outcome);
        assert!(text.contains("the peer speaks version 9"), "{text}");
    }
}

#[test]
fn strangers_are_named_by_what_they_begin_with() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let (error, heard) = say(&choice, b"GET / HTTP/1.1\r\n\r\n", PATIENCE);
        assert!(crate::report::chain(&error).contains("no Kemari: it begins with the byte 0x47"));
        assert!(heard.is_empty());
        let (error, _) = say(&choice, b"", PATIENCE);
        assert!(matches!(error, LinkError::Closed));
    }
    let (error, _) = say(
        &tls(folder.path(), 1),
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        PATIENCE,
    );
    assert!(crate::report::chain(&error).contains("TLS failed"));
}

#[test]
fn one_that_takes_its_time_is_given_up_however_it_dawdles() {
    let folder = folder();
    for (choice, word) in [
        (TransportChoice::Plain, b'K'),
        (tls(folder.path(), 1), 0x16),
        (tls(folder.path(), 1), b'K'),
    ] {
        let (mut ours, theirs) = sockets();
        let deadline = Instant::now() + Duration::from_millis(300);
        let error = thread::scope(|scope| {
            let answer = scope.spawn(|| opening::answer(theirs, &choice, deadline).map(|_| ()));
            // A byte now and then, each of which proves that somebody is there.
            while !answer.is_finished() {
                let _ = ours.write_all(&[word]);
                thread::sleep(Duration::from_millis(20));
            }
            answer.join().expect("thread").expect_err("refused")
        });
        assert!(
            Instant::now() >= deadline || !matches!(error, LinkError::Io(_)),
            "{error:?}"
        );
    }
}

/// Carries bytes between two sockets until either ends, and keeps those of the caller.
fn record(choice: &TransportChoice) -> Vec<u8> {
    let (ours, near) = sockets();
    let (far, theirs) = sockets();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let carry = |mut from: TcpStream, mut to: TcpStream, into: Option<Arc<Mutex<Vec<u8>>>>| {
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = from.read(&mut bytes)
                && count > 0
            {
                if let Some(into) = &into {
                    into.lock().expect("record").extend(&bytes[..count]);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        })
    };
    let clone = |socket: &TcpStream| socket.try_clone().expect("clone");
    let there = carry(clone(&near), clone(&far), Some(Arc::clone(&recorded)));
    let back = carry(far, near, None);
    let (caller, host) = meet_over(ours, theirs, choice, choice);
    let (mut caller, mut host) = (link(caller), link(host));
    for kind in [
        ControlKind::Hello,
        ControlKind::Input,
        ControlKind::Handover,
    ] {
        caller.encoder().control(kind, 1, 1, b"recorded");
        caller.flush(&[]).expect("flush");
        assert_eq!(next_payload(&mut host), b"recorded");
    }
    drop((caller, host));
    for thread in [there, back] {
        thread.join().expect("carried");
    }
    let recorded = recorded.lock().expect("record");
    recorded.clone()
}

#[test]
fn a_recorded_session_is_worth_nothing_in_another() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let recorded = record(&choice);
        assert!(!recorded.is_empty());
        let (mut ours, theirs) = sockets();
        ours.write_all(&recorded).expect("replay");
        let deadline = Instant::now() + PATIENCE;
        let outcome = thread::scope(|scope| {
            let answer = scope.spawn(|| {
                let mut opened = opening::answer(theirs, &choice, deadline)?;
                opened.hear(deadline, |frame| frame.header.kind)
            });
            let closing = ours.shutdown(Shutdown::Write);
            closing.expect("shutdown");
            answer.join().expect("thread")
        });
        match choice {
            // The call is as good as any; what follows was meant for another challenge.
            TransportChoice::Plain => assert!(
                matches!(
                    outcome,
                    Err(LinkError::Frame(FrameError::Session {
                        kind: FrameKind::Hello,
                        ..
                    }))
                ),
                "{outcome:?}"
            ),
            // The proof was made for another handshake.
            TransportChoice::Tls { .. } => {
                assert!(matches!(outcome, Err(LinkError::Secure(_))), "{outcome:?}");
            }
        }
    }
}

#[test]
fn a_recorded_secondary_is_worth_nothing_to_another_call() {
    // What a secondary said in one session: its challenge, and all that follows, in that session.
    let (caller, host) = meet(&TransportChoice::Plain, &TransportChoice::Plain);
    drop(caller);
    let mut direction = host.expect("a beginning").direction;
    let (mut outgoing, mut recorded) = (Outgoing::new(), Vec::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Welcome, 1, 1, b"recorded");
    outgoing.write_to(&mut recorded, &[]).expect("memory");
    let (mut replayed, _) = meet(&TransportChoice::Plain, &TransportChoice::Plain);
    let reader = &mut replayed.as_mut().expect("a beginning").reader;
    reader.fill(&mut &recorded[..]).expect("memory");
    let error = reader.next().expect_err("another session");
    assert!(matches!(
        error,
        FrameError::Session {
            kind: FrameKind::Welcome,
            ..
        }
    ));
}

#[test]
fn a_bit_that_was_changed_on_the_way_ends_a_secure_link() {
    let folder = folder();
    let (caller, mut host) = links(&tls(folder.path(), 1));
    // As if somebody on the way had written it.
    let mut socket = caller.transport.socket().try_clone().expect("clone");
    let forged = [&[0x17, 3, 3, 0, 40][..], &[5; 40]].concat();
    socket.write_all(&forged).expect("write");
    assert!(ready(&host));
    let error = host.fill().expect_err("forged");
    assert!(
        crate::report::chain(&error).contains("TLS failed"),
        "{error:?}"
    );
}

#[test]
fn a_silent_link_beats_and_a_busy_one_does_not() {
    let (mut caller, mut host) = links(&TransportChoice::Plain);
    let start = Instant::now();
    let every = crate::limits::SIGN_OF_LIFE_EVERY;
    caller.keep_alive(start + every).expect("alive");
    let kind_of = |link: &mut Link<Channel>| {
        assert!(ready(link));
        link.fill().expect("open");
        let frame = link.reader.next().expect("good").expect("whole");
        frame.header.kind
    };
    assert_eq!(kind_of(&mut host), FrameKind::Heartbeat);
    caller.encoder().control(ControlKind::Input, 1, 1, b"");
    caller.flush(&[]).expect("flush");
    let written = caller.outgoing.bytes_written();
    caller.keep_alive(start + every * 3 / 2).expect("alive");
    assert_eq!(
        caller.outgoing.bytes_written(),
        written,
        "it has just spoken"
    );
    // The other side says nothing at all.
    let silence = crate::limits::PEER_SILENCE;
    let mut now = start + every * 3 / 2;
    let error = loop {
        now += every;
        assert!(now < start + 2 * silence, "it is never given up");
        if let Err(error) = caller.keep_alive(now) {
            break error;
        }
    };
    assert!(now >= start + silence);
    let text = error.to_string();
    assert!(
        text.contains("the peer has not said anything for 3"),
        "{text}"
    );
}

#[test]
fn a_read_that_would_block_says_so() {
    let folder = folder();
    let (mut caller, _called) = links(&tls(folder.path(), 1));
    let mut bytes = vec![0; limits::READ_MIN_BYTES];
    let error = caller
        .transport
        .read(&mut bytes)
        .expect_err("nothing there");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}
