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

/// What a QEMU is started for. In each case its vCPUs are stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To boot the guest.
    Boot,
    /// To wait for the state of a guest that it will go on with.
    Await,
    /// To load the state of a guest, and to be thrown away: what it writes stays its own.
    Try,
}

/// The arguments for `machine`. The purposes differ in nothing that a state could show.
pub fn arguments(
    machine: &Machine,
    resource: &str,
    accel: Accel,
    fds: Descriptors,
    purpose: Purpose,
) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: OsString| {
        list.push(option.into());
        list.push(value);
    };
    let memory = machine.memory_mib;
    // A file system path may hold a comma, which QEMU wants doubled.
    let escaped = |path: &Path| path.to_string_lossy().replace(',', ",,");
    let (suffix, share) = match purpose {
        Purpose::Boot | Purpose::Await => ("", "on"),
        Purpose::Try => ("-trial", "off"),
    };
    let name = format!("guest={resource}{suffix},debug-threads=on");
    add("-name", name.into());
    add("-uuid", machine.uuid.to_string().into());
    add(
        "-machine",
        format!(
            "{},memory-backend=ram,pflash0=firmware,vmport=off",
            machine.machine_type
        )
        .into(),
    );
    add(
        "-accel",
        match accel {
            Accel::Kvm => "kvm",
            // A thread for each vCPU.
            Accel::Tcg => "tcg,thread=multi",
        }
        .into(),
    );
    add("-cpu", machine.cpu.clone().into());
    add("-smp", machine.vcpus.to_string().into());
    add("-m", format!("{memory}M").into());
    add(
        "-object",
        format!(
            "memory-backend-file,id=ram,size={memory}M,share={share},mem-path=/proc/self/fd/{}",
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
            match purpose {
                Purpose::Try => "/dev/null".to_owned(),
                Purpose::Boot | Purpose::Await => escaped(&machine.console_log),
            }
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
    if purpose != Purpose::Boot {
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
        let with = |purpose| arguments(&machine(), "vm1", Accel::Tcg, fds, purpose);
        let primary = with(Purpose::Boot);
        let mut secondary = with(Purpose::Await);
        let at = secondary
            .iter()
            .position(|a| a == "-incoming")
            .expect("incoming");
        secondary.drain(at..at + 2);
        assert_eq!(primary, secondary);
        let (waits, tries) = (with(Purpose::Await), with(Purpose::Try));
        assert_eq!(waits.len(), tries.len());
        let differs: Vec<_> = waits.iter().zip(&tries).filter(|(w, t)| w != t).collect();
        let wanted = ["guest=vm1-trial,", "share=off", "path=/dev/null"];
        assert_eq!(differs.len(), wanted.len());
        for ((_, tries), wanted) in differs.iter().zip(wanted) {
            assert!(tries.to_string_lossy().contains(wanted), "{tries:?}");
        }
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
