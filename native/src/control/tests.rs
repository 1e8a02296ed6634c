//! The control channel on real sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::{Value, json};
use tempfile::TempDir;
use uuid::Uuid;

use super::inbox::{EventSender, Order, OrderCommand};
use super::limits::{MAX_CLIENTS, MAX_LINE, MAX_PENDING_ORDERS, MAX_QUEUED};
use super::messages::*;
use super::{Server, StatusBoard, server};
use crate::checkpoint::{Commit, Compression, SyncMode, Tuning, TuningChange};

const PATIENCE: Duration = Duration::from_secs(10);

fn tuning() -> Tuning {
    Tuning {
        sync_mode: SyncMode::Adaptive,
        commit: Commit::Pipelined,
        interval_ms: 20,
        latency_budget_ms: 5,
        paused_max_percent: 75,
        compression: Compression::Auto,
    }
}

fn status() -> Status {
    Status {
        engine_id: Uuid::from_u128(1),
        engine_version: "0.1.0".to_owned(),
        resource: "vm1".to_owned(),
        role: Role::Secondary,
        state: State::Empty,
        guest: GuestState::Incoming,
        paused_for: None,
        generation: 0,
        epoch: 0,
        peer: Peer {
            connected: false,
            node: None,
            engine_id: None,
        },
        transport: Transport::Tls,
        accel: Accel::Tcg,
        accel_reason: None,
        tracker: Tracker::PagemapScan,
        tracker_reason: None,
        encoding: None,
        tuning: tuning(),
        qemu_pid: None,
        sync_progress: None,
        held_packets: 0,
        held_bytes: 0,
        released_packets: 0,
        checkpoints: 0,
        checkpoint_pages: 0,
        checkpoint_bytes: 0,
        pause_us: None,
        pause_parts_us: None,
        transaction_bytes: None,
        paused_percent: None,
        guest_lag_ms: None,
        epoch_us: None,
        dirty_pages: None,
        promotion_us: None,
        data_thread_idle_ms: 0,
        last_error: None,
    }
}

struct Bench {
    server: Server,
    orders: Receiver<Order>,
    events: EventSender,
    board: StatusBoard,
    wake: Arc<OwnedFd>,
    path: PathBuf,
    _directory: TempDir,
}

impl Bench {
    fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("engine.sock");
        let wake = Arc::new(
            eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd"),
        );
        let board = StatusBoard::new(status());
        let (server, orders, events) =
            server::start(&path, board.clone(), Arc::clone(&wake)).expect("a server");
        Self {
            server,
            orders,
            events,
            board,
            wake,
            path,
            _directory: directory,
        }
    }

    fn connect(&self) -> Caller {
        Caller::new(UnixStream::connect(&self.path).expect("a connection"))
    }

    fn order(&self) -> Order {
        self.orders.recv_timeout(PATIENCE).expect("an order")
    }

    fn is_woken(&self) -> bool {
        let mut sockets = [PollFd::new(&self.wake, PollFlags::IN)];
        let second = Timespec {
            tv_sec: PATIENCE.as_secs().cast_signed(),
            tv_nsec: 0,
        };
        poll(&mut sockets, Some(&second)).expect("poll") == 1
    }
}

struct Caller {
    stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Caller {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, lines }
    }

    fn send(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).expect("written");
        self.stream.write_all(b"\n").expect("written");
    }

    fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("a line within the time-out");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        self.read()
    }

    fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.lines.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

fn error_of(reply: &Value) -> (&str, &str) {
    let error = &reply["error"];
    (
        error["code"].as_str().expect("a code"),
        error["message"].as_str().expect("a message"),
    )
}

