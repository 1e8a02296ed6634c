//! A guest is protected only by a QEMU that would go on with its state: what differs is named, and the guest runs on.

mod common;

use std::fs;

use common::client::Traffic;
use common::engine::{Engine, qemu_script, spec};
use common::{Lab, eventually, in_guest_lab};
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
                "CPU model: \"max\" on n2, \"qemu64,svm=off,vmx=off\" on n1; also different: CPU features, CPU bits",
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
            (
                "qemu_arguments",
                json!(["-device", "i6300esb"]),
                "QEMU's further arguments: \"-device i6300esb\" on n2, nothing on n1; also different: devices",
            ),
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

/// QEMUs that `engine` has started for trials and that are there still.
fn trials(engine: &Engine) -> usize {
    let parent = format!("PPid:\t{}\n", engine.pid());
    let is_trial = |folder: &std::path::Path| {
        let read = |name: &str| fs::read_to_string(folder.join(name)).unwrap_or_default();
        read("status").contains(&parent) && read("cmdline").contains("guest=vm1-trial")
    };
    let processes = fs::read_dir("/proc").expect("/proc");
    processes
        .filter_map(Result::ok)
        .filter(|entry| is_trial(&entry.path()))
        .count()
}

/// In the trial only: QEMU's place is taken by what `script` makes of it.
fn only_in_the_trial(lab: &Lab, name: &str, script: &str) -> Value {
    let script = format!("case \"$*\" in *share=off*) {script} ;; esac; exec $QEMU \"$@\"");
    json!(qemu_script(lab, name, &script))
}

#[test]
fn a_state_that_the_other_qemu_cannot_load_is_refused_in_its_words_and_the_guest_runs_on() {
    in_guest_lab(|lab| {
        let first = Engine::start(&spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        let mut other = spec(lab, 2);
        // Another device is where the guest's network device was.
        other["machine"]["qemu"] = only_in_the_trial(
            lab,
            "another-device",
            "for word; do shift; case $word in virtio-net-pci,*) word=virtio-rng-pci;; esac; set -- \"$@\" \"$word\"; done",
        );
        let second = Engine::start(&other);
        let said = "n2 could not go on with the guest: its QEMU cannot load the state: Unknown savevm section or \
                    instance '0000:00:02.0/virtio-net' 0.";
        for engine in [&first, &second] {
            engine.wait_status(said, |status| {
                let error = status["last_error"].as_str();
                error.is_some_and(|error| error.contains(said))
            });
        }
        first.wait_state("solo");
        second.wait_state("empty");
        eventually("the scratch QEMU is gone", || {
            (trials(&second) == 0).then_some(())
        });
        // Each try costs a baseline: not at once again.
        traffic.flows(500);
        assert_eq!(first.said("a baseline begins"), 1);
        let error = first.status()["last_error"].take();
        assert!(
            error
                .as_str()
                .is_some_and(|error| error.contains("tried again in 30 s")),
            "{error}"
        );
        let refusal = second.promote("hot", 2).expect_err("empty");
        assert_eq!(refusal.code, "replica-incomplete");
        second.stop();

        let second = Engine::start(&spec(lab, 2));
        first.wait_state("protected");
        traffic.flows(20);
        traffic.finish();
        second.stop();
        first.stop();
    });
}

#[test]
fn nobody_waits_for_a_trial_that_takes_its_time() {
    in_guest_lab(|lab| {
        let first = Engine::start(&spec(lab, 1));
        first.promote("cold", 1).expect("cold");
        let mut traffic = Traffic::start();
        traffic.flows(20);
        let gate = lab.folder().join("gate");
        let wait = format!("while [ ! -e {} ]; do sleep 0.1; done", gate.display());
        let mut slow = spec(lab, 2);
        slow["machine"]["qemu"] = only_in_the_trial(lab, "slow", &wait);
        let second = Engine::start(&slow);
        eventually("the baseline is there but for the trial", || {
            (first.said("the secondary tries the guest's state") > 0).then_some(())
        });
        // Neither the guest's outputs nor the secondary's answers.
        traffic.flows(200);
        assert_eq!(first.status()["state"], "syncing");
        assert_eq!(first.status()["held_packets"], 0);
        for _ in 0..20 {
            let status = second.status();
            assert_eq!(status["state"], "receiving");
            let idle = status["data_thread_idle_ms"].as_u64();
            assert!(idle.is_some_and(|idle| idle < 5000), "{status}");
        }
        let refusal = second.promote("hot", 2).expect_err("not tried yet");
        assert_eq!(refusal.code, "replica-incomplete");
        fs::write(&gate, "").expect("open the gate");
        first.wait_state("protected");
        second.wait_state("in-sync");
        eventually("the scratch QEMU is gone", || {
            (trials(&second) == 0).then_some(())
        });
        traffic.flows(20);
        first.kill();
        second.promote("hot", 2).expect("hot");
        traffic.flows(20);
        // What a script has started is tracked like any other.
        let third = Engine::start(&spec(lab, 1));
        second.wait_state("protected");
        traffic.flows(20);
        traffic.finish();
        second.stop();
        third.stop();
    });
}
