//! What is missing on a host is found out at the start, and told in one sentence.

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use common::engine::{Engine, bare_spec, qemu_script};
use common::{Lab, in_lab, ip};
use serde_json::{Value, json};

/// Starts an engine that cannot start; it must say why on its last line.
fn refused(spec: &Value) -> (i32, String, String) {
    let mut engine = Engine::spawn(spec);
    let code = engine.wait_end().code().expect("an exit code");
    let line = engine.last_line();
    let last: Value =
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?} is not JSON: {error}"));
    assert_eq!(last["level"], "ERROR", "{line}");
    let text = |name: &str| last[name].as_str().expect(name).to_owned();
    (code, text("code"), text("message"))
}

/// One thing is wrong with an otherwise good specification.
fn refused_with(lab: &Lab, spoil: impl Fn(&mut Value)) -> (i32, String, String) {
    let mut spec = bare_spec(lab, 1);
    spoil(&mut spec);
    refused(&spec)
}

fn says(outcome: &(i32, String, String), exit: i32, code: &str, parts: &[&str]) {
    assert_eq!(
        (outcome.0, outcome.1.as_str()),
        (exit, code),
        "{}",
        outcome.2
    );
    for part in parts {
        assert!(
            outcome.2.contains(part),
            "{part:?} is not in {:?}",
            outcome.2
        );
    }
}

#[test]
fn a_bad_specification_is_refused_by_field() {
    in_lab(|lab| {
        let outcome = refused_with(lab, |spec| spec["limits"]["hold_bytes"] = json!(1));
        says(&outcome, 2, "bad-spec", &["limits.hold_bytes is 1"]);
        let outcome = refused_with(lab, |spec| spec["surprise"] = json!(1));
        says(
            &outcome,
            2,
            "bad-spec",
            &["unknown field `surprise`", "spec.json"],
        );
        let outcome = refused_with(lab, |spec| spec["listen"]["address"] = json!("nowhere"));
        says(&outcome, 2, "bad-spec", &["IP address"]);
    });
}

#[test]
fn a_log_that_takes_no_line_changes_nothing() {
    let full = fs::File::options().write(true).open("/dev/full");
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_kemari-engine"))
        .args(["--spec", "/nonexistent/spec.json"])
        .stderr(full.expect("a device that is full"))
        .status();
    // A panic would be 101.
    assert_eq!(status.expect("start").code(), Some(2));
}

#[test]
fn a_missing_specification_is_named() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kemari-engine"))
        .args(["--spec", "/nonexistent/spec.json"])
        .output()
        .expect("start");
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let text = String::from_utf8_lossy(&output.stderr);
    let last: Value = serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
    assert_eq!(last["code"], "bad-spec");
    let message = last["message"].as_str().expect("a sentence");
    assert!(message.contains("/nonexistent/spec.json"), "{message}");
}

#[test]
fn a_sync_port_that_is_not_to_be_had_is_named() {
    in_lab(|lab| {
        let taken = TcpListener::bind("10.77.2.1:7900").expect("bind");
        let outcome = refused(&bare_spec(lab, 1));
        says(
            &outcome,
            3,
            "port-taken",
            &["10.77.2.1:7900", "another program"],
        );
        drop(taken);
        let outcome = refused_with(lab, |spec| spec["listen"]["address"] = json!("10.99.9.9"));
        says(
            &outcome,
            3,
            "port-taken",
            &["10.99.9.9:7900", "does not have that address"],
        );
    });
}