#[test]
fn status_is_answered_while_the_data_thread_does_nothing() {
    let bench = Bench::new();
    bench.board.update(|status| status.epoch = 4711);
    thread::sleep(Duration::from_millis(30));
    let mut caller = bench.connect();
    let reply = caller.ask(&json!({"v": 1, "id": 9, "command": "status"}));
    assert_eq!((&reply["v"], &reply["id"]), (&json!(1), &json!(9)));
    let status = &reply["ok"]["status"];
    assert_eq!(status["epoch"], 4711);
    let idle_ms = status["data_thread_idle_ms"].as_u64().expect("a number");
    assert!((29..10_000).contains(&idle_ms), "{idle_ms}");
    bench.board.beat();
    let reply = caller.ask(&json!({"v": 1, "id": 10, "command": "status"}));
    let after_beat_ms = reply["ok"]["status"]["data_thread_idle_ms"]
        .as_u64()
        .expect("a number");
    assert!(after_beat_ms <= idle_ms, "{after_beat_ms}");
    assert!(matches!(bench.orders.try_recv(), Err(TryRecvError::Empty)));
}

#[test]
fn an_order_wakes_the_data_thread_and_is_answered_later_from_any_thread() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":3,"command":"promote","mode":"hot","generation":2}"#);
    let order = bench.order();
    assert_eq!(
        order.command,
        OrderCommand::Promote {
            mode: PromoteMode::Hot,
            generation: 2
        }
    );
    assert!(bench.is_woken());
    let status = caller.ask(&json!({"v": 1, "id": 4, "command": "status"}));
    assert_eq!(status["id"], 4, "status overtakes the order");
    thread::spawn(move || order.reply.promoted(PromoteMode::Hot))
        .join()
        .expect("answered");
    assert_eq!(
        caller.read(),
        json!({"v": 1, "id": 3, "ok": {"promoted": "hot"}})
    );
}

#[test]
fn every_order_reaches_the_data_thread_and_errors_reach_the_caller() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    for (request, expected) in [
        (
            json!({"v":1,"id":5,"command":"demote","timeout_ms":60}),
            OrderCommand::Demote { timeout_ms: 60 },
        ),
        (
            json!({"v":1,"id":6,"command":"enter-solo","generation":3}),
            OrderCommand::EnterSolo { generation: 3 },
        ),
        (
            json!({"v":1,"id":8,"command":"restart-statistics"}),
            OrderCommand::RestartStatistics,
        ),
        (
            json!({"v":1,"id":8,"command":"configure","tuning":{"sync_mode":"event"}}),
            OrderCommand::Configure {
                tuning: TuningChange {
                    sync_mode: Some(SyncMode::Event),
                    ..TuningChange::default()
                },
            },
        ),
        (json!({"v":1,"id":7,"command":"stop"}), OrderCommand::Stop),
    ] {
        caller.send(&request.to_string());
        let order = bench.order();
        assert_eq!(order.command, expected);
        order.reply.error(ErrorCode::WrongRole, "no");
        assert_eq!(
            caller.read()["error"],
            json!({"code": "wrong-role", "message": "no"})
        );
    }
}

#[test]
fn an_order_that_is_dropped_is_answered_all_the_same() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":7,"command":"stop"}"#);
    drop(bench.order());
    assert_eq!(error_of(&caller.read()).0, "engine-failed");
    let Bench { orders, server, .. } = bench;
    drop(orders);
    caller.send(r#"{"v":1,"id":8,"command":"stop"}"#);
    assert_eq!(error_of(&caller.read()).0, "engine-failed");
    drop(server);
}

#[test]
fn garbage_is_answered_and_the_caller_stays_connected() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    for garbage in [
        "nonsense",
        "{}",
        r#"{"v":1,"id":1,"command":"explode"}"#,
        "\u{0}",
        "",
    ] {
        caller.send(garbage);
        assert_eq!(error_of(&caller.read()).0, "bad-request", "{garbage:?}");
    }
    caller.send(r#"{"v":7,"id":4,"command":"status"}"#);
    let reply = caller.read();
    assert_eq!(reply["id"], 4);
    assert_eq!(
        error_of(&reply).1,
        "version 7 is not supported: this engine speaks version 1"
    );
    assert_eq!(
        caller.ask(&json!({"v": 1, "id": 5, "command": "status"}))["id"],
        5
    );
}

