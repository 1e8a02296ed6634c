//! What must be equal on both hosts for a state to be loadable, gathered from the description, from QEMU and from the files
//! that the guest boots from.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::guest::accel::Accel;
use crate::guest::command::{self, Descriptors, Purpose};
use crate::guest::identity::Identity;
use crate::limits::INTERFACES_MAX;
use crate::spec::{Interface, Machine};
use crate::wire::Fingerprint;
use crate::wire::limits::MAX_FINGERPRINT;

/// Longest value that is told in full, bytes; of a longer one the beginning and a digest.
const VALUE_MAX_BYTES: usize = 256;

/// Describes `machine` as `identity` runs it.
///
/// # Errors
/// If a file that the guest boots from cannot be read, or the description is longer than [`MAX_FINGERPRINT`].
pub fn of(
    machine: &Machine,
    resource: &str,
    accel: Accel,
    identity: &Identity,
) -> io::Result<Fingerprint> {
    let mut print = Fingerprint::default();
    let mut value = |name: &str, value: &str| {
        print.values.insert(name.to_owned(), shortened(value));
    };
    value("QEMU version", &identity.version);
    value("QEMU build", &identity.build);
    value("machine type", &machine.machine_type);
    value("accelerator", accel.name());
    value("CPU model", &machine.cpu);
    value("vCPUs", &machine.vcpus.to_string());
    value("memory (MiB)", &machine.memory_mib.to_string());
    value("kernel command line", &machine.cmdline);
    value("firmware", &digest(&machine.firmware)?);
    value("kernel", &digest(&machine.kernel)?);
    if let Some(initrd) = &machine.initrd {
        value("initrd", &digest(initrd)?);
    }
    let of_each = |told: fn(&Interface) -> String| {
        let told: Vec<String> = machine.interfaces.iter().map(told).collect();
        told.join(", ")
    };
    value("MAC address", &of_each(|one| one.mac.to_lowercase()));
    value(
        "network device",
        &of_each(|one| one.model.name().to_owned()),
    );
    if let Some(video) = &machine.video {
        value("display's firmware", &digest(&video.firmware)?);
    }
    if !machine.qemu_arguments.is_empty() {
        // The options below are a set; of these the order and the number count too.
        value("QEMU's further arguments", &words(&machine.qemu_arguments));
    }
    for (name, elements) in [
        ("CPU features", &identity.cpu_features),
        ("CPU bits", &identity.cpu_bits),
        ("devices", &identity.devices),
        ("QEMU's arguments", &arguments(machine, resource, accel)),
    ] {
        let elements = elements.iter().map(|element| shortened(element)).collect();
        print.sets.insert(name.to_owned(), elements);
    }
    let bytes = serde_json::to_vec(&print)?.len();
    if bytes > MAX_FINGERPRINT {
        let message = format!(
            "the description of this machine has {bytes} bytes, at most {MAX_FINGERPRINT} can be sent"
        );
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(print)
}

fn digest(path: &Path) -> io::Result<String> {
    let content = fs::read(path)
        .map_err(|e| io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display())))?;
    Ok(format!("{:016x}", xxh3_64(&content)))
}

fn shortened(value: &str) -> String {
    if value.len() <= VALUE_MAX_BYTES {
        return value.to_owned();
    }
    let mut end = VALUE_MAX_BYTES / 2;
    while !value.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}… ({:016x})", &value[..end], xxh3_64(value.as_bytes()))
}

/// Words so that others are told otherwise.
fn words(words: &[String]) -> String {
    let told: Vec<String> = words
        .iter()
        .map(|word| {
            if word.contains([' ', '"']) {
                format!("{word:?}")
            } else {
                word.clone()
            }
        })
        .collect();
    told.join(" ")
}

