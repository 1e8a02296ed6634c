//! The client and a QEMU of a few lines.

use super::*;
use serde_json::json;
use std::io::BufRead;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;

/// A QEMU of a few lines: for each command that it reads it writes the next of `answers`.
fn qemu(answers: &'static [&'static str]) -> (Result<Qmp, QmpError>, mpsc::Receiver<String>) {
    let (ours, theirs) = UnixStream::pair().expect("pair");
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut out = theirs.try_clone().expect("clone");
        let mut requests = io::BufReader::new(theirs);
        out.write_all(b"{\"QMP\":{}}\n").expect("write");
        for answer in answers {
            // Requests are not terminated by a newline; each ends with as many closing braces as it has opening ones.
            let mut request = Vec::new();
            let depth = |request: &[u8]| -> i32 {
                let change = |byte: &u8| i32::from(*byte == b'{') - i32::from(*byte == b'}');
                request.iter().map(change).sum()
            };
            while request.is_empty() || depth(&request) > 0 {
                if requests.read_until(b'}', &mut request).expect("read") == 0 {
                    return;
                }
            }
            let _ = told.send(String::from_utf8(request).expect("text"));
            out.write_all(answer.as_bytes()).expect("write");
            out.write_all(b"\n").expect("write");
        }
    });
    (
        Qmp::negotiate(ours, Events::Keep, Duration::from_secs(20)),
        heard,
    )
}

const READY: &str = r#"{"return":{}}"#;
#[test]
fn an_answer_is_told_from_what_comes_before_it() {
    let (qmp, heard) = qemu(&[READY, "{\"event\":\"RESET\"}\n{\"return\":{\"n\":1}}"]);
    let mut qmp = qmp.expect("negotiated");
    heard.recv().expect("qmp_capabilities");
    let ticket = qmp.fire("save", &json!({"a": {"b": 1}})).expect("sent");
    assert_eq!(qmp.wait(ticket, "save").expect("answer")["n"], 1);
    assert_eq!(
        heard.recv().expect("save"),
        r#"{"execute":"save","arguments":{"a":{"b":1}}}"#
    );
    assert_eq!(qmp.next_event(), Some(GuestEvent::Reset));
}

#[test]
fn a_refusal_that_nobody_waited_for_is_an_error_of_the_next_call() {
    let (qmp, _) = qemu(&[READY, r#"{"error":{"class":"x","desc":"reset required"}}"#]);
    let mut qmp = qmp.expect("negotiated");
    qmp.fire_and_forget("cont", &Value::Null).expect("sent");
    let error = loop {
        match qmp.pump() {
            Ok(()) => std::thread::yield_now(),
            Err(error) => break error,
        }
    };
    assert_eq!(error.to_string(), "QEMU refused cont: reset required");
}

#[test]
fn a_qemu_that_is_gone_is_named() {
    let (qmp, _) = qemu(&[READY]);
    let mut qmp = qmp.expect("negotiated");
    assert!(matches!(
        qmp.execute("stop", &Value::Null),
        Err(QmpError::Closed)
    ));
}