#[test]
fn requests_in_pieces_and_in_one_piece_are_answered_in_order() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    let requests: Vec<_> = (0..50)
        .map(|id| json!({"v": 1, "id": id, "command": "status"}).to_string() + "\n")
        .collect();
    let lines = requests.concat();
    for piece in lines.as_bytes().chunks(7) {
        caller.stream.write_all(piece).expect("written");
    }
    for id in 0..50 {
        assert_eq!(caller.read()["id"], id);
    }
    caller.stream.write_all(lines.as_bytes()).expect("written");
    for id in 0..50 {
        assert_eq!(caller.read()["id"], id);
    }
}

#[test]
fn an_overlong_line_ends_the_connection_and_no_other() {
    let bench = Bench::new();
    let (mut caller, mut other) = (bench.connect(), bench.connect());
    let line = " ".repeat(MAX_LINE + 1);
    // The server may close before it has taken everything.
    let _ = caller.stream.write_all(line.as_bytes());
    assert_eq!(
        error_of(&caller.read()),
        ("bad-request", "line is longer than 65536 bytes")
    );
    assert!(caller.is_closed());
    assert_eq!(
        other.ask(&json!({"v": 1, "id": 5, "command": "status"}))["id"],
        5
    );
}

#[test]
fn the_longest_line_is_still_read() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    let request = r#"{"v":1,"id":5,"command":"status"}"#;
    caller.send(&format!(
        "{request}{}",
        " ".repeat(MAX_LINE - request.len())
    ));
    assert_eq!(caller.read()["id"], 5);
}

#[test]
fn subscribers_get_events_and_others_do_not() {
    let bench = Bench::new();
    let (mut first, mut second, mut other) = (bench.connect(), bench.connect(), bench.connect());
    assert_eq!(
        first.ask(&json!({"v": 1, "id": 2, "command": "subscribe"})),
        json!({"v": 1, "id": 2, "ok": {}})
    );
    second.ask(&json!({"v": 1, "id": 3, "command": "subscribe"}));
    let events = bench.events.clone();
    thread::spawn(move || events.send(Event::PeerOutdated { generation: 2 }))
        .join()
        .expect("sent");
    bench.events.send(Event::Fatal {
        message: "no more".to_owned(),
    });
    for caller in [&mut first, &mut second] {
        assert_eq!(
            caller.read(),
            json!({"v": 1, "event": "peer-outdated", "generation": 2})
        );
        assert_eq!(
            caller.read(),
            json!({"v": 1, "event": "fatal", "message": "no more"})
        );
    }
    assert_eq!(
        other.ask(&json!({"v": 1, "id": 5, "command": "status"}))["id"],
        5
    );
}

#[test]
fn a_subscriber_that_does_not_read_is_dropped_and_no_other() {
    let bench = Bench::new();
    let (mut deaf, mut other) = (bench.connect(), bench.connect());
    deaf.ask(&json!({"v": 1, "id": 2, "command": "subscribe"}));
    let message = "x".repeat(32 << 10);
    // The socket's own buffers come on top of the bound.
    for _ in 0..MAX_QUEUED * 8 / message.len() {
        bench.events.send(Event::Fatal {
            message: message.clone(),
        });
    }
    // This answer is behind the events in the inbox: when it is here, they have all been dealt with.
    other.send(r#"{"v":1,"id":5,"command":"stop"}"#);
    bench.order().reply.ok(OkBody::Empty);
    assert_eq!(other.read(), json!({"v": 1, "id": 5, "ok": {}}));
    assert!(deaf.is_closed());
}

#[test]
fn one_client_too_many_is_told_so() {
    let bench = Bench::new();
    let mut callers: Vec<_> = (0..MAX_CLIENTS).map(|_| bench.connect()).collect();
    for caller in &mut callers {
        caller.ask(&json!({"v": 1, "id": 5, "command": "status"}));
    }
    let mut refused = bench.connect();
    assert_eq!(
        error_of(&refused.read()),
        ("bad-request", "16 clients are connected already")
    );
    assert!(refused.is_closed());
    callers.pop();
    let deadline = Instant::now() + PATIENCE;
    // The server sees the hang-up some time later; until then it refuses.
    loop {
        let mut caller = bench.connect();
        let _ = caller
            .stream
            .write_all(b"{\"v\":1,\"id\":6,\"command\":\"status\"}\n");
        if caller.read()["id"] == 6 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "the place of a client that left is given to the next"
        );
    }
}

