//! Connections over the loopback: how they begin, how they are refused, and that nothing stays within.

mod beginning;
mod handshake;
mod replay;

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

fn ready(link: &Link<Channel>) -> bool {
    ready_within(link, Duration::from_secs(10))
}

fn ready_within(link: &Link<Channel>, patience: Duration) -> bool {
    let flags = if link.wants_write() {
        PollFlags::IN | PollFlags::OUT
    } else {
        PollFlags::IN
    };
    let timeout = rustix::event::Timespec::try_from(patience).expect("timespec");
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

/// Sends until the last record of a frame waits here, with nothing behind it; how many frames that took.
fn fill_up(link: &mut Link<Channel>) -> usize {
    for frames in 1..100_000 {
        link.encoder()
            .control(ControlKind::Input, 1, 1, &[7; 12 << 10]);
        if link.flush(&[]).expect("flush") == Progress::Pending && link.outgoing.is_empty() {
            return frames;
        }
    }
    panic!("it is never full");
}

/// Takes the frames that have arrived; how many there were.
fn take_all(link: &mut Link<Channel>) -> usize {
    let mut frames = 0;
    while link.reader.next().expect("a good frame").is_some() {
        frames += 1;
    }
    frames
}

#[test]
fn what_was_not_there_when_a_link_was_given_up_does_not_get_there_after_that() {
    let folder = folder();
    let (mut caller, mut host) = links(&tls(folder.path(), 1));
    let sent = fill_up(&mut caller);
    assert!(caller.sent_at_most() < caller.outgoing.bytes_written());
    // There is room again, which nobody has noticed when the link is given up.
    let mut frames = 0;
    while !ready_within(&caller, Duration::from_millis(10)) {
        host.fill().expect("open");
        frames += take_all(&mut host);
    }
    drop(caller);
    while ready(&host) && host.fill().is_ok() {
        frames += take_all(&mut host);
    }
    assert!(frames < sent, "all of {sent} frames have arrived");
}

#[test]
fn what_waits_encrypted_is_not_said_to_be_there() {
    let folder = folder();
    let (mut caller, mut host) = links(&tls(folder.path(), 1));
    let sent = fill_up(&mut caller);
    let end = caller.outgoing.bytes_written();
    assert_eq!(caller.sent_at_most(), end - 1);
    // The peer cannot have the last frame, whatever it reads.
    let mut frames = 0;
    while host.fill().expect("open") {
        frames += take_all(&mut host);
    }
    assert!(frames < sent, "{frames} of {sent} frames have arrived");
    let mut last = Progress::Pending;
    while last == Progress::Pending {
        // What was still on its way when the host found nothing may fill its buffer: there is room when it reads on.
        let until = Instant::now() + Duration::from_secs(60);
        while !ready_within(&caller, Duration::from_millis(10)) {
            assert!(Instant::now() < until, "never room");
            host.fill().expect("open");
            while host.reader.next().expect("a good frame").is_some() {}
        }
        last = caller.flush(&[]).expect("flush");
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
