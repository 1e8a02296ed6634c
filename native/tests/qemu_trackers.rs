//! The secondary has what the primary has, however written pages are found and however many processors write them.

mod common;

use std::fs;

use common::client::{Traffic, tell};
use common::engine::{Engine, proxied_spec, spec};
use common::proxy::Proxy;
use common::ram::switch_over_with_equal_ram;
use common::random::Random;
use common::{available_mib, in_guest_lab};
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
    for (vcpus, memory_mib) in [(1, 128), (1, 512), (2, 1024), (4, largest_guest_mib())] {
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
    [4096, 3072, 2048]
        .into_iter()
        .find(|mib| available_mib() > 5 * mib)
        .unwrap_or(1536)
}
