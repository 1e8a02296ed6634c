//! QEMU's command line. Primary and secondary must start the same machine: it is built in this one place.

use std::ffi::OsString;
use std::path::Path;

use crate::guest::accel::Accel;
use crate::spec::{Interface, InterfaceModel, Machine, Rng, RngSource, Topology, Video};

/// Numbers of the descriptors that QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub struct Descriptors<'a> {
    /// Guest RAM.
    pub ram: i32,
    /// The guest's network: a datagram socket for each interface.
    pub nets: &'a [i32],
    /// QMP: a stream socket.
    pub talk: i32,
    /// QMP again. A socket of packets, which the preload library gives QEMU in place of a UDP socket; in a QEMU without it,
    /// which gets no orders, a stream.
    pub orders: i32,
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

/// The addresses of a UDP socket that is never opened.
const NOWHERE: &str = "host=127.0.0.1,port=9,localaddr=127.0.0.1,localport=9";

/// The arguments for `machine`. The purposes differ in nothing that a state could show.
pub fn arguments(
    machine: &Machine,
    resource: &str,
    accel: Accel,
    fds: Descriptors<'_>,
    purpose: Purpose,
) -> Vec<OsString> {
    let mut list: Vec<OsString> = Vec::new();
    let mut add = |option: &str, value: OsString| {
        list.push(option.into());
        list.push(value);
    };
    let memory = machine.memory_mib;
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
            "{},memory-backend=ram,pflash0=firmware,vmport=off,hpet={}",
            machine.machine_type,
            if machine.hpet { "on" } else { "off" }
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
    add("-smp", processors(machine).into());
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
    for (number, (interface, socket)) in machine.interfaces.iter().zip(fds.nets).enumerate() {
        // A socket pair, never unix paths: a path's queue holds ten datagrams, and what QEMU could not send is
        // dropped at every stop.
        add(
            "-netdev",
            format!("dgram,id=net{number},local.type=fd,local.str={socket}").into(),
        );
        add("-device", network_device(accel, number, interface).into());
    }
    for (option, value) in spare_devices(machine, accel) {
        add(option, value.into());
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
    add("-chardev", format!("socket,id=talk,fd={}", fds.talk).into());
    add("-chardev", orders(purpose, fds).into());
    for id in ["talk", "orders"] {
        add("-mon", format!("chardev={id},mode=control").into());
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
    // Last: devices that are not told their places take those that ours have left.
    list.extend(machine.qemu_arguments.iter().map(OsString::from));
    list
}

fn processors(machine: &Machine) -> String {
    let vcpus = machine.vcpus;
    machine.topology.map_or_else(
        || vcpus.to_string(),
        |Topology {
             sockets,
             dies,
             cores,
             threads,
         }| {
            format!("cpus={vcpus},sockets={sockets},dies={dies},cores={cores},threads={threads}")
        },
    )
}

/// Devices that a machine can do without.
fn spare_devices(machine: &Machine, accel: Accel) -> Vec<(&'static str, String)> {
    let mut list = Vec::new();
    if let Some(rng) = &machine.rng {
        let source = match rng.source {
            RngSource::Urandom => "rng-random,id=entropy,filename=/dev/urandom",
            RngSource::Random => "rng-random,id=entropy,filename=/dev/random",
            RngSource::Builtin => "rng-builtin,id=entropy",
        };
        list.push(("-object", source.to_owned()));
        list.push(("-device", rng_device(accel, rng)));
    }
    if let Some(video) = &machine.video {
        list.push(("-device", video_device(video)));
    }
    if machine.vnc.is_some() {
        // Where it listens it is told when the guest runs here: the other host's QEMU has nothing to show.
        list.push(("-vnc", "none".to_owned()));
    }
    list
}

/// Neither has a boot ROM: it would be memory of its own. What is sent leaves by the socket of the netdev alone.
fn network_device(accel: Accel, number: usize, interface: &Interface) -> String {
    let Interface { mac, model, .. } = interface;
    match model {
        InterfaceModel::Virtio => {
            let transport = virtio(accel);
            format!("virtio-net-pci,netdev=net{number},romfile=,{transport},mac={mac}")
        }
        InterfaceModel::E1000 => format!("e1000,netdev=net{number},romfile=,mac={mac}"),
    }
}

/// Its memory is made of the engine's file by the preload library.
fn video_device(video: &Video) -> String {
    format!(
        "VGA,vgamem_mb={},romfile={}",
        video.memory_mib,
        escaped(&video.firmware)
    )
}

/// A file system path may hold a comma, which QEMU wants doubled.
fn escaped(path: &Path) -> String {
    path.to_string_lossy().replace(',', ",,")
}

fn rng_device(accel: Accel, rng: &Rng) -> String {
    let rate = rng.rate.map_or_else(String::new, |rate| {
        format!(",max-bytes={},period={}", rate.bytes, rate.period_ms)
    });
    format!("virtio-rng-pci,rng=entropy,{}{rate}", virtio(accel))
}

/// How a virtio device is connected.
fn virtio(accel: Accel) -> String {
    let ioeventfd = match accel {
        Accel::Kvm => "on",
        // There it saves no exit, and QEMU takes all of them down at every stop and sets them up again at every start, which
        // costs more than what it does between.
        Accel::Tcg => "off",
    };
    // The modern interface saves 45 kB for 1,024 possible queues, field by field: two thirds of the time that the guest is
    // paused for. The legacy one has the same drivers and saves 1 kB.
    format!("disable-modern=on,disable-legacy=off,ioeventfd={ioeventfd}")
}

/// Where QEMU is given orders.
fn orders(purpose: Purpose, fds: Descriptors<'_>) -> String {
    match purpose {
        Purpose::Try => format!("socket,id=orders,fd={}", fds.orders),
        // QEMU reads UDP by packets, and everything else one byte at a time. Only if it could be shared is it told that
        // somebody has opened it.
        Purpose::Boot | Purpose::Await => format!("udp,id=orders,{NOWHERE},mux=on"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    use crate::spec::{RngRate, Vnc};

    const FDS: Descriptors<'static> = Descriptors {
        ram: 3,
        nets: &[4],
        talk: 5,
        orders: 6,
        incoming: 7,
    };

    fn machine() -> Machine {
        let spec: crate::spec::Spec =
            serde_json::from_str(include_str!("../../../test/contract/spec/engine.json"))
                .expect("golden");
        spec.machine
    }

    fn list(machine: &Machine) -> String {
        let list = arguments(machine, "vm1", Accel::Tcg, FDS, Purpose::Boot);
        let words: Vec<_> = list.iter().map(|word| word.to_string_lossy()).collect();
        words.join(" ")
    }

    #[test]
    fn processors_are_arranged_as_asked_and_a_timer_is_left_out() {
        let mut machine = machine();
        assert!(list(&machine).contains(" -smp 1 "));
        assert!(list(&machine).contains(",hpet=on "));
        machine.vcpus = 4;
        machine.topology = Some(Topology {
            sockets: 1,
            dies: 1,
            cores: 2,
            threads: 2,
        });
        machine.hpet = false;
        assert!(list(&machine).contains(" -smp cpus=4,sockets=1,dies=1,cores=2,threads=2 "));
        assert!(list(&machine).contains(",hpet=off "));
    }

    #[test]
    fn a_network_device_has_no_memory_of_its_own() {
        let mut machine = machine();
        assert!(list(&machine).contains(" -device virtio-net-pci,netdev=net0,romfile=,"));
        assert!(list(&machine).contains(" -netdev dgram,id=net0,local.type=fd,local.str=4 "));
        machine.interfaces[0].model = InterfaceModel::E1000;
        assert!(
            list(&machine).contains(" -device e1000,netdev=net0,romfile=,mac=52:54:00:6b:00:01 ")
        );
    }

    #[test]
    fn a_display_is_seen_nowhere_before_the_guest_runs() {
        let mut machine = machine();
        assert!(!list(&machine).contains("VGA") && !list(&machine).contains("-vnc"));
        machine.video = Some(Video {
            memory_mib: 16,
            firmware: "/vga.bin".into(),
        });
        assert!(list(&machine).contains(" -device VGA,vgamem_mb=16,romfile=/vga.bin -chardev"));
        machine.vnc = Some(Vnc {
            address: IpAddr::from([127, 0, 0, 1]),
            port: Some(5901),
        });
        assert!(list(&machine).contains(" -vnc none "));
    }

    #[test]
    fn random_numbers_come_from_where_they_were_asked_from() {
        let mut machine = machine();
        assert!(!list(&machine).contains("rng"));
        let rate = RngRate {
            bytes: 1024,
            period_ms: 500,
        };
        for (source, rate, object, device) in [
            (
                RngSource::Urandom,
                None,
                "rng-random,id=entropy,filename=/dev/urandom",
                "ioeventfd=off",
            ),
            (
                RngSource::Builtin,
                Some(rate),
                "rng-builtin,id=entropy",
                "ioeventfd=off,max-bytes=1024,period=500",
            ),
        ] {
            machine.rng = Some(Rng { source, rate });
            let wanted = format!(
                " -object {object} -device virtio-rng-pci,rng=entropy,disable-modern=on,disable-legacy=off,{device} "
            );
            assert!(list(&machine).contains(&wanted), "{wanted}");
        }
    }

    #[test]
    fn words_that_were_added_are_the_last_in_their_order_whatever_qemu_is_started_for() {
        let mut machine = machine();
        let words = ["-device", "i6300esb", "-action", "watchdog=reset"];
        machine.qemu_arguments = words.map(str::to_owned).to_vec();
        for purpose in [Purpose::Boot, Purpose::Await, Purpose::Try] {
            let list = arguments(&machine, "vm1", Accel::Tcg, FDS, purpose);
            assert!(list.ends_with(&words.map(OsString::from)), "{list:?}");
            machine.qemu_arguments.clear();
            let ours = arguments(&machine, "vm1", Accel::Tcg, FDS, purpose);
            assert_eq!(ours, list[..list.len() - words.len()]);
            machine.qemu_arguments = words.map(str::to_owned).to_vec();
        }
    }

    #[test]
    fn both_sides_differ_in_nothing_but_incoming() {
        let with = |purpose| arguments(&machine(), "vm1", Accel::Tcg, FDS, purpose);
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
        let wanted = [
            "guest=vm1-trial,",
            "share=off",
            "path=/dev/null",
            "socket,id=orders",
        ];
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
