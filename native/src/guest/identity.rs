//! What QEMU says that it is and has built: asked once, when it has come up, so that nothing is believed of a command line.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::guest::error::{GuestError, call};
use crate::guest::executable;
use crate::guest::monitor::Monitor;
use crate::qmp::QmpError;
use crate::spec::Machine;

/// Properties of a CPU that say which one it is, and not what it can do.
const OF_ONE_CPU: [&str; 9] = [
    "apic-id",
    "cluster-id",
    "core-id",
    "die-id",
    "memory",
    "module-id",
    "node-id",
    "socket-id",
    "thread-id",
];

/// A QEMU and its machine.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// QEMU's version with its package's.
    pub version: String,
    /// Which build of it.
    pub build: String,
    /// What its CPU model means here, by name: flags that are on, and values.
    pub cpu_features: BTreeSet<String>,
    /// The bits that the guest sees in its CPU's registers, after the accelerator has taken away what it cannot do.
    pub cpu_bits: BTreeSet<String>,
    /// The machine's devices, with a digest of each one's properties.
    pub devices: BTreeSet<String>,
}

impl Identity {
    /// Asks a QEMU that has just come up.
    ///
    /// # Errors
    /// [`GuestError::MachineAlias`] if its machine type is one that means something else with another QEMU; else what went
    /// wrong.
    pub fn ask(monitor: &mut Monitor, pid: u32, machine: &Machine) -> Result<Self, GuestError> {
        let machines = monitor.execute("query-machines", &Value::Null)?;
        if let Some(name) = name_behind_alias(&machines, &machine.machine_type) {
            return Err(GuestError::MachineAlias {
                alias: machine.machine_type.clone(),
                name,
            });
        }
        let model = json!({"type": "full", "model": {"name": model_name(&machine.cpu)}});
        let expansion = monitor.execute("query-cpu-model-expansion", &model)?;
        let answers = Answers {
            expansion,
            tree: human(monitor, "info qtree")?,
            version: monitor.execute("query-version", &Value::Null)?,
            words: feature_words(monitor)?,
        };
        let build = executable::build_of(pid).map_err(call("finding out QEMU's build"))?;
        Ok(Self::read(&answers, build))
    }

    /// What the answers of a QEMU of this `build` say. What is not as it should be counts as not said.
    pub fn read(answers: &Answers, build: String) -> Self {
        Self {
            version: version(&answers.version),
            build,
            cpu_features: features(&answers.expansion["model"]["props"]),
            cpu_bits: bits(&answers.words),
            devices: devices(answers.tree.as_str().unwrap_or_default()),
        }
    }
}

/// What QEMU answers when it is asked who it is.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// To `query-version`.
    pub version: Value,
    /// To `query-cpu-model-expansion`.
    pub expansion: Value,
    /// The first CPU's property `feature-words`; null if there is none.
    pub words: Value,
    /// To the monitor's `info qtree`.
    pub tree: Value,
}

/// Runs a command of QEMU's monitor for people.
pub(super) fn human(monitor: &mut Monitor, line: &'static str) -> Result<Value, QmpError> {
    monitor.execute("human-monitor-command", &json!({ "command-line": line }))
}

fn version(answer: &Value) -> String {
    let number = &answer["qemu"];
    let package = answer["package"].as_str().unwrap_or_default();
    let text = format!(
        "{}.{}.{} {package}",
        number["major"], number["minor"], number["micro"]
    );
    text.trim().to_owned()
}

/// The machine type that `name` stands for in the answer to `query-machines`, if it is not the name of one itself.
pub fn name_behind_alias(machines: &Value, name: &str) -> Option<String> {
    let found = machines
        .as_array()?
        .iter()
        .find(|machine| machine["alias"] == name)?;
    Some(found["name"].as_str()?.to_owned())
}

/// The model in a `-cpu` argument, without what is changed of it.
fn model_name(cpu: &str) -> &str {
    cpu.split(',').next().unwrap_or(cpu)
}

/// The expansion's flags that are on and its values. QEMU tells many flags under several spellings.
fn features(properties: &Value) -> BTreeSet<String> {
    let told = properties.as_object().into_iter().flatten();
    told.filter(|(name, _)| !OF_ONE_CPU.contains(&name.as_str()))
        .filter_map(|(name, value)| {
            let name = name.replace(['_', '.'], "-");
            match value {
                Value::Bool(false) | Value::Null => None,
                Value::Bool(true) => Some(name),
                Value::String(text) => Some(format!("{name}={text}")),
                other => Some(format!("{name}={other}")),
            }
        })
        .collect()
}

/// Asks the first CPU. A QEMU that does not know the question has no such bits, on both hosts.
fn feature_words(monitor: &mut Monitor) -> Result<Value, QmpError> {
    let cpus = monitor.execute("query-cpus-fast", &Value::Null)?;
    let words = json!({"path": cpus[0]["qom-path"], "property": "feature-words"});
    match monitor.execute("qom-get", &words) {
        Err(QmpError::Refused { .. }) => Ok(Value::Null),
        answer => answer,
    }
}

/// Each bit that is set, as QEMU's own warnings call it.
fn bits(words: &Value) -> BTreeSet<String> {
    let mut named = BTreeSet::new();
    for word in words.as_array().into_iter().flatten() {
        let number = |key: &str| word[key].as_u64().unwrap_or_default();
        let (leaf, subleaf) = (number("cpuid-input-eax"), number("cpuid-input-ecx"));
        let register = word["cpuid-register"].as_str().unwrap_or_default();
        let subleaf = if subleaf == 0 {
            String::new()
        } else {
            format!(".{subleaf}")
        };
        let set = (0..u64::BITS).filter(|bit| number("features") >> bit & 1 == 1);
        named.extend(set.map(|bit| format!("CPUID.{leaf:02X}H{subleaf}:{register}[{bit}]")));
    }
    named
}

