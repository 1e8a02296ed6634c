//! A Debian guest with redis and a web server: what it holds, and the connections to it, live through the death of its host.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use common::client::connect;
use common::engine::{Engine, debian_spec};
use common::in_guest_lab;
use serde_json::json;

/// Values that are stored before the host dies.
const VALUES: usize = 200;

/// One connection, with its place in what arrives.
struct Connection(BufReader<TcpStream>);

impl Connection {
    fn open(port: u16) -> Self {
        Self(BufReader::new(connect(port)))
    }

    /// Sends a redis command in its inline form; returns the answer's first line.
    fn redis(&mut self, command: &str) -> String {
        write!(self.0.get_mut(), "{command}\r\n").expect("send");
        self.line()
    }

    fn get(&mut self, key: &str) -> String {
        let length = self.redis(&format!("GET {key}"));
        assert!(
            length.starts_with('$') && length != "$-1",
            "{key}: {length}"
        );
        self.line()
    }

    /// Asks for the page on a connection that stays open; returns its body.
    fn page(&mut self) -> String {
        write!(self.0.get_mut(), "GET / HTTP/1.1\r\nHost: guest\r\n\r\n").expect("send");
        assert_eq!(self.line(), "HTTP/1.1 200 OK");
        let mut length = 0;
        loop {
            let line = self.line();
            if line.is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.parse().expect("a length");
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).expect("the page");
        String::from_utf8(body).expect("text")
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("an answer");
        assert!(line.ends_with("\r\n"), "the guest hung up: {line:?}");
        line.trim_end().to_owned()
    }
}

#[test]
fn redis_data_and_open_connections_live_through_a_failover_of_a_guest_with_two_processors() {
    in_guest_lab(|lab| {
        let (first, second) = (
            Engine::start(&debian_spec(lab, 1)),
            Engine::start(&debian_spec(lab, 2)),
        );
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let (mut redis, mut web) = (Connection::open(6379), Connection::open(80));
        let page = web.page();
        assert!(page.contains("a page of a protected guest"), "{page}");
        for number in 0..VALUES {
            let answer = redis.redis(&format!("SET key{number} value{number}"));
            assert_eq!(answer, "+OK");
        }
        let counter = redis.redis("INCR counter");

        first.kill();
        second.wait_state("in-sync");
        second.promote("hot", 2).expect("hot");

        // The same connections.
        assert_eq!(
            (counter.as_str(), redis.redis("INCR counter").as_str()),
            (":1", ":2")
        );
        assert_eq!(redis.redis("DBSIZE"), format!(":{}", VALUES + 1));
        for number in 0..VALUES {
            assert_eq!(redis.get(&format!("key{number}")), format!("value{number}"));
        }
        assert_eq!(web.page(), page);

        // With a new replica, and once more.
        let first = Engine::start(&debian_spec(lab, 1));
        second.wait_state("protected");
        assert_eq!(redis.redis("SET last value"), "+OK");
        second.kill();
        first.wait_state("in-sync");
        first.promote("hot", 3).expect("hot");
        assert_eq!(redis.get("last"), "value");
        assert_eq!(web.page(), page);
        first
            .order(json!({"command": "demote", "timeout_ms": 0}))
            .expect("parked");
        first.stop();
    });
}