#[test]
fn a_sync_key_that_cannot_be_used_is_named_with_the_remedy() {
    in_lab(|lab| {
        let key = common::key::of_this_lab();
        let path = key.to_str().expect("a path");
        let chmod = |mode| fs::set_permissions(&key, fs::Permissions::from_mode(mode));
        chmod(0o640).expect("chmod");
        let outcome = refused(&bare_spec(lab, 1));
        says(
            &outcome,
            3,
            "bad-key",
            &[path, "open to others (mode 0640", "chmod 600"],
        );
        chmod(0o600).expect("chmod");
        let secret = fs::read_to_string(&key).expect("the key");
        fs::write(&key, secret.replace("PRIVATE", "PUBLIC")).expect("write");
        let outcome = refused(&bare_spec(lab, 1));
        says(&outcome, 3, "bad-key", &[path, "is no sync key"]);
        let line = secret.lines().nth(1).expect("a line");
        assert!(!outcome.2.contains(line), "the key is shown");
        fs::remove_file(&key).expect("remove");
        let outcome = refused(&bare_spec(lab, 1));
        says(&outcome, 3, "bad-key", &[path, "kemari keygen"]);
        // Nobody needs one who does not want one.
        let engine = Engine::start(&common::engine::plain(bare_spec(lab, 1)));
        assert_eq!(engine.status()["transport"], "plain");
        engine.stop();
    });
}

#[test]
fn a_network_that_is_not_to_be_had_is_named() {
    in_lab(|lab| {
        let outcome = refused_with(lab, |spec| {
            spec["machine"]["interfaces"][0]["bridge"] = json!("br9");
        });
        says(
            &outcome,
            3,
            "no-network",
            &["br9", "does the bridge exist?"],
        );
        ip("link add kt1 type bridge");
        let outcome = refused(&bare_spec(lab, 1));
        says(&outcome, 3, "no-network", &["kt1", "in use"]);
    });
}

#[test]
fn a_second_engine_of_the_same_node_is_refused_and_leaves_the_first_alone() {
    in_lab(|lab| {
        let spec = bare_spec(lab, 1);
        let first = Engine::start(&spec);
        let mut second = Engine::spawn_beside(&spec);
        assert_eq!(second.wait_end().code(), Some(3));
        assert!(second.last_line().contains("port-taken"));
        assert_eq!(first.status()["state"], "empty");
        first.stop();
    });
}

#[test]
fn a_control_socket_that_is_not_to_be_had_is_named() {
    in_lab(|lab| {
        let place = lab.folder().join("n1-socket");
        fs::write(&place, "precious").expect("write");
        let mut spec = bare_spec(lab, 1);
        spec["control_socket"] = json!(place);
        let mut engine = Engine::spawn_beside(&spec);
        assert_eq!(engine.wait_end().code(), Some(3));
        let last: Value = serde_json::from_str(&engine.last_line()).expect("JSON");
        assert_eq!(last["code"], "no-control-socket");
        let message = last["message"].as_str().expect("a sentence");
        assert!(message.contains("n1-socket"), "{message}");
        assert_eq!(fs::read_to_string(&place).expect("still there"), "precious");
    });
}

#[test]
fn a_preload_library_that_is_missing_is_named() {
    in_lab(|lab| {
        let outcome = refused_with(lab, |spec| {
            spec["preload"] = json!("/nonexistent/preload.so");
        });
        says(&outcome, 3, "qemu-start", &["/nonexistent/preload.so"]);
    });
}

#[test]
fn what_qemu_refuses_is_told_in_qemus_words() {
    in_lab(|lab| {
        let outcome = refused_with(lab, |spec| {
            spec["machine"]["type"] = json!("pc-nonexistent-1");
        });
        says(&outcome, 3, "qemu-start", &["unsupported machine type"]);
        let outcome = refused_with(lab, |spec| {
            spec["machine"]["qemu"] = json!("/nonexistent/qemu");
        });
        says(&outcome, 3, "qemu-start", &["/nonexistent/qemu"]);
        let outcome = refused_with(lab, |spec| {
            spec["machine"]["firmware"] = json!("/nonexistent/bios.bin");
        });
        says(&outcome, 3, "qemu-start", &["/nonexistent/bios.bin"]);
    });
}

