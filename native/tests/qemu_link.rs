//! Whoever else calls: strangers are refused, said once, and disturb nothing. A silent peer is given up, a busy one not.

mod common;

use std::fs;
use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use common::client::Traffic;
use common::engine::{Engine, plain, proxied_spec, spec};
use common::proxy::Proxy;
use common::side::{Side, connect_from};
use common::{eventually, in_guest_lab, key};
use kemari_engine::link::Key;
use kemari_engine::wire::{
    ControlKind, Direction, Frame, FrameKind, FrameReader, Half, Hello, HelloRole, Outgoing,
    Refuse, session,
};
use serde_json::{Value, json};
use uuid::Uuid;

/// The engine of the second node.
const DOOR: &str = "10.77.2.2:7900";
/// An address of nobody's.
const STRANGER: &str = "10.77.2.12";

fn knock(from: &str) -> TcpStream {
    let door: SocketAddr = DOOR.parse().expect("an address");
    let socket = connect_from(from.parse().expect("an address"), door).expect("connect");
    let patience = Some(Duration::from_secs(30));
    socket.set_read_timeout(patience).expect("time-out");
    socket
}

/// Says something in clear and returns all that is answered.
fn shout(words: &[u8]) -> Vec<u8> {
    let mut socket = knock(STRANGER);
    let _ = socket.write_all(words);
    let mut heard = Vec::new();
    let _ = socket.read_to_end(&mut heard);
    heard
}

/// A pair that goes on, whatever is done to it.
struct Pair {
    first: Engine,
    second: Engine,
    traffic: Traffic,
}

impl Pair {
    fn start(first: &Value, second: &Value) -> Self {
        let second = Engine::start(second);
        let first = Engine::start(first);
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        Self {
            first,
            second,
            traffic,
        }
    }

    /// The same connection as before carries the guest's epochs.
    fn goes_on(&mut self) {
        self.traffic.flows(20);
        assert_eq!(self.first.status()["state"], "protected");
        assert_eq!(self.second.status()["state"], "in-sync");
        for engine in [&self.first, &self.second] {
            assert_eq!(engine.said("was lost"), 0, "a link was lost");
        }
        assert_eq!(self.second.said("the primary is connected"), 1);
    }

    fn stop(self) {
        self.traffic.finish();
        self.first.stop();
        self.second.stop();
    }
}

/// A frame as the first of a connection, in clear.
fn frame(kind: ControlKind, payload: &[u8]) -> Vec<u8> {
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(kind, 1, 1, payload);
    let mut bytes = Vec::new();
    outgoing.write_to(&mut bytes, &[]).expect("memory");
    bytes
}

/// What an engine would say of itself: of the guest of this lab, in a generation beyond all others.
fn hello(spec: &Value) -> Hello {
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
        fingerprint: Default::default(),
    }
}

