//! What was recorded of one connection, or changed on its way, fits no other.

use super::*;

/// Carries bytes between two sockets until either ends, and keeps those of the caller.
fn record(choice: &TransportChoice) -> Vec<u8> {
    let (ours, near) = sockets();
    let (far, theirs) = sockets();
    let recorded = Arc::new(Mutex::new(Vec::new()));
    let carry = |mut from: TcpStream, mut to: TcpStream, into: Option<Arc<Mutex<Vec<u8>>>>| {
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count) = from.read(&mut bytes)
                && count > 0
            {
                if let Some(into) = &into {
                    into.lock().expect("record").extend(&bytes[..count]);
                }
                if to.write_all(&bytes[..count]).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(Shutdown::Both);
        })
    };
    let clone = |socket: &TcpStream| socket.try_clone().expect("clone");
    let there = carry(clone(&near), clone(&far), Some(Arc::clone(&recorded)));
    let back = carry(far, near, None);
    let (caller, host) = meet_over(ours, theirs, choice, choice);
    let (mut caller, mut host) = (link(caller), link(host));
    for kind in [
        ControlKind::Hello,
        ControlKind::Input,
        ControlKind::Handover,
    ] {
        caller.encoder().control(kind, 1, 1, b"recorded");
        caller.flush(&[]).expect("flush");
        assert_eq!(next_payload(&mut host), b"recorded");
    }
    drop((caller, host));
    for thread in [there, back] {
        thread.join().expect("carried");
    }
    let recorded = recorded.lock().expect("record");
    recorded.clone()
}

#[test]
fn a_recorded_session_is_worth_nothing_in_another() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let recorded = record(&choice);
        assert!(!recorded.is_empty());
        let (mut ours, theirs) = sockets();
        ours.write_all(&recorded).expect("replay");
        let deadline = Instant::now() + PATIENCE;
        let outcome = thread::scope(|scope| {
            let answer = scope.spawn(|| {
                let mut opened = opening::answer(theirs, &choice, deadline)?;
                opened.hear(deadline, |frame| frame.header.kind)
            });
            let _ = ours.shutdown(Shutdown::Write);
            answer.join().expect("thread")
        });
        match choice {
            // The call is as good as any; what follows was meant for another challenge.
            TransportChoice::Plain => assert!(
                matches!(
                    outcome,
                    Err(LinkError::Frame(FrameError::Session {
                        kind: FrameKind::Hello,
                        ..
                    }))
                ),
                "{outcome:?}"
            ),
            // The proof was made for another handshake.
            TransportChoice::Tls { .. } => {
                assert!(matches!(outcome, Err(LinkError::Secure(_))), "{outcome:?}");
            }
        }
    }
}

#[test]
fn a_recorded_secondary_is_worth_nothing_to_another_call() {
    // What a secondary said in one session: its challenge, and all that follows, in that session.
    let (caller, host) = meet(&TransportChoice::Plain, &TransportChoice::Plain);
    drop(caller);
    let mut direction = host.expect("a beginning").direction;
    let (mut outgoing, mut recorded) = (Outgoing::new(), Vec::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Welcome, 1, 1, b"recorded");
    outgoing.write_to(&mut recorded, &[]).expect("memory");
    let (mut replayed, _) = meet(&TransportChoice::Plain, &TransportChoice::Plain);
    let reader = &mut replayed.as_mut().expect("a beginning").reader;
    reader.fill(&mut &recorded[..]).expect("memory");
    let error = reader.next().expect_err("another session");
    assert!(matches!(
        error,
        FrameError::Session {
            kind: FrameKind::Welcome,
            ..
        }
    ));
}

#[test]
fn a_bit_that_was_changed_on_the_way_ends_a_secure_link() {
    let folder = folder();
    let (caller, mut host) = links(&tls(folder.path(), 1));
    // As if somebody on the way had written it.
    let mut socket = caller.transport.socket().try_clone().expect("clone");
    let forged = [&[0x17, 3, 3, 0, 40][..], &[5; 40]].concat();
    socket.write_all(&forged).expect("write");
    assert!(ready(&host));
    let error = host.fill().expect_err("forged");
    assert!(
        crate::report::chain(&error).contains("TLS failed"),
        "{error:?}"
    );
}
