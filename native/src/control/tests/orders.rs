//! What is asked, and what is answered by whom.

use std::sync::mpsc::TryRecvError;
use std::thread;
use std::time::Duration;

use serde_json::json;
use tracing::level_filters::LevelFilter;

use super::bench::{Bench, error_of};
use crate::checkpoint::{SyncMode, TuningChange};
use crate::control::inbox::OrderCommand;
use crate::control::limits::MAX_PENDING_ORDERS;
use crate::control::messages::*;

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
fn as_much_is_logged_as_was_said_last_and_the_data_thread_is_not_asked() {
    let bench = Bench::new();
    let mut caller = bench.connect();
    caller.send(r#"{"v":1,"id":5,"command":"log-level","level":"debug"}"#);
    assert_eq!(caller.read()["ok"], json!({}));
    assert_eq!(*bench.level.lock().expect("set"), Some(LevelFilter::DEBUG));
    caller.send(r#"{"v":1,"id":6,"command":"log-level","level":"loud"}"#);
    assert_eq!(caller.read()["error"]["code"], "bad-request");
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
        (
            json!({"v":1,"id":9,"command":"press-power-button"}),
            OrderCommand::PressPowerButton,
        ),
        (
            json!({"v":1,"id":10,"command":"end-guest"}),
            OrderCommand::EndGuest,
        ),
        (
            json!({"v":1,"id":11,"command":"check-guest"}),
            OrderCommand::CheckGuest,
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