/// Introduces itself within TLS with this key, and returns what it is told.
fn introduce(key: &Path, hello: &Hello) -> Result<Refuse, String> {
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

#[test]
fn strangers_are_refused_and_said_once_and_the_pair_goes_on() {
    in_guest_lab(|lab| {
        let ours = spec(lab, 2);
        let mut pair = Pair::start(&spec(lab, 1), &ours);
        assert_eq!(pair.first.status()["transport"], "tls");
        assert!(pair.first.said("the link to the other host is encrypted") > 0);

        // In clear, of our version and of others.
        let heard = shout(&frame(ControlKind::Call, Half::random().payload()));
        assert!(contains(&heard, "plain TCP and the other to TLS"));
        let ours_is = kemari_engine::wire::limits::PROTOCOL_VERSION;
        for version in [1, 2, ours_is - 1, ours_is + 1, 999] {
            let mut old = frame(ControlKind::Hello, b"{}");
            old[4..6].copy_from_slice(&version.to_le_bytes());
            let heard = shout(&old);
            assert!(contains(
                &heard,
                &format!("version {version} of the protocol")
            ));
        }
        pair.goes_on();

        // No Kemari at all, and TLS that goes nowhere.
        assert_eq!(shout(b"GET / HTTP/1.1\r\n\r\n"), b"");
        shout(&[0x16, 3, 1, 0, 4, 1, 0, 0, 0]);
        pair.goes_on();

        // A key of its own, again and again.
        let foreign = lab.folder().join("foreign.key");
        key::write(&foreign);
        for _ in 0..5 {
            let error = introduce(&foreign, &hello(&ours)).expect_err("a foreign key");
            assert!(error.contains("copy the key file"), "{error}");
        }
        pair.goes_on();

        // Our key, and another resource, guest or machine.
        let key = key::of_this_lab();
        let mut other = hello(&ours);
        other.resource = "vm2".to_owned();
        for _ in 0..4 {
            introduce(&key, &other).expect("a refusal");
        }
        let refuse = introduce(&key, &other).expect("a refusal");
        assert_eq!(pair.second.said("n7 was refused"), 1, "said once");
        assert!(
            refuse
                .message
                .contains("this is the engine of vm1, not of vm2")
        );
        let mut other = hello(&ours);
        other.vm_uuid = Uuid::from_u128(3);
        let refuse = introduce(&key, &other).expect("a refusal");
        assert!(refuse.message.contains("the VM's uuid is"));
        let refuse = introduce(&key, &hello(&ours)).expect("a refusal");
        assert!(refuse.message.contains("would not run the same machine"));
        for kind in ["transport", "version", "tls", "key"] {
            eventually(&format!("{kind} is said"), || {
                (refusals(&pair.second, kind) > 0).then_some(())
            });
            assert_eq!(refusals(&pair.second, kind), 1, "{kind} is said once");
        }
        pair.goes_on();

        // Nobody can read the key where others may look.
        let text = fs::read_to_string(&key).expect("the key");
        let secret = text.lines().nth(1).expect("a line");
        for engine in [&pair.first, &pair.second] {
            assert_eq!(engine.said(secret), 0);
            let words = fs::read_to_string(format!("/proc/{}/cmdline", engine.pid()));
            assert!(!words.expect("a process").contains(secret));
        }
        pair.stop();
    });
}

fn contains(heard: &[u8], words: &str) -> bool {
    let text = String::from_utf8_lossy(heard);
    assert!(text.contains(words), "{words:?} is not in {text:?}");
    true
}

/// Lines in the log that say that a caller was refused for this kind of fault.
fn refusals(engine: &Engine, kind: &str) -> usize {
    engine
        .lines_with("a caller was refused")
        .iter()
        .filter(|line| line["kind"] == kind)
        .count()
}

#[test]
fn a_session_that_was_recorded_is_refused_in_clear_and_within_tls() {
    in_guest_lab(|lab| {
        for choice in [|spec: Value| spec, plain] {
            let recorder = Recorder::before_the_second();
            let (ours, theirs) = (choice(proxied_spec(lab, 1)), choice(spec(lab, 2)));
            let mut pair = Pair::start(&ours, &theirs);
            let recorded = recorder.recorded();
            assert!(recorded.len() > 100_000, "{} bytes", recorded.len());
            for _ in 0..3 {
                shout(&recorded);
            }
            eventually("it is refused", || {
                let kinds = ["session", "tls", "failed"];
                kinds
                    .iter()
                    .any(|kind| refusals(&pair.second, kind) > 0)
                    .then_some(())
            });
            pair.goes_on();
            if ours["transport"]["kind"] == "plain" {
                assert_eq!(pair.first.status()["transport"], "plain");
                assert!(pair.first.said("whoever reaches its network can read") > 0);
                assert_eq!(refusals(&pair.second, "session"), 1, "said once");
            }
            pair.stop();
            for node in ["n1", "n2"] {
                let _ = fs::remove_file(lab.folder().join(node).join("log"));
            }
        }
    });
}

/// Carries the bytes between the engines, whatever they mean, and keeps what the caller has said.
struct Recorder {
    heard: Arc<Mutex<Vec<u8>>>,
    over: Arc<AtomicBool>,
    doorkeeper: Option<thread::JoinHandle<()>>,
}

impl Recorder {
    /// In front of the second node.
    fn before_the_second() -> Self {
        let listener = TcpListener::bind("10.77.2.12:7900").expect("the recorder's port");
        listener.set_nonblocking(true).expect("nonblocking");
        let (heard, over) = (
            Arc::new(Mutex::new(Vec::new())),
            Arc::new(AtomicBool::new(false)),
        );
        let doorkeeper = thread::spawn({
            let (heard, over) = (Arc::clone(&heard), Arc::clone(&over));
            move || {
                while !over.load(Ordering::Relaxed) {
                    thread::sleep(Duration::from_millis(5));
                    if let Ok((near, from)) = listener.accept() {
                        near.set_nonblocking(false).expect("blocking");
                        let far = knock(&from.ip().to_string());
                        far.set_read_timeout(None).expect("patience");
                        carry(&near, &far, Some(Arc::clone(&heard)));
                        carry(&far, &near, None);
                    }
                }
            }
        });
        Self {
            heard,
            over,
            doorkeeper: Some(doorkeeper),
        }
    }

    fn recorded(&self) -> Vec<u8> {
        self.heard.lock().expect("the record").clone()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(doorkeeper) = self.doorkeeper.take() {
            let _ = doorkeeper.join();
        }
    }
}

/// One direction, until either side ends.
fn carry(from: &TcpStream, to: &TcpStream, record: Option<Arc<Mutex<Vec<u8>>>>) {
    let clone = |socket: &TcpStream| socket.try_clone().expect("clone");
    let (mut from, mut to) = (clone(from), clone(to));
    thread::spawn(move || {
        let mut bytes = vec![0; 1 << 16];
        while let Ok(count) = from.read(&mut bytes)
            && count > 0
        {
            if let Some(record) = &record {
                let mut record = record.lock().expect("the record");
                if record.len() < 4 << 20 {
                    record.extend(&bytes[..count]);
                }
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Both);
    });
}

/// Threads of a process.
fn threads(engine: &Engine) -> usize {
    let tasks = fs::read_dir(format!("/proc/{}/task", engine.pid()));
    tasks.expect("a process").count()
}

/// Memory of a process that is its own, KiB.
fn own_memory_kib(engine: &Engine) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", engine.pid())).expect("a process");
    let line = status.lines().find(|line| line.starts_with("RssAnon:"));
    let number = line.and_then(|line| line.split_whitespace().nth(1));
    number.and_then(|number| number.parse().ok()).expect("KiB")
}

/// Calls as fast as it can until it is `over`; keeps some that say nothing, and some that say one byte at a time.
fn flood(calls: &AtomicUsize, over: &AtomicBool) {
    let mut open = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let mut socket = knock(STRANGER);
        let number = calls.fetch_add(1, Ordering::Relaxed);
        let word: &[u8] = match number % 4 {
            0 => b"",
            1 => b"K",
            2 => &[0x16],
            _ => b"GET / HTTP/1.1\r\n\r\n",
        };
        let _ = socket.write_all(word);
        open.push(socket);
        if open.len() >= 64 {
            open.drain(..32);
        }
        for socket in &mut open {
            let _ = socket.write_all(&[0]);
        }
    }
}