/// The devices in the answer to `info qtree`: each with its PCI address and a digest of its properties, numbered where
/// they are alike.
fn devices(tree: &str) -> BTreeSet<String> {
    let mut counted: BTreeMap<String, usize> = BTreeMap::new();
    let mut lines = tree.lines().map(str::trim).peekable();
    while let Some(line) = lines.next() {
        let Some(device) = line.strip_prefix("dev: ") else {
            continue;
        };
        let name = device.split(',').next().unwrap_or(device);
        let (mut address, mut properties) = (String::new(), String::new());
        while let Some(line) = lines.next_if(|line| !is_next(line)) {
            // What is not a property tells where the firmware has put it, and with what it is connected.
            if let Some((property, value)) = line.split_once(" = ") {
                if property == "addr" {
                    address = format!(" at {value}");
                }
                properties.push_str(line);
                properties.push('\n');
            }
        }
        let digest = xxhash_rust::xxh3::xxh3_64(properties.as_bytes()) >> 32;
        *counted
            .entry(format!("{name}{address} ({digest:08x})"))
            .or_default() += 1;
    }
    counted
        .into_iter()
        .map(|(device, count)| match count {
            1 => device,
            count => format!("{count} x {device}"),
        })
        .collect()
}

fn is_next(line: &str) -> bool {
    line.starts_with("dev: ") || line.starts_with("bus: ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(elements: &[&str]) -> BTreeSet<String> {
        elements
            .iter()
            .map(|element| (*element).to_owned())
            .collect()
    }

    #[test]
    fn a_machine_type_without_a_version_is_told_from_one_with() {
        let machines = json!([
            {"name": "pc-i440fx-7.2", "alias": "pc", "is-default": true},
            {"name": "pc-q35-7.2", "alias": "q35"},
            {"name": "isapc"}]);
        for (name, behind) in [
            ("pc", Some("pc-i440fx-7.2")),
            ("q35", Some("pc-q35-7.2")),
            ("pc-i440fx-7.2", None),
            ("isapc", None),
            ("nothing", None),
        ] {
            assert_eq!(
                name_behind_alias(&machines, name).as_deref(),
                behind,
                "{name}"
            );
        }
        assert_eq!(name_behind_alias(&Value::Null, "pc"), None);
    }

    #[test]
    fn a_cpu_is_what_it_can_do_under_one_spelling() {
        let expansion = json!({"sse4.1": true, "sse4-1": true, "sse4_1": true, "avx": false, "family": 15,
            "vendor": "AuthenticAMD", "apic-id": 4_294_967_295_u32, "memory": "/machine/x", "level": 13});
        assert_eq!(
            features(&expansion),
            set(&["sse4-1", "family=15", "vendor=AuthenticAMD", "level=13"])
        );
        assert_eq!(features(&Value::Null), set(&[]));
        assert_eq!(model_name("qemu64,svm=off"), "qemu64");
        assert_eq!(model_name("max"), "max");
    }

    #[test]
    fn the_bits_that_a_guest_sees_are_named_as_qemu_names_them() {
        let words = json!([
            {"cpuid-register": "EAX", "cpuid-input-ecx": 1, "cpuid-input-eax": 13, "features": 5},
            {"cpuid-register": "EDX", "cpuid-input-eax": 2_147_483_649_u32, "features": 0},
            {"cpuid-register": "ECX", "cpuid-input-eax": 1, "features": 2_147_483_649_u32}]);
        assert_eq!(
            bits(&words),
            set(&[
                "CPUID.0DH.1:EAX[0]",
                "CPUID.0DH.1:EAX[2]",
                "CPUID.01H:ECX[0]",
                "CPUID.01H:ECX[31]"
            ])
        );
    }

    #[test]
    fn devices_are_told_apart_by_place_and_properties_but_not_by_what_the_guest_does_with_them() {
        let tree = "bus: main-system-bus\r\n  type System\r\n  dev: i440FX-pcihost, id \"\"\r\n    x-fix = true\r\n    bus: pci.0\r\n      type PCI\r\n      dev: virtio-net-pci, id \"\"\r\n        addr = 02.0\r\n        vectors = 4 (0x4)\r\n        bar 0: i/o at 0xffffffffffffffff [0x1e]\r\n        bus: virtio-bus\r\n          dev: virtio-net-device, id \"\"\r\n            mac = \"52:54:00:6b:00:01\"\r\n  dev: ps2, id \"\"\r\n    gpio-out \"\" 1\r\n  dev: ps2, id \"\"\r\n";
        let found = devices(tree);
        let starts: Vec<&str> = found
            .iter()
            .map(|device| device.split(" (").next().unwrap_or_default())
            .collect();
        assert_eq!(
            starts,
            [
                "2 x ps2",
                "i440FX-pcihost",
                "virtio-net-device",
                "virtio-net-pci at 02.0"
            ]
        );
        let moved = tree.replace("0xffffffffffffffff", "0x000000000000c000");
        assert_eq!(devices(&moved), found);
        for (from, to) in [
            ("vectors = 4 (0x4)", "vectors = 3 (0x3)"),
            ("02.0", "03.0"),
            ("00:01", "00:02"),
        ] {
            let changed = devices(&tree.replace(from, to));
            assert_eq!(changed.difference(&found).count(), 1, "{to}: {changed:?}");
        }
    }
}
