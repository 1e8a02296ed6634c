//! What QEMU says on its control connection.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use kemari_engine::qmp::{Events, Qmp};

/// Longest input: it must fit into the socket at once.
const MOST_BYTES: usize = 100_000;

/// The greeting and an answer stand before the input, so that more than its first line is read.
pub fn run(data: &[u8]) {
    let (ours, mut theirs) = UnixStream::pair().expect("sockets");
    let (with_greeting, data) = match data.split_first() {
        Some((first, rest)) if first % 2 == 1 => (false, rest),
        _ => (true, data),
    };
    if with_greeting {
        theirs
            .write_all(b"{\"QMP\":{\"capabilities\":[]}}\r\n{\"return\":{}}\r\n")
            .expect("room");
    }
    theirs
        .write_all(&data[..data.len().min(MOST_BYTES)])
        .expect("room");
    theirs.shutdown(Shutdown::Write).expect("a socket");
    let timeout = Duration::from_secs(5);
    let Ok(mut qmp) = Qmp::negotiate(ours, Events::Keep, timeout) else {
        return;
    };
    let _ = qmp.execute("query-status", &serde_json::Value::Null);
    while qmp.pump().is_ok() {
        if qmp.next_event().is_none() {
            return;
        }
    }
}

pub fn seeds() -> Vec<Vec<u8>> {
    [
        "\0{\"return\": {\"status\": \"running\", \"singlestep\": false, \"running\": true}}\r\n",
        "\0{\"error\": {\"class\": \"GenericError\", \"desc\": \"State blocked\"}}\r\n",
        "\x01{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, \"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n{\"return\": {}}\r\n",
        "\0{\"timestamp\": {\"seconds\": 1700000000, \"microseconds\": 999999}, \"event\": \"RESUME\"}\r\n{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\r\n{\"return\": {}}\r\n",
        "\0{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"RESET\", \"data\": {\"guest\": true, \"reason\": \"guest-reset\"}}\r\n{\"timestamp\": {\"seconds\": 1, \"microseconds\": 2}, \"event\": \"MIGRATION\", \"data\": {\"status\": \"completed\"}}\r\n",
    ]
    .map(|line| line.as_bytes().to_vec())
    .into()
}
