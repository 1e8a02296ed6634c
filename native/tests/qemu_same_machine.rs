//! A guest is protected only by a QEMU that would go on with its state: what differs is named, and the guest runs on.

mod common;

use std::fs;

use common::client::Traffic;
use common::engine::{Engine, qemu_script, spec};
use common::{Lab, in_guest_lab};
use object::{Object, ObjectSection};
use serde_json::{Value, json};

/// QEMU, but for one bit of its build id.
fn another_build(lab: &Lab) -> Value {
    let mut program = fs::read("/usr/bin/qemu-system-x86_64").expect("QEMU");
    let parsed = object::File::parse(&program[..]).expect("ELF");
    let note = parsed
        .section_by_name(".note.gnu.build-id")
        .and_then(|section| section.file_range())
        .expect("a build id");
    let last = usize::try_from(note.0 + note.1).expect("in memory") - 1;
    program[last] ^= 1;
    let path = lab.folder().join("another-qemu");
    fs::write(&path, program).expect("write");
    let script = format!(
        "QEMU_MODULE_DIR=/usr/lib/x86_64-linux-gnu/qemu exec {} \"$@\"",
        path.display()
    );
    let script = qemu_script(lab, "another", &script);
    fs::set_permissions(&path, fs::metadata(&script).expect("mode").permissions()).expect("mode");
    json!(script)
}

#[test]
fn a_machine_that_differs_is_refused_with_the_difference_named_and_the_guest_runs_on() {
    in_guest_lab(|lab| {
        let first = Engine::start(&spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        let script = |name: &str, more: &str| {
            json!(qemu_script(lab, name, &format!("exec $QEMU \"$@\" {more}")))
        };
        for (field, value, difference) in [
            (
                "cpu",
                json!("max"),
                "CPU model: \"max\" on n2, \"qemu64,svm=off\" on n1; also different: CPU features, CPU bits",
            ),
            (
                "memory_mib",
                json!(64),
                "memory (MiB): \"64\" on n2, \"128\" on n1; also different: QEMU's arguments",
            ),
            (
                "type",
                json!("pc-i440fx-7.1"),
                "machine type: \"pc-i440fx-7.1\" on n2, \"pc-i440fx-7.2\" on n1",
            ),
            ("qemu", another_build(lab), "QEMU build: \""),
            // Behind the engine's back: QEMU is asked what it has built.
            (
                "qemu",
                script("cpu", "-cpu qemu64,svm=off,+ssse3"),
                "CPU features: only n2 has ssse3; also different: CPU bits",
            ),
            (
                "qemu",
                script("device", "-device virtio-rng-pci,addr=9"),
                "devices: only n2 has virtio-rng-device (",
            ),
        ] {
            let mut other = spec(lab, 2);
            other["machine"][field] = value;
            let second = Engine::start(&other);
            let said = format!("the two hosts would not run the same machine: {difference}");
            for engine in [&first, &second] {
                engine.wait_status(&said, |status| {
                    let error = status["last_error"].as_str();
                    error.is_some_and(|error| error.contains(&said))
                });
            }
            assert_eq!(first.status()["state"], "solo");
            assert_eq!(second.status()["state"], "empty");
            traffic.flows(5);
            second.stop();
        }
        let second = Engine::start(&spec(lab, 2));
        first.wait_state("protected");
        traffic.flows(20);
        traffic.finish();
        second.stop();
        first.stop();
    });
}