/// QEMU's arguments without what is told elsewhere, and without what belongs to this host and this process: paths (the files'
/// content is compared), numbers of descriptors, and that a secondary waits for a state.
fn arguments(machine: &Machine, resource: &str, accel: Accel) -> BTreeSet<String> {
    let mut machine = machine.clone();
    machine.firmware = PathBuf::from("firmware");
    machine.kernel = PathBuf::from("kernel");
    machine.initrd = machine.initrd.map(|_| PathBuf::from("initrd"));
    machine.console_log = PathBuf::from("console");
    machine.qemu_arguments.clear();
    if let Some(video) = &mut machine.video {
        video.firmware = PathBuf::from("video");
    }
    let descriptors = Descriptors {
        ram: 0,
        nets: &[0; INTERFACES_MAX],
        talk: 0,
        orders: 0,
        incoming: 0,
    };
    let list = command::arguments(&machine, resource, accel, descriptors, Purpose::Boot);
    let words = list.iter().map(|word| word.to_string_lossy());
    let mut paired = BTreeSet::new();
    let mut option = String::new();
    for word in words {
        if word.starts_with('-') {
            paired.insert(std::mem::replace(&mut option, word.into_owned()));
        } else {
            option.push(' ');
            option.push_str(&word);
        }
    }
    paired.insert(option);
    paired.remove("");
    paired
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{QEMU_ARGUMENT_MAX_BYTES, QEMU_ARGUMENTS_MAX};

    fn machine(folder: &Path) -> Machine {
        let spec: crate::spec::Spec =
            serde_json::from_str(include_str!("../../../test/contract/spec/engine.json"))
                .expect("golden");
        let mut machine = spec.machine;
        let file = |name: &str| {
            let path = folder.join(name);
            fs::write(&path, name).expect("write");
            path
        };
        (machine.firmware, machine.kernel) = (file("firmware"), file("kernel"));
        machine.initrd = Some(file("initrd"));
        machine
    }

    fn identity() -> Identity {
        let set = |elements: &[&str]| elements.iter().map(|e| (*e).to_owned()).collect();
        Identity {
            version: "7.2.22 (Debian)".to_owned(),
            build: "d9541fd6".to_owned(),
            cpu_features: set(&["sse2", "level=13"]),
            cpu_bits: set(&["CPUID.01H:ECX[0]"]),
            devices: set(&["virtio-net-pci at 02.0 (00c0ffee)"]),
        }
    }

    #[test]
    fn each_difference_between_machines_is_named() {
        let folder = tempfile::tempdir().expect("folder");
        let machine = machine(folder.path());
        let print = |machine: &Machine, accel, identity: &Identity| {
            of(machine, "vm1", accel, identity).expect("fingerprint")
        };
        let one = print(&machine, Accel::Tcg, &identity());
        let told = |other: &Fingerprint| one.difference("n1", other, "n2").unwrap_or_default();
        let changed = |change: fn(&mut Machine)| {
            let mut other = machine.clone();
            change(&mut other);
            told(&print(&other, Accel::Tcg, &identity()))
        };
        assert_eq!(changed(|_| ()), "");
        assert_eq!(
            changed(|m| m.cpu = "max".to_owned()),
            "CPU model: \"qemu64,svm=off,vmx=off\" on n1, \"max\" on n2; also different: QEMU's arguments"
        );
        assert_eq!(
            changed(|m| m.memory_mib = 512),
            "memory (MiB): \"256\" on n1, \"512\" on n2; also different: QEMU's arguments"
        );
        assert_eq!(
            changed(|m| m.interfaces[0].mac = "52:54:00:6B:00:02".to_owned()),
            "MAC address: \"52:54:00:6b:00:01\" on n1, \"52:54:00:6b:00:02\" on n2; also different: QEMU's arguments"
        );
        let kvm = print(&machine, Accel::Kvm, &identity());
        assert_eq!(
            changed(|m| m.qemu_arguments = vec!["-rtc".to_owned(), "base=utc".to_owned()]),
            "QEMU's further arguments: nothing on n1, \"-rtc base=utc\" on n2"
        );
        assert!(told(&kvm).starts_with("accelerator: \"tcg\" on n1, \"kvm\" on n2"));
        let with = |change: fn(&mut Identity)| {
            let mut other = identity();
            change(&mut other);
            told(&print(&machine, Accel::Tcg, &other))
        };
        assert!(with(|i| i.build = "0".to_owned()).starts_with("QEMU build: \"d9541fd6\" on n1"));
        assert!(with(|i| i.version = "10.0.0".to_owned()).starts_with("QEMU version"));
        let less = |i: &mut Identity| drop(i.cpu_features.pop_first());
        assert_eq!(with(less), "CPU features: only n1 has level=13");
        let more = |i: &mut Identity| i.devices.extend(["VGA at 03.0 (0)".to_owned()]);
        assert_eq!(with(more), "devices: only n2 has VGA at 03.0 (0)");
    }

    #[test]
    fn further_arguments_are_compared_in_their_order_and_number() {
        let folder = tempfile::tempdir().expect("folder");
        let mut machine = machine(folder.path());
        let mut print = |words: &[&str]| {
            machine.qemu_arguments = words.iter().map(|&word| word.to_owned()).collect();
            of(&machine, "vm1", Accel::Tcg, &identity()).expect("fingerprint")
        };
        let pair = print(&["-device", "usb-kbd", "-device", "usb-tablet"]);
        let turned = print(&["-device", "usb-tablet", "-device", "usb-kbd"]);
        let spaced = print(&["-device", "usb-kbd -device usb-tablet"]);
        let thrice = print(&[
            "-device",
            "usb-kbd",
            "-device",
            "usb-kbd",
            "-device",
            "usb-tablet",
        ]);
        for other in [turned, spaced, thrice] {
            let told = pair.difference("n1", &other, "n2");
            assert!(
                told.as_ref().is_some_and(
                    |told| told.starts_with("QEMU's further arguments: \"-device usb-kbd")
                ),
                "{told:?}"
            );
        }
    }

    #[test]
    fn paths_and_descriptors_are_no_difference_and_contents_are() {
        let (here, there) = (
            tempfile::tempdir().expect("folder"),
            tempfile::tempdir().expect("folder"),
        );
        let (one, other) = (machine(here.path()), machine(there.path()));
        let print =
            |machine: &Machine| of(machine, "vm1", Accel::Tcg, &identity()).expect("fingerprint");
        assert_eq!(print(&one), print(&other));
        fs::write(&other.kernel, "another").expect("write");
        let told = print(&one).difference("n1", &print(&other), "n2");
        assert!(told.is_some_and(|told| told.starts_with("kernel: ") && !told.contains("also")));
        fs::remove_file(&other.kernel).expect("remove");
        let missing = of(&other, "vm1", Accel::Tcg, &identity()).expect_err("missing");
        assert!(missing.to_string().contains("kernel"), "{missing}");
    }

    #[test]
    fn arguments_are_compared_option_by_option() {
        let folder = tempfile::tempdir().expect("folder");
        let arguments = arguments(&machine(folder.path()), "vm1", Accel::Tcg);
        for option in [
            "-S",
            "-only-migratable",
            "-m 256M",
            "-kernel kernel",
            "-global migration.send-configuration=off",
        ] {
            assert!(arguments.contains(option), "{option} in {arguments:?}");
        }
    }

    #[test]
    fn a_hello_holds_whatever_a_machine_may_be() {
        let folder = tempfile::tempdir().expect("folder");
        let mut machine = machine(folder.path());
        machine.cmdline = "ä".repeat(100_000);
        machine.qemu_arguments = (0..QEMU_ARGUMENTS_MAX)
            .map(|number| format!("-{number}{}", "x".repeat(QEMU_ARGUMENT_MAX_BYTES)))
            .collect();
        let long = |count: usize, name: &str| (0..count).map(|n| format!("{name}{n}")).collect();
        let all = Identity {
            version: "v".repeat(100_000),
            // More than any CPU and any machine has.
            cpu_features: long(600, "vmx-entry-load-perf-global-ctrl"),
            cpu_bits: long(800, "CPUID.80000001H.1:ECX[31]"),
            devices: long(128, "pcie-pci-bridge at 00.0 (00c0ffee)"),
            ..identity()
        };
        let print = of(&machine, "vm1", Accel::Tcg, &all).expect("fingerprint");
        assert!(print.values["kernel command line"].len() < 2 * VALUE_MAX_BYTES);
        let too_much = Identity {
            devices: long(2000, "pcie-pci-bridge at 00.0 (00c0ffee)"),
            ..identity()
        };
        let refused = of(&machine, "vm1", Accel::Tcg, &too_much).expect_err("too long");
        assert!(refused.to_string().contains("at most 61440"), "{refused}");
    }
}