#[test]
fn orders_of_one_client_are_bounded() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    for id in 0..=MAX_PENDING_ORDERS {
        caller.send(&json!({"v": 1, "id": id, "command": "stop"}).to_string());
    }
    let reply = caller.read();
    assert_eq!(
        (reply["id"].as_u64(), error_of(&reply).0),
        (Some(MAX_PENDING_ORDERS as u64), "bad-request")
    );
    bench.order().reply.ok(OkBody::Empty);
    assert_eq!(caller.read(), json!({"v": 1, "id": 0, "ok": {}}));
}

#[test]
fn a_caller_that_only_closed_its_writing_side_still_gets_its_answers() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":7,"command":"stop"}"#);
    caller
        .stream
        .shutdown(std::net::Shutdown::Write)
        .expect("half closed");
    bench.order().reply.ok(OkBody::Empty);
    assert_eq!(caller.read(), json!({"v": 1, "id": 7, "ok": {}}));
    assert!(caller.is_closed());
}

#[test]
fn an_answer_for_a_caller_that_left_is_dropped() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":7,"command":"stop"}"#);
    let order = bench.order();
    drop(caller);
    order.reply.ok(OkBody::Empty);
    assert_eq!(
        bench
            .connect()
            .ask(&json!({"v": 1, "id": 5, "command": "status"}))["id"],
        5
    );
}

#[test]
fn the_last_answer_is_delivered_before_the_server_ends_and_its_socket_goes() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":7,"command":"stop"}"#);
    bench.order().reply.ok(OkBody::Empty);
    let Bench {
        server,
        path,
        _directory,
        ..
    } = bench;
    assert!(path.exists());
    drop(server);
    assert!(!path.exists());
    assert_eq!(caller.read(), json!({"v": 1, "id": 7, "ok": {}}));
    assert!(caller.is_closed());
}

#[test]
fn the_server_ends_in_time_when_a_client_does_not_read() {
    let bench = Bench::new();
    let mut deaf = bench.connect();
    deaf.ask(&json!({"v": 1, "id": 2, "command": "subscribe"}));
    for _ in 0..12 {
        bench.events.send(Event::Fatal {
            message: "x".repeat(32 << 10),
        });
    }
    let before = Instant::now();
    drop(bench);
    assert!(
        before.elapsed() < Duration::from_secs(3),
        "{:?}",
        before.elapsed()
    );
}

#[test]
fn the_socket_is_the_owners_alone_and_replaces_a_stale_one() {
    let bench = Bench::new();
    let mode = std::fs::metadata(&bench.path)
        .expect("the socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o7777, 0o600);
    let wake = Arc::clone(&bench.wake);
    let (second, _orders, _events) =
        server::start(&bench.path, bench.board.clone(), wake).expect("a stale socket is replaced");
    let Bench {
        server,
        path,
        _directory,
        ..
    } = bench;
    drop(server);
    assert!(
        path.exists(),
        "the socket of the second server is not the first one's to remove"
    );
    drop(second);
    assert!(!path.exists());
}

#[test]
fn a_file_that_is_not_a_socket_is_left_alone() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("precious");
    std::fs::write(&path, "data").expect("written");
    let wake = eventfd(0, EventfdFlags::NONBLOCK).expect("an eventfd");
    let error = server::start(&path, StatusBoard::new(status()), wake).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
}