#[test]
fn a_flood_of_connections_takes_neither_threads_nor_memory_nor_the_peers_place() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let mut pair = Pair::start(&proxied_spec(lab, 1), &spec(lab, 2));
        let (threads_before, memory_before) = (threads(&pair.second), own_memory_kib(&pair.second));
        let (calls, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        thread::scope(|scope| {
            // Also if a wait below fails: the scope waits for the threads.
            let _end = OnDrop(|| over.store(true, Ordering::Relaxed));
            for _ in 0..2 {
                scope.spawn(|| flood(&calls, &over));
            }
            let (mut most_threads, mut most_memory) = (0, 0);
            eventually("there is a flood", || {
                most_threads = most_threads.max(threads(&pair.second));
                most_memory = most_memory.max(own_memory_kib(&pair.second));
                (calls.load(Ordering::Relaxed) > 2000).then_some(())
            });
            pair.goes_on();
            assert!(
                most_threads <= threads_before + 16,
                "{most_threads} threads"
            );
            assert!(
                most_memory <= memory_before + (32 << 10),
                "{most_memory} KiB"
            );
            assert_eq!(refusals(&pair.second, "many"), 1, "said once");
            // The peer, which has to begin anew, is let in all the same.
            proxy.cut();
            pair.first.wait_state("frozen");
            proxy.heal();
            pair.first.wait_state("protected");
            pair.traffic.flows(20);
        });
        let said = pair.second.said("a caller was refused");
        assert!(said < 10, "{said} lines about {calls:?} calls");
        pair.stop();
    });
}

#[test]
fn a_silent_peer_is_given_up_by_both_and_comes_back() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        let mut patient = proxied_spec(lab, 1);
        patient["limits"]["ack_timeout_ms"] = json!(60_000);
        let mut pair = Pair::start(&patient, &spec(lab, 2));
        proxy.hush();
        for engine in [&pair.first, &pair.second] {
            eventually("it gives up", || {
                (engine.said("was lost: the peer has not said anything for 3") > 0).then_some(())
            });
        }
        let status = pair.first.wait_state("frozen");
        assert_eq!(status["peer"]["connected"], false);
        let status = pair.second.status();
        assert_eq!(
            (&status["peer"]["connected"], &status["state"]),
            (&json!(false), &json!("in-sync"))
        );
        proxy.heal();
        pair.first.wait_state("protected");
        pair.traffic.flows(20);
        pair.stop();
    });
}

#[test]
fn a_busy_peer_is_not_given_up_and_traffic_needs_no_heartbeats() {
    in_guest_lab(|lab| {
        let proxy = Proxy::before(2);
        // A baseline that takes longer than anybody may be silent: the secondary has nothing to say meanwhile.
        proxy.pace(6 << 20);
        let second = Engine::start(&spec(lab, 2));
        let first = Engine::start(&proxied_spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        assert_eq!(proxy.baselines(), 1);
        // More than would fit into the longest silence.
        assert!(proxy.heartbeats() > 12, "{} heartbeats", proxy.heartbeats());
        proxy.heal_pace();
        let mut traffic = Traffic::start();
        traffic.flows(100);
        let (before, acks) = (proxy.heartbeats(), proxy.acks());
        traffic.flows(500);
        let (after, acks) = (proxy.heartbeats(), proxy.acks() - acks);
        assert!(acks > 100, "{acks} acks");
        assert!(
            after - before < acks / 10,
            "{} for {acks} acks",
            after - before
        );
        traffic.finish();
        first.stop();
        second.stop();
    });
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
