//! The server's end, and its socket in the file system.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use serde_json::json;

use super::bench::{Bench, nobody, status};
use crate::control::messages::*;
use crate::control::{StatusBoard, server};

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
        server::start(&bench.path, bench.board.clone(), wake, nobody())
            .expect("a stale socket is replaced");
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
    let error =
        server::start(&path, StatusBoard::new(status()), wake, nobody()).expect_err("refused");
    assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!(std::fs::read_to_string(&path).expect("still there"), "data");
}
