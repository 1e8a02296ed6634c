//! What clients may do to the server: garbage, long lines, deafness, being many.

use std::io::Write;
use std::thread;
use std::time::Instant;

use serde_json::json;

use super::bench::{Bench, PATIENCE, error_of};
use crate::control::limits::{MAX_CLIENTS, MAX_LINE, MAX_QUEUED};
use crate::control::messages::*;

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
fn it_is_told_when_nobody_listens_any_more_whoever_else_calls() {
    let bench = Bench::new();
    let told = || bench.attended.recv_timeout(PATIENCE).expect("told");
    let mut first = bench.connect();
    first.ask(&json!({"v": 1, "id": 1, "command": "subscribe"}));
    assert!(told());
    let mut second = bench.connect();
    second.ask(&json!({"v": 1, "id": 1, "command": "subscribe"}));
    drop(first);
    let mut caller = bench.connect();
    caller.ask(&json!({"v": 1, "id": 1, "command": "status"}));
    drop(second);
    assert!(!told());
    caller.ask(&json!({"v": 1, "id": 2, "command": "status"}));
    drop(caller);
    drop(bench.server);
    assert!(bench.attended.try_recv().is_err(), "told twice");
}
