//! QEMU's command line. Primary and secondary must start the same machine: it is built in this one place.

use std::ffi::OsString;
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
}
