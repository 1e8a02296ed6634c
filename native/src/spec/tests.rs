use super::*;

const SAMPLE: &str = include_str!("../../../test/contract/spec/engine.json");

fn parse(text: &str) -> Result<Spec, String> {
    let folder = tempfile::tempdir().expect("folder");
    let path = folder.path().join("engine.json");
    std::fs::write(&path, text).expect("write");
    Spec::read(&path).map_err(|error| crate::report::chain(&error))
}

#[test]
fn the_golden_specification_is_accepted() {
    let spec = parse(SAMPLE).expect("valid");
    assert_eq!(spec.machine.memory_mib, 256);
    assert_eq!(spec.guest_addresses(), [[0x52, 0x54, 0, 0x6b, 0, 1]]);
    assert!(spec.silence() >= Duration::from_millis(3 * 100));
    assert_eq!(spec.peers[0].socket_address().to_string(), "10.77.2.2:7900");
}

/// What the sample is refused for with the one replaced by the other.
fn refused(rows: &[(&str, &str, &str)]) {
    for (from, to, expected) in rows {
        assert!(SAMPLE.contains(from), "{from}");
        let error = parse(&SAMPLE.replace(from, to)).expect_err(to);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn each_bad_value_is_refused_by_name() {
    refused(&[
        ("\"version\": 1", "\"version\": 2", "version is 2"),
        (
            "\"memory_mib\": 256",
            "\"memory_mib\": 3",
            "machine.memory_mib is 3",
        ),
        ("\"vcpus\": 1", "\"vcpus\": 0", "machine.vcpus is 0"),
        (
            "\"topology\": null",
            r#""topology": {"sockets": 65535, "dies": 65535, "cores": 65535, "threads": 65535}"#,
            "machine.topology is one of 18445618199572250625 CPUs",
        ),
        ("qemu64,svm=off", "qemu64 -monitor", "machine.cpu"),
        ("\"auto\"", "\"xen\"", "unknown variant `xen`"),
        ("\"node\": \"n1\"", "\"nod\": \"n1\"", "unknown field `nod`"),
        ("10.77.2.1", "host.example", "invalid IP address"),
        ("\"node\": \"n2\"", "\"node\": \"n1\"", "peers is n1"),
        (
            "\"peers\": [{",
            r#""peers": [{"node": "n2", "address": "10.77.2.3", "port": 7900}, {"#,
            "peers is n2",
        ),
        (
            "\"peers\": [{",
            r#""peers": [{"node": "n3", "address": "10.77.2.2", "port": 7900}, {"#,
            "peers is 10.77.2.2:7900",
        ),
        ("4194304", "1", "limits.hold_bytes is 1"),
        ("16777216", "1", "limits.max_epoch_bytes is 1"),
        (
            "\"interval_ms\": 20",
            "\"interval_ms\": 0",
            "tuning.interval_ms is 0",
        ),
        ("\"tls\"", "\"ssl\"", "unknown variant `ssl`"),
        (
            "{ \"kind\": \"tls\", \"key\"",
            "{ \"kind\": \"tls\", \"kez\"",
            "kez",
        ),
        (
            "\"transport\"",
            "\"transports\"",
            "unknown field `transports`",
        ),
        (
            "\"time_catch_up_max_ms\": 15000",
            "\"time_catch_up_max_ms\": 86400001",
            "limits.time_catch_up_max_ms is 86400001",
        ),
        (
            "\"wake_latency_us\": 0",
            "\"wake_latency_us\": 2000000001",
            "limits.wake_latency_us is 2000000001",
        ),
    ]);
}

#[test]
fn each_bad_device_is_refused_by_name() {
    refused(&[
        (
            "52:54:00:6b:00:01",
            "52:54:00:6b:00:zz",
            "machine.interfaces: mac is 52:54:00:6b:00:zz",
        ),
        (
            r#"{ "mac""#,
            r#"{ "mac": "52:54:00:6B:00:01", "model": "e1000", "tap": "other", "bridge": null }, { "mac""#,
            "machine.interfaces: mac is 52:54:00:6b:00:01: each interface needs one of its own",
        ),
        (
            r#"{ "mac""#,
            r#"{ "mac": "52:54:00:6b:00:02", "model": "e1000", "tap": "kvm1", "bridge": null }, { "mac""#,
            "machine.interfaces: tap is kvm1: each interface needs one of its own",
        ),
        ("\"virtio\"", "\"rtl8139\"", "unknown variant `rtl8139`"),
        (
            "\"rng\": null",
            r#""rng": {"source": "urandom", "rate": {"bytes": 0, "period_ms": 1000}}"#,
            "machine.rng.rate is 0 bytes in 1000 ms",
        ),
        (
            "\"rng\": null",
            r#""rng": {"source": "egd", "rate": null}"#,
            "unknown variant `egd`",
        ),
        (
            "\"video\": null",
            r#""video": {"memory_mib": 12, "firmware": "/x"}"#,
            "machine.video.memory_mib is 12",
        ),
        (
            "\"video\": null",
            r#""video": {"memory_mib": 16, "firmware": "/x,readonly"}"#,
            "a path is /x,readonly",
        ),
        (
            "\"vnc\": null",
            r#""vnc": {"address": "127.0.0.1", "port": null}"#,
            "nothing to see without machine.video",
        ),
        (
            "\"vnc\": null",
            r#""vnc": {"address": "0.0.0.0", "port": null}"#,
            "machine.vnc.address is 0.0.0.0: a loopback address",
        ),
        (
            "\"vnc\": null",
            r#""vnc": {"address": "::1", "port": 80}"#,
            "machine.vnc.port is 80",
        ),
        (
            "\"qemu_arguments\": []",
            r#""qemu_arguments": ["disk.img"]"#,
            "machine.qemu_arguments is disk.img: an option is expected first",
        ),
        (
            "\"qemu_arguments\": []",
            r#""qemu_arguments": ["-rtc", ""]"#,
            "machine.qemu_arguments is \"\": words of 1 to 1024 bytes",
        ),
        (
            "\"qemu_arguments\": []",
            r#""qemu_arguments": ["-rtc", "base=utc\u0000"]"#,
            "without control characters",
        ),
        (
            "\"qemu_arguments\": []",
            &format!(
                r#""qemu_arguments": [{}"-S"]"#,
                r#""-S", "#.repeat(crate::limits::QEMU_ARGUMENTS_MAX)
            ),
            "machine.qemu_arguments is 65 words: 64 at most are possible",
        ),
    ]);
}

#[test]
fn a_missing_file_is_named() {
    let error = Spec::read(Path::new("/nonexistent/engine.json")).expect_err("missing");
    assert!(crate::report::chain(&error).contains("/nonexistent/engine.json"));
}
