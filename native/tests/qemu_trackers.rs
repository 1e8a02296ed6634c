//! The secondary has what the primary has, however written pages are found and however many processors write them.

mod common;

use std::fs;
use std::thread;
use std::time::Duration;

use common::client::{Traffic, tell};
use common::engine::{Engine, bare_spec, proxied_spec, spec};
use common::proxy::Proxy;
use common::ram::switch_over_with_equal_ram;
use common::random::Random;
use common::{in_guest_lab, in_lab};
use kemari_engine::guest::accel::{self, Accel};
use kemari_engine::guest::dirty::choice::{self, Kind};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{Guest, Platform, Start};
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::report::chain;
use kemari_engine::spec::Spec;
use serde_json::{Value, json};

#[test]
fn ram_is_equal_after_any_number_of_checkpoints_when_the_kernel_finds_the_pages() {
    equal_ram("pagemap-scan", None);
}

#[test]
fn ram_is_equal_after_any_number_of_checkpoints_when_all_of_it_is_compared() {
    equal_ram("compare", Some("comparing was asked for"));
}

fn equal_ram(tracker: &str, reason: Option<&str>) {
    for vcpus in [1, 2] {
        in_guest_lab(|lab| {
            let mut random = Random::new();
            let proxies = [Proxy::before(1), Proxy::before(2)];
            let engines = [1, 2].map(|node| {
                let mut spec = proxied_spec(lab, node);
                shape(&mut spec, vcpus, 128);
                spec["machine"]["tracker"] = json!(tracker);
                // The guest writes pages from the moment it runs.
                let cmdline = spec["machine"]["cmdline"].as_str().expect("text");
                spec["machine"]["cmdline"] = json!(format!("{cmdline} kemari.dirty=3000"));
                Engine::start(&spec)
            });
            engines[0].promote("cold", 1).expect("cold");
            let status = engines[0].wait_state("protected");
            assert_eq!(status["tracker"], tracker);
            assert_eq!(status["tracker_reason"], json!(reason));
            let mut traffic = Traffic::start();
            // There and back.
            for (from, generation) in [(0, 2), (1, 3)] {
                let to = 1 - from;
                traffic.flows(5 + random.below(120) as u64);
                switch_over_with_equal_ram(&engines[from], &engines[to], &proxies[to], generation);
                traffic.flows(20);
                engines[to].wait_state("protected");
            }
            traffic.finish();
        });
    }
}

#[test]
fn guests_of_one_to_four_processors_and_of_more_memory_survive_their_host() {
    for (vcpus, memory_mib) in [(1, 512), (2, 1024), (4, largest_guest_mib())] {
        println!("{vcpus} vCPUs, {memory_mib} MiB");
        in_guest_lab(|lab| {
            let [first, second] = [1, 2].map(|node| {
                let mut spec = spec(lab, node);
                shape(&mut spec, vcpus, memory_mib);
                Engine::start(&spec)
            });
            first.promote("cold", 1).expect("cold");
            first.wait_state("protected");
            assert_eq!(
                vcpu_threads(first.qemu_pid()),
                vcpus,
                "each vCPU has a thread"
            );
            let mut traffic = Traffic::start();
            tell("dirty 3000", true);
            traffic.flows(50);
            first.kill();
            second.promote("hot", 2).expect("hot");
            traffic.flows(100);
            traffic.finish();
        });
    }
}

/// Firmware alone runs in some machines whose KVM cannot run more than that.
#[test]
fn under_kvm_no_page_that_the_firmware_writes_is_missed() {
    in_lab(|lab| {
        for kind in [Kind::PageTables, Kind::Compare] {
            let mut spec = bare_spec(lab, 1);
            shape(&mut spec, 1, 64);
            let file = lab.folder().join("kvm.json");
            fs::write(&file, spec.to_string()).expect("write");
            let spec = Spec::read(&file).expect("valid");
            let platform = Platform {
                accel: accel::Choice {
                    accel: Accel::Kvm,
                    reason: None,
                },
                tracker: choice::Choice { kind, reason: None },
            };
            let mut guest = match Guest::start(&spec, &platform, Start::Cold) {
                Ok(guest) => guest,
                Err(error) => {
                    println!(
                        "not tried, because this machine's KVM runs no guest: {}",
                        chain(&error)
                    );
                    return;
                }
            };
            let seen = follow(&mut guest);
            println!("{kind:?}: {seen} pages seen to be written");
            assert!(seen > 0, "the firmware writes");
        }
    });
}

/// Runs a guest in pieces and keeps a copy of its RAM up to date by what the tracker says; returns how many pages that were.
fn follow(guest: &mut Guest) -> usize {
    let mut random = Random::new();
    let mut replica = vec![0; guest.pages() * PAGE_BYTES];
    let mut dirty = PageSet::new(guest.pages());
    guest.track().expect("track");
    dirty.fill();
    let mut seen = 0;
    for piece in 0..60 {
        for run in dirty.runs() {
            let bytes = run.start * PAGE_BYTES..run.end * PAGE_BYTES;
            guest.capture(bytes.start, &mut replica[bytes]);
        }
        let pages = replica.chunks(PAGE_BYTES).enumerate();
        let missed: Vec<usize> = pages
            .filter(|(page, content)| guest.ram.differs(page * PAGE_BYTES, content))
            .map(|(page, _)| page)
            .collect();
        assert_eq!(missed, Vec::<usize>::new(), "after piece {piece}");
        guest.resume().expect("resume");
        thread::sleep(Duration::from_millis(random.below(60) as u64));
        guest.pause().expect("pause");
        dirty.clear();
        guest.collect_dirty(&mut dirty).expect("collect");
        seen += dirty.count();
    }
    seen
}

fn shape(spec: &mut Value, vcpus: usize, memory_mib: u64) {
    spec["machine"]["vcpus"] = json!(vcpus);
    spec["machine"]["memory_mib"] = json!(memory_mib);
}

/// Threads of a QEMU that run its guest.
fn vcpu_threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task"))
        .expect("threads")
        .filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok())
        .filter(|name| name.starts_with("CPU "))
        .count()
}

/// Two of them leave the larger part of this machine's free memory alone.
fn largest_guest_mib() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").expect("meminfo");
    let available_kib: u64 = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|number| number.parse().ok())
        .expect("MemAvailable");
    [4096, 3072, 2048]
        .into_iter()
        .find(|mib| available_kib / 1024 > 5 * mib)
        .unwrap_or(1536)
}
