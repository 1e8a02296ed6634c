//! A guest of 16 GiB: whatever it writes is found, and a look at it costs what it writes often and not what it has; and it
//! survives its host.
//!
//! The first with one QEMU and no engine, because a pair needs more memory than most machines have that tests run on: each of
//! its engines takes all of the guest's memory when it starts, so that a replica never lacks any. It cannot be had sparsely
//! either: the kernel gives a shared file's page memory when it is read through a mapping, and a baseline reads and writes all.

mod common;

use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use common::client::{Traffic, tell};
use common::engine::{Engine, spec};
use common::{PATIENCE, available_mib, eventually, in_guest_lab, not_tried};
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::choice::Kind;
use kemari_engine::guest::pages::PageSet;
use kemari_engine::guest::{AfterSave, Guest, Platform, Start};
use kemari_engine::limits::{DEVICE_STATE_MAX_BYTES, PAGE_BYTES};
use kemari_engine::spec::Spec;
use serde_json::{Value, json};

const MEMORY_MIB: u64 = 16 << 10;
/// The guest's, what of it the copy has too, and what others are left.
const NEEDED_MIB: u64 = MEMORY_MIB + (3 << 10);
/// Both guests', and what others are left.
const PAIR_NEEDED_MIB: u64 = 2 * MEMORY_MIB + (3 << 10);
/// Pages that the guest goes on writing, round after round.
const DIRTY_PAGES_PER_SECOND: usize = 2000;
/// What may be looked at once the guest does nothing else: less than a sixteenth of its memory.
const HOT_PAGES_MAX: usize = (1 << 22) / 16;

/// A guest, and a copy of its RAM by what its tracker says.
struct Followed {
    guest: Guest,
    /// All zero at first, and only those pages of it are in memory that are not.
    replica: Vec<u8>,
    dirty: PageSet,
    state: Vec<u8>,
}

impl Followed {
    /// As a checkpoint; returns the number of pages.
    fn checkpoint(&mut self) -> usize {
        self.guest
            .stop_and_save(AfterSave::RunOn)
            .expect("stop and save");
        self.dirty.clear();
        self.guest
            .collect_dirty(&mut self.dirty, &mut || ())
            .expect("collect");
        self.capture();
        self.guest.release().expect("release");
        (self.guest.read_device_state(&mut self.state)).expect("a state");
        self.dirty.count()
    }

    fn capture(&mut self) {
        for run in self.dirty.runs() {
            let bytes = run.start * PAGE_BYTES..run.end * PAGE_BYTES;
            self.guest.capture(bytes.start, &mut self.replica[bytes]);
        }
    }

    /// Pages in which the copy is not as the guest, which stands still.
    fn differing(&self) -> Vec<usize> {
        let pages = self.replica.chunks(PAGE_BYTES).enumerate();
        pages
            .filter(|(page, content)| self.guest.ram.differs(page * PAGE_BYTES, content))
            .map(|(page, _)| page)
            .collect()
    }

    /// Stops the guest and finds nothing missing.
    fn must_lack_nothing(&mut self) {
        self.guest.pause().expect("pause");
        self.dirty.clear();
        self.guest
            .collect_dirty(&mut self.dirty, &mut || ())
            .expect("collect");
        self.capture();
        assert_eq!(self.differing(), Vec::<usize>::new());
        self.guest.resume().expect("resume");
    }
}

/// The memory of this machine, if there is as much: for one test at a time. Says so if there is not.
fn memory(what: &str, needed_mib: u64) -> Option<MutexGuard<'static, ()>> {
    static MEMORY: Mutex<()> = Mutex::new(());
    let memory = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    let available = available_mib();
    if available < needed_mib {
        let why = format!("it needs {needed_mib} MiB of memory and {available} are available");
        not_tried(what, &why);
        return None;
    }
    Some(memory)
}

#[test]
fn of_16_gib_all_that_is_written_is_found_and_a_look_follows_what_is_written_often() {
    let Some(_memory) = memory("a guest of 16 GiB", NEEDED_MIB) else {
        return;
    };
    in_guest_lab(|lab| {
        let mut spec = spec(lab, 1);
        spec["machine"]["memory_mib"] = json!(MEMORY_MIB);
        spec["machine"]["vcpus"] = json!(2);
        let cmdline = spec["machine"]["cmdline"].as_str().expect("text");
        spec["machine"]["cmdline"] =
            json!(format!("{cmdline} kemari.dirty={DIRTY_PAGES_PER_SECOND}"));
        let file = lab.folder().join("large.json");
        fs::write(&file, spec.to_string()).expect("write");
        let spec = Spec::read(&file).expect("valid");
        let platform = Platform::of(Accel::Tcg, Kind::PageTables);
        let guest = Guest::start(&spec, &platform, Start::Cold).expect("QEMU");
        let pages = guest.pages();
        let mut followed = Followed {
            guest,
            replica: vec![0; pages * PAGE_BYTES],
            dirty: PageSet::new(pages),
            state: vec![0; DEVICE_STATE_MAX_BYTES],
        };
        followed.guest.track().expect("track");
        for page in followed.differing() {
            followed.dirty.insert(page..page + 1);
        }
        followed.capture();

        followed.guest.resume().expect("boot");
        let console = &spec.machine.console_log;
        let mut seen = 0;
        eventually("the guest is up", || {
            seen += followed.checkpoint();
            thread::sleep(Duration::from_millis(50));
            let text = fs::read(console).unwrap_or_default();
            String::from_utf8_lossy(&text)
                .contains("READY")
                .then_some(())
        });
        let hot_pages = |followed: &Followed| followed.guest.hot_pages().expect("page tables");
        println!("booted: {seen} pages, {} hot", hot_pages(&followed));
        followed.must_lack_nothing();

        // What only booting wrote is cold after a while, and the guest goes on writing.
        let mut looks = 0;
        eventually("few pages are looked at", || {
            thread::sleep(Duration::from_millis(5));
            seen = followed.checkpoint();
            looks += 1;
            (looks > 300 && seen > 0 && hot_pages(&followed) < HOT_PAGES_MAX).then_some(())
        });
        let hot = hot_pages(&followed);
        println!(
            "after {looks} checkpoints within {PATIENCE:?}: {seen} pages, {hot} hot of {pages}"
        );
        assert!(hot > 0, "what is written all the time is hot");
        followed.must_lack_nothing();
    });
}

#[test]
fn a_guest_of_16_gib_survives_its_host() {
    let Some(_memory) = memory("a guest of 16 GiB with a replica", PAIR_NEEDED_MIB) else {
        return;
    };
    in_guest_lab(|lab| {
        let [first, second] = [1, 2].map(|node| {
            let mut spec = spec(lab, node);
            spec["machine"]["memory_mib"] = json!(MEMORY_MIB);
            Engine::start(&spec)
        });
        first.promote("cold", 1).expect("cold");
        let copied = |status: &Value| status["sync_progress"]["bytes"].as_u64();
        let is_protected = |status: &Value| status["state"] == "protected";
        let mut status = first.status();
        while !is_protected(&status) {
            let before = copied(&status);
            status = first.wait_status("it is copied further", |status| {
                is_protected(status) || copied(status) != before
            });
        }
        let mut traffic = Traffic::start();
        tell("dirty 3000", true);
        traffic.flows(50);
        first.kill();
        second.promote("hot", 2).expect("hot");
        traffic.flows(100);
        traffic.finish();
    });
}
