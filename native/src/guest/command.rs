//! QEMU's command line. Primary and secondary must start the same machine: it is built in this one place.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use crate::guest::accel::Accel;
use crate::spec::Machine;

/// Numbers of the descriptors that QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors {
    /// Guest RAM.
    pub ram: i32,
    /// The guest's network, a datagram socket.
    pub net: i32,
    /// QMP, two stream sockets.
    pub qmp: [i32; 2],
    /// The socket that the device state arrives on.
    pub incoming: i32,
}

/// The arguments for `machine`; `incoming` waits for a device state instead of booting. Both start with the vCPUs stopped.
pub fn arguments(
    machine: &Machine,
    resource: &str,
    accel: Accel,
    fds: Descriptors,
    incoming: bool,
) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: OsString| {
        list.push(option.into());
        list.push(value);
    };
    let memory = machine.memory_mib;
    // A file system path may hold a comma, which QEMU wants doubled.
    let escaped = |path: &Path| path.to_string_lossy().replace(',', ",,");
    add("-name", format!("guest={resource},debug-threads=on").into());
    add("-uuid", machine.uuid.to_string().into());
    add(
        "-machine",
        format!(
            "{},memory-backend=ram,pflash0=firmware,vmport=off",
            machine.machine_type
        )
        .into(),
    );
    add("-accel", accel.name().into());
    add("-cpu", machine.cpu.clone().into());
    add("-smp", machine.vcpus.to_string().into());
    add("-m", format!("{memory}M").into());
    add(
        "-object",
        format!(
            "memory-backend-file,id=ram,size={memory}M,share=on,mem-path=/proc/self/fd/{}",
            fds.ram
        )
        .into(),
    );
    // Flash instead of a ROM: with -incoming QEMU drops its ROM images, and a promoted guest that reboots would run
    // into zeros. Read-only, because QEMU writes back a writable flash from its own stale copy.
    add(
        "-blockdev",
        format!(
            "driver=file,node-name=firmware,filename={},read-only=on",
            escaped(&machine.firmware)
        )
        .into(),
    );
    add("-kernel", machine.kernel.clone().into());
    if let Some(initrd) = &machine.initrd {
        add("-initrd", initrd.clone().into());
    }
    add("-append", machine.cmdline.clone().into());
    for interface in &machine.interfaces {
        // A socket pair, never unix paths: a path's queue holds ten datagrams, and what QEMU could not send is
        // dropped at every stop.
        add(
            "-netdev",
            format!("dgram,id=net0,local.type=fd,local.str={}", fds.net).into(),
        );
        // The modern interface saves 45 kB for 1,024 possible queues, field by field: two thirds of the time that
        // the guest is paused for. The legacy one has the same drivers and saves 1 kB.
        add(
            "-device",
            format!(
                "virtio-net-pci,netdev=net0,romfile=,disable-modern=on,disable-legacy=off,mac={}",
                interface.mac
            )
            .into(),
        );
    }
    add(
        "-chardev",
        format!(
            "file,id=console,path={},append=on",
            escaped(&machine.console_log)
        )
        .into(),
    );
    add("-serial", "chardev:console".into());
    for (number, fd) in fds.qmp.iter().enumerate() {
        add("-chardev", format!("socket,id=qmp{number},fd={fd}").into());
        add("-mon", format!("chardev=qmp{number},mode=control").into());
    }
    add("-display", "none".into());
    // A guest that powers itself off stays in QEMU until its end has been acknowledged.
    add("-action", "shutdown=pause".into());
    // The state travels without QEMU's own description of the configuration; the handshake compares it instead.
    add("-global", "migration.send-configuration=off".into());
    add(
        "-sandbox",
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny".into(),
    );
    if incoming {
        add("-incoming", "defer".into());
    }
    // Devices whose state cannot be saved are refused here, by QEMU, by name.
    list.extend(["-only-migratable", "-nodefaults", "-no-user-config", "-S"].map(OsString::from));
    list
}

/// What must be equal on both hosts for a state to be loadable: name → value, compared in the handshake.
///
/// # Errors
/// If a file that the guest boots from cannot be read.
pub fn fingerprint(
    machine: &Machine,
    accel: Accel,
    qemu_version: &str,
) -> io::Result<BTreeMap<String, String>> {
    let digest = |path: &Path| -> io::Result<String> {
        let content = fs::read(path).map_err(|e| {
            io::Error::new(e.kind(), format!("cannot read {}: {e}", path.display()))
        })?;
        Ok(format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&content)))
    };
    let mut print = BTreeMap::from([
        ("QEMU version".to_owned(), qemu_version.to_owned()),
        ("machine type".to_owned(), machine.machine_type.clone()),
        ("accelerator".to_owned(), accel.name().to_owned()),
        ("CPU model".to_owned(), machine.cpu.clone()),
        ("vCPUs".to_owned(), machine.vcpus.to_string()),
        ("memory (MiB)".to_owned(), machine.memory_mib.to_string()),
        ("kernel command line".to_owned(), machine.cmdline.clone()),
        ("firmware".to_owned(), digest(&machine.firmware)?),
        ("kernel".to_owned(), digest(&machine.kernel)?),
    ]);
    if let Some(initrd) = &machine.initrd {
        print.insert("initrd".to_owned(), digest(initrd)?);
    }
    for interface in &machine.interfaces {
        print.insert("MAC address".to_owned(), interface.mac.to_lowercase());
    }
    Ok(print)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        let spec: crate::spec::Spec =
            serde_json::from_str(include_str!("../../../test/contract/spec/engine.json"))
                .expect("golden");
        spec.machine
    }

    #[test]
    fn both_sides_differ_in_nothing_but_incoming() {
        let fds = Descriptors {
            ram: 3,
            net: 4,
            qmp: [5, 6],
            incoming: 7,
        };
        let primary = arguments(&machine(), "vm1", Accel::Tcg, fds, false);
        let mut secondary = arguments(&machine(), "vm1", Accel::Tcg, fds, true);
        let at = secondary
            .iter()
            .position(|a| a == "-incoming")
            .expect("incoming");
        secondary.drain(at..at + 2);
        assert_eq!(primary, secondary);
        for needed in [
            "-only-migratable",
            "-S",
            "migration.send-configuration=off",
            "shutdown=pause",
        ] {
            assert!(primary.iter().any(|a| a == needed), "{needed}");
        }
    }

    #[test]
    fn a_difference_between_machines_shows_in_the_fingerprint() {
        let folder = tempfile::tempdir().expect("folder");
        let file = |name: &str| {
            let path = folder.path().join(name);
            fs::write(&path, name).expect("write");
            path
        };
        let mut one = machine();
        (one.firmware, one.kernel, one.initrd) =
            (file("firmware"), file("kernel"), Some(file("initrd")));
        let print = fingerprint(&one, Accel::Tcg, "7.2.22").expect("fingerprint");
        let mut other = one.clone();
        other.cpu = "max".to_owned();
        assert_ne!(
            print,
            fingerprint(&other, Accel::Tcg, "7.2.22").expect("fingerprint")
        );
        assert_ne!(
            print,
            fingerprint(&one, Accel::Kvm, "7.2.22").expect("fingerprint")
        );
        assert_ne!(
            print,
            fingerprint(&one, Accel::Tcg, "10.0").expect("fingerprint")
        );
        fs::write(folder.path().join("kernel"), "another").expect("write");
        assert_ne!(
            print,
            fingerprint(&one, Accel::Tcg, "7.2.22").expect("fingerprint")
        );
    }
}