#[test]
fn a_device_whose_state_cannot_be_saved_is_refused_by_name() {
    in_lab(|lab| {
        // Behind the engine's back, and as the specification says.
        let qemu = qemu_script(lab, "qemu", "exec $QEMU \"$@\" -device nvme,serial=1");
        for (field, value) in [
            ("qemu", json!(qemu)),
            ("qemu_arguments", json!(["-device", "nvme,serial=1"])),
        ] {
            let outcome = refused_with(lab, |spec| spec["machine"][field] = value.clone());
            says(&outcome, 3, "qemu-start", &["nvme is not migratable"]);
        }
    });
}

#[test]
fn memory_that_a_replica_would_lack_is_refused_with_the_device() {
    in_lab(|lab| {
        for (name, device, parts) in [
            (
                "vga",
                "-device VGA",
                [
                    "the VGA controller at PCI address 0000:00:03.0 has 16384 KiB",
                    "\"0000:00:03.0/vga.vram\"",
                    "<model type='vga'/> or none",
                ],
            ),
            (
                "rom",
                "-netdev user,id=more -device e1000,netdev=more",
                [
                    "the Ethernet controller at PCI address 0000:00:03.0",
                    "e1000.rom",
                    "romfile=",
                ],
            ),
        ] {
            let qemu = qemu_script(lab, name, &format!("exec $QEMU \"$@\" {device}"));
            let words: Vec<&str> = device.split(' ').collect();
            for (field, value) in [("qemu", json!(qemu)), ("qemu_arguments", json!(words))] {
                let outcome = refused_with(lab, |spec| spec["machine"][field] = value.clone());
                says(&outcome, 3, "qemu-start", &parts);
            }
        }
    });
}

#[test]
fn a_machine_type_without_a_version_is_refused_with_the_one_to_write() {
    in_lab(|lab| {
        let versions = std::process::Command::new("/usr/bin/qemu-system-x86_64")
            .args(["-machine", "help"])
            .output()
            .expect("QEMU");
        let text = String::from_utf8_lossy(&versions.stdout).into_owned();
        for alias in ["pc", "q35"] {
            // "pc    Standard PC (i440FX + PIIX, 1996) (alias of pc-i440fx-7.2)"
            let line = text
                .lines()
                .find(|line| line.split_whitespace().next() == Some(alias));
            let name = line
                .and_then(|line| line.split("(alias of ").nth(1)?.strip_suffix(')'))
                .expect("an alias");
            let outcome = refused_with(lab, |spec| spec["machine"]["type"] = json!(alias));
            says(
                &outcome,
                3,
                "qemu-start",
                &[&format!("write {name} instead")],
            );
        }
    });
}

#[test]
fn a_kernel_image_that_is_missing_is_named() {
    in_lab(|lab| {
        let outcome = refused_with(lab, |spec| {
            spec["machine"]["kernel"] = json!("/nonexistent/vmlinuz");
        });
        assert_eq!(outcome.0, 3, "{outcome:?}");
        assert!(outcome.2.contains("/nonexistent/vmlinuz"), "{}", outcome.2);
    });
}

#[test]
fn kvm_is_demanded_used_or_replaced_and_said_so() {
    let flags = fs::read_to_string("/proc/cpuinfo").expect("cpuinfo");
    let has_kvm = fs::File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .is_ok()
        && flags
            .split_whitespace()
            .any(|flag| flag == "vmx" || flag == "svm");
    in_lab(|lab| {
        if !has_kvm {
            let outcome = refused_with(lab, |spec| spec["machine"]["accel"] = json!("kvm"));
            says(&outcome, 3, "no-kvm", &["KVM cannot be used", "\"auto\""]);
        }
        let mut spec = bare_spec(lab, 1);
        spec["machine"]["accel"] = json!("auto");
        let engine = Engine::start(&spec);
        let status = engine.status();
        if has_kvm {
            assert_eq!(
                (&status["accel"], &status["accel_reason"]),
                (&json!("kvm"), &Value::Null)
            );
        } else {
            assert_eq!(status["accel"], "tcg");
            let reason = status["accel_reason"].as_str().expect("a reason");
            assert!(reason.contains("KVM cannot be used"), "{reason}");
            assert!(engine.said("the guest runs in software") > 0);
        }
        engine.stop();
    });
}
