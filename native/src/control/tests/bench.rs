//! A server in a folder of its own, and callers that speak to it line by line.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::Value;
use tempfile::TempDir;
use tracing::level_filters::LevelFilter;
use uuid::Uuid;

use crate::checkpoint::{Commit, Compression, SyncMode, Tuning};
use crate::control::inbox::{EventSender, Order};
use crate::control::messages::*;
use crate::control::server::{Attended, Others};
use crate::control::{Server, StatusBoard, server};

/// Longest wait for anything.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

pub(super) fn status() -> Status {
    Status::at_start(Setting {
        engine_id: Uuid::from_u128(1),
        resource: "vm1".to_owned(),
        peer: None,
        transport: Transport::Tls,
        accel: (Accel::Tcg, None),
        tracker: (Tracker::PagemapScan, None),
        tuning: Tuning {
            sync_mode: SyncMode::Adaptive,
            commit: Commit::Pipelined,
            interval_ms: 20,
            latency_budget_ms: 5,
            paused_max_percent: 75,
            compression: Compression::Auto,
            freeze_timeout_ms: 60_000,
        },
        qemu_pid: None,
    })
}

struct Told(Sender<bool>);

impl Attended for Told {
    fn changed(&mut self, attended: bool) {
        // The bench may be gone.
        let _ = self.0.send(attended);
    }
}

/// For a server whose surroundings do not matter.
pub(super) fn nobody() -> Others {
    Others {
        set_log_level: Box::new(|_| ()),
        attended: Box::new(()),
    }
}

pub(super) struct Bench {
    pub(super) server: Server,
    pub(super) orders: Receiver<Order>,
    pub(super) events: EventSender,
    pub(super) board: StatusBoard,
    pub(super) wake: Arc<OwnedFd>,
    /// Whether somebody listens, each time that this has changed.
    pub(super) attended: Receiver<bool>,
    pub(super) path: PathBuf,
    /// As much is to be logged, if somebody has said.
    pub(super) level: Arc<Mutex<Option<LevelFilter>>>,
    pub(super) _directory: TempDir,
}

impl Bench {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path().join("engine.sock");
        let wake = Arc::new(
            eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).expect("an eventfd"),
        );
        let board = StatusBoard::new(status());
        let level = Arc::new(Mutex::new(None));
        let shared = Arc::clone(&level);
        let set_level = move |wanted| *shared.lock().expect("not poisoned") = Some(wanted);
        let (tell, attended) = channel();
        let others = Others {
            set_log_level: Box::new(set_level),
            attended: Box::new(Told(tell)),
        };
        let (server, orders, events) =
            server::start(&path, board.clone(), Arc::clone(&wake), others).expect("a server");
        Self {
            level,
            server,
            orders,
            events,
            board,
            wake,
            attended,
            path,
            _directory: directory,
        }
    }

    pub(super) fn connect(&self) -> Caller {
        Caller::new(UnixStream::connect(&self.path).expect("a connection"))
    }

    pub(super) fn order(&self) -> Order {
        self.orders.recv_timeout(PATIENCE).expect("an order")
    }

    pub(super) fn is_woken(&self) -> bool {
        let mut sockets = [PollFd::new(&self.wake, PollFlags::IN)];
        let second = Timespec {
            tv_sec: PATIENCE.as_secs().cast_signed(),
            tv_nsec: 0,
        };
        poll(&mut sockets, Some(&second)).expect("poll") == 1
    }
}

pub(super) struct Caller {
    pub(super) stream: UnixStream,
    lines: BufReader<UnixStream>,
}

impl Caller {
    fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        let lines = BufReader::new(stream.try_clone().expect("a descriptor"));
        Self { stream, lines }
    }

    pub(super) fn send(&mut self, line: &str) {
        self.stream.write_all(line.as_bytes()).expect("written");
        self.stream.write_all(b"\n").expect("written");
    }

    pub(super) fn read(&mut self) -> Value {
        let mut line = String::new();
        self.lines
            .read_line(&mut line)
            .expect("a line within the time-out");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"))
    }

    pub(super) fn ask(&mut self, request: &Value) -> Value {
        self.send(&request.to_string());
        self.read()
    }

    pub(super) fn is_closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.lines.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

pub(super) fn error_of(reply: &Value) -> (&str, &str) {
    let error = &reply["error"];
    (
        error["code"].as_str().expect("a code"),
        error["message"].as_str().expect("a message"),
    )
}
