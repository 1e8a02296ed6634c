//! Machines other than the usual one: what a guest with their devices does is protected, and a promoted one has them all.

mod common;

use common::client::{Traffic, tell};
use common::engine::{Engine, pc_spec, wait_gone};
use common::screen::Screen;
use common::{eventually, in_guest_lab};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::Mutex;

/// A pair whose guest has this machine: it is protected, its host dies, the promoted guest goes on, is protected again and
/// reboots.
fn lives_on(machine: impl Fn(&mut Value) + Sync, looks: impl Fn(&Engine) + Sync) {
    in_guest_lab(|lab| {
        let spec = |node| {
            let mut spec = pc_spec(lab, node);
            machine(&mut spec["machine"]);
            spec
        };
        let (first, second) = (Engine::start(&spec(1)), Engine::start(&spec(2)));
        first.promote("cold", 1).expect("cold");
        first.wait_state("protected");
        let mut traffic = Traffic::start();
        traffic.flows(50);
        looks(&first);

        let orphan = first.qemu_pid();
        first.kill();
        wait_gone(orphan);
        second.promote("hot", 2).expect("hot");
        traffic.flows(50);
        looks(&second);
        let _first = Engine::start(&spec(1));
        second.wait_state("protected");
        traffic.flows(50);
        traffic.finish();

        let boots = second.console().matches("READY").count();
        tell("reboot", false);
        eventually("the guest is up again", || {
            (second.console().matches("READY").count() > boots).then_some(())
        });
        let mut traffic = Traffic::start();
        traffic.flows(20);
        looks(&second);
        second.wait_state("protected");
        traffic.finish();
    });
}

#[test]
fn a_guest_with_an_e1000_lives_on() {
    lives_on(
        |machine| machine["interfaces"][0]["model"] = json!("e1000"),
        |_| (),
    );
}

/// What the guest reads of its device for random numbers.
fn entropy() -> String {
    let answer = tell("entropy", true);
    let digits = answer.trim_end().strip_prefix("entropy ").expect("entropy");
    assert!(
        digits.len() == 16 && digits.chars().all(|c| c.is_ascii_hexdigit()),
        "{answer}"
    );
    digits.to_owned()
}

#[test]
fn a_guest_on_q35_gets_random_numbers_wherever_it_runs() {
    lives_on(
        |machine| {
            machine["type"] = json!("pc-q35-7.2");
            machine["rng"] =
                json!({"source": "urandom", "rate": {"bytes": 4096, "period_ms": 100}});
        },
        |_| assert_ne!(entropy(), entropy()),
    );
}

#[test]
fn a_guest_of_uefi_firmware_without_variables_lives_on() {
    let firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd";
    assert!(
        std::path::Path::new(firmware).is_file(),
        "{firmware} is missing: apt-get install ovmf"
    );
    lives_on(
        |machine| {
            machine["type"] = json!("pc-q35-7.2");
            machine["firmware"] = json!(firmware);
            machine["memory_mib"] = json!(192);
        },
        |engine| {
            let said = |what| engine.console().matches(what).count();
            assert_eq!(said("efi: EFI v2"), said("READY"), "booted by UEFI");
        },
    );
}

/// What the display shows once it has come to rest, wherever the engine has said that it can be seen: another QEMU that
/// is about to end may have the first port still.
fn screen(engine: &Engine) -> Screen {
    let said = engine.logged("the display can be seen by VNC", "place");
    let port = said.as_str().and_then(|place| place.rsplit(' ').next());
    let port: u16 = port.and_then(|port| port.parse().ok()).expect("a port");
    let place = SocketAddr::from(([127, 0, 0, 1], port));
    let mut last = None;
    eventually("the display shows the same twice", || {
        let now = Screen::look(place);
        let same = now.is_some() && now == last;
        last = now;
        same.then(|| last.take()).flatten()
    })
}

#[test]
fn a_promoted_guests_display_shows_what_it_showed() {
    // What it showed when its host died.
    let shown = Mutex::new(None);
    lives_on(
        |machine| {
            machine["video"] =
                json!({"memory_mib": 16, "firmware": "/usr/share/seabios/vgabios-stdvga.bin"});
            machine["vnc"] = json!({"address": "127.0.0.1", "port": null});
            let cmdline = machine["cmdline"].as_str().expect("a command line");
            // No cursor blinks, and nobody else writes there.
            machine["cmdline"] = json!(format!("vt.global_cursor_default=0 {cmdline}"));
        },
        |engine| {
            let mut shown = shown.lock().expect("shown");
            match shown.take() {
                None => {
                    let before = screen(engine);
                    // Into the video memory of a protected guest: the answer says that it is on the other host, too.
                    assert_eq!(tell("screen 60", true), "screen 60\n");
                    let after = screen(engine);
                    assert_ne!(before, after);
                    assert!(after.lit() > 2000, "{after:?}");
                    assert_eq!(engine.said("the display can be seen by VNC"), 1);
                    *shown = Some(after);
                }
                Some(before) => assert_eq!(screen(engine), before),
            }
        },
    );
}

#[test]
fn a_guest_with_further_arguments_lives_on_with_them() {
    // Of each kind that a description may have: devices with a state of their own, and what is no device.
    let words = [
        ("-device", "qemu-xhci,id=usb"),
        ("-device", "usb-tablet,bus=usb.0"),
        ("-device", "i6300esb"),
        ("-device", "virtio-keyboard-pci"),
        ("-action", "watchdog=inject-nmi"),
        ("-rtc", "base=utc"),
        ("-fw_cfg", "name=opt/role,string=a db"),
        ("-smbios", "type=1,serial=A 1"),
        ("-global", "PIIX4_PM.disable_s3=1"),
    ];
    let words: Vec<&str> = words
        .iter()
        .flat_map(|&(option, value)| [option, value])
        .collect();
    lives_on(
        |machine| machine["qemu_arguments"] = json!(words),
        |engine| {
            let path = format!("/proc/{}/cmdline", engine.qemu_pid());
            let given = std::fs::read_to_string(path).expect("a command line");
            let given: Vec<&str> = given.trim_end_matches('\0').split('\0').collect();
            assert!(given.ends_with(&words), "{given:?}");
        },
    );
}
