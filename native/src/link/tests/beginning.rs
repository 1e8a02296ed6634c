//! Who does not get in, and what both sides say about it.

use super::*;

fn said(outcome: Outcome) -> String {
    crate::report::chain(&outcome.expect_err("refused"))
}

#[test]
fn two_keys_do_not_meet_and_both_sides_name_them() {
    let folder = folder();
    let (ours, theirs) = (tls(folder.path(), 1), tls(folder.path(), 2));
    let fingerprint = |choice: &TransportChoice| match choice {
        TransportChoice::Tls { key } => Key::read(key).expect("key").fingerprint().to_owned(),
        TransportChoice::Plain => String::new(),
    };
    let (caller, host) = meet(&ours, &theirs);
    let (caller, host) = (said(caller), said(host));
    assert!(
        caller.contains(&fingerprint(&ours)) && caller.contains(&fingerprint(&theirs)),
        "{caller}"
    );
    assert!(caller.contains("copy the key file"), "{caller}");
    assert!(host.contains("refuses our sync key"), "{host}");
    assert!(host.contains(&fingerprint(&theirs)), "{host}");
}

#[test]
fn one_in_clear_and_one_within_tls_do_not_meet_and_both_sides_say_so() {
    let folder = folder();
    let (plain, tls) = (TransportChoice::Plain, tls(folder.path(), 1));
    let (caller, host) = meet(&plain, &tls);
    let Err(LinkError::Refused(refuse)) = &caller else {
        panic!("{caller:?}");
    };
    assert_eq!(refuse.code, RefuseCode::Transport);
    for text in [said(caller), said(host)] {
        assert!(text.contains("plain TCP and the other to TLS"), "{text}");
    }
    let (caller, host) = meet(&tls, &plain);
    // Nobody knows who answers in clear: what the caller says are its own words.
    for (text, theirs) in [
        (said(caller), "TLS (here)"),
        (said(host), "plain TCP (here)"),
    ] {
        assert!(text.contains("one side of the link is set to"), "{text}");
        assert!(
            text.contains(&format!("and the other to {theirs}")),
            "{text}"
        );
    }
}

#[test]
fn a_key_that_cannot_be_used_is_told_when_it_is_needed() {
    let folder = folder();
    let missing = TransportChoice::Tls {
        key: PathBuf::from("/nonexistent/sync.key"),
    };
    let (caller, host) = meet(&tls(folder.path(), 1), &missing);
    assert!(said(host).contains("/nonexistent/sync.key"));
    assert!(said(caller).contains("hung up while TLS began"));
}

/// Says `words`, and returns what it hears until the end.
fn say(choice: &TransportChoice, words: &[u8], patience: Duration) -> (LinkError, Vec<u8>) {
    let (mut ours, theirs) = sockets();
    thread::scope(|scope| {
        let answer =
            scope.spawn(|| opening::answer(theirs, choice, Instant::now() + patience).map(|_| ()));
        // It may have hung up by now.
        let _ = ours.write_all(words);
        let _ = ours.shutdown(Shutdown::Write);
        let mut heard = Vec::new();
        let _ = ours.read_to_end(&mut heard);
        let error = answer.join().expect("thread").expect_err("refused");
        (error, heard)
    })
}

#[test]
fn another_version_is_told_ours_and_we_name_both() {
    let folder = folder();
    let mut hello = Vec::new();
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Hello, 1, 1, b"{}");
    outgoing.write_to(&mut hello, &[]).expect("memory");
    for version in [2u16, 3, limits::PROTOCOL_VERSION + 1] {
        hello[4..6].copy_from_slice(&version.to_le_bytes());
        for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
            let (error, heard) = say(&choice, &hello, PATIENCE);
            let text = crate::report::chain(&error);
            assert!(text.contains(&format!("version {version}")), "{text}");
            assert_eq!(&heard[..4], b"KMRI");
            assert_eq!(heard[4..6], limits::PROTOCOL_VERSION.to_le_bytes());
            let mut reader = FrameReader::new();
            reader.fill(&mut &heard[..]).expect("memory");
            let frame = reader.next().expect("good").expect("whole");
            let refuse = Refuse::from_payload(frame.payload).expect("a refusal");
            assert_eq!(refuse.code, RefuseCode::Protocol);
            assert!(refuse.message.contains("install the same Kemari"));
        }
    }
}

#[test]
fn a_secondary_of_another_version_is_named_by_its_number() {
    let (ours, mut theirs) = sockets();
    let mut refuse = Vec::new();
    let (mut direction, mut outgoing) = (Direction::new(), Outgoing::new());
    direction
        .encoder(&mut outgoing)
        .control(ControlKind::Refuse, 0, 0, b"another format");
    outgoing.write_to(&mut refuse, &[]).expect("memory");
    refuse[4..6].copy_from_slice(&9u16.to_le_bytes());
    theirs.write_all(&refuse).expect("write");
    let folder = folder();
    for (socket, choice) in [
        (ours.try_clone().expect("clone"), TransportChoice::Plain),
        (ours, tls(folder.path(), 1)),
    ] {
        theirs.write_all(&refuse).expect("write");
        let outcome = opening::call(socket, &choice, Instant::now() + PATIENCE);
        let text = said(outcome);
        assert!(text.contains("the peer speaks version 9"), "{text}");
    }
}

#[test]
fn strangers_are_named_by_what_they_begin_with() {
    let folder = folder();
    for choice in [TransportChoice::Plain, tls(folder.path(), 1)] {
        let (error, heard) = say(&choice, b"GET / HTTP/1.1\r\n\r\n", PATIENCE);
        assert!(crate::report::chain(&error).contains("no Kemari: it begins with the byte 0x47"));
        assert!(heard.is_empty());
        let (error, _) = say(&choice, b"", PATIENCE);
        assert!(matches!(error, LinkError::Closed));
    }
    let (error, _) = say(
        &tls(folder.path(), 1),
        &[0x16, 3, 1, 0, 4, 1, 0, 0, 0],
        PATIENCE,
    );
    assert!(crate::report::chain(&error).contains("TLS failed"));
}

#[test]
fn one_that_takes_its_time_is_given_up_however_it_dawdles() {
    let folder = folder();
    for (choice, word) in [
        (TransportChoice::Plain, b'K'),
        (tls(folder.path(), 1), 0x16),
        (tls(folder.path(), 1), b'K'),
    ] {
        let (mut ours, theirs) = sockets();
        let deadline = Instant::now() + Duration::from_millis(300);
        let error = thread::scope(|scope| {
            let answer = scope.spawn(|| opening::answer(theirs, &choice, deadline).map(|_| ()));
            // A byte now and then, each of which proves that somebody is there.
            while !answer.is_finished() {
                let _ = ours.write_all(&[word]);
                thread::sleep(Duration::from_millis(20));
            }
            answer.join().expect("thread").expect_err("refused")
        });
        assert!(
            Instant::now() >= deadline || !matches!(error, LinkError::Io(_)),
            "{error:?}"
        );
    }
}
