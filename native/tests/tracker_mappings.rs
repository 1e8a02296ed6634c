//! A process that has as many mappings as the kernel allows cannot get another hot chunk. No page is lost by that.
//!
//! In a file of its own, because it is this process whose mappings are used up.

use std::ptr::null_mut;

use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::{PageTables, Tracker};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::sys::memory::{MemoryFile, SharedMapping};
use kemari_engine::sys::userfault::Userfault;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

const PAGES: usize = 4096;
/// More than `vm.max_map_count` is anywhere by default.
const SPLIT_BYTES: usize = (1 << 21) * PAGE_BYTES;

#[test]
fn without_a_mapping_left_written_pages_are_found_all_the_same() {
    let file = MemoryFile::create("tracked", PAGES * PAGE_BYTES).expect("memfd");
    let mut guest = SharedMapping::new(&file).expect("map");
    let open = || Userfault::open_own().expect("userfaultfd");
    let tracker = PageTables::attach(std::process::id(), [open(), open()], &file, Accel::Tcg);
    let mut tracker = Tracker::PageTables(tracker.expect("attach"));
    tracker.rearm_all().expect("arm");
    let written: Vec<usize> = (0..20)
        .flat_map(|place| (0..6).map(move |n| place * 200 + n))
        .collect();
    let mut rounds = Vec::with_capacity(60);
    let mut used_up = None;
    for round in 0..60u8 {
        let mut found = PageSet::new(PAGES);
        if round == 20 {
            used_up = Some(use_up_mappings());
        }
        // Without mappings from the beginning of a place on, and then with them again.
        let places = &written[..if round < 20 { 18 } else { written.len() }];
        for &page in places {
            guest.copy_in(page * PAGE_BYTES, &[round]);
        }
        tracker.collect(&mut found, &mut || ()).expect("collect");
        if round == 40 {
            let place = used_up.take().expect("used up before");
            // SAFETY: mapped by `use_up_mappings`, nothing refers to it.
            unsafe { munmap(place, SPLIT_BYTES) }.expect("munmap");
        }
        rounds.push((places.len(), found, hot_pages(&tracker)));
    }
    for (round, (places, found, _)) in rounds.iter().enumerate() {
        let found: Vec<usize> = found.runs().flatten().collect();
        assert_eq!(found, written[..*places], "round {round}");
    }
    let hot = |round: usize| rounds[round].2;
    assert!(hot(19) > 0, "there were mappings");
    assert_eq!(hot(39), hot(19), "there were none");
    assert!(hot(59) > hot(39), "there were some again");
}

fn hot_pages(tracker: &Tracker) -> usize {
    match tracker {
        Tracker::PageTables(tracker) => tracker.hot_pages(),
        Tracker::Compare(_) => 0,
    }
}

/// Splits one mapping until the kernel refuses.
fn use_up_mappings() -> *mut std::ffi::c_void {
    // SAFETY: a new mapping at an address of the kernel's choice.
    let place = unsafe {
        mmap_anonymous(
            null_mut(),
            SPLIT_BYTES,
            ProtFlags::empty(),
            MapFlags::PRIVATE | MapFlags::NORESERVE,
        )
    }
    .expect("mmap");
    for page in (1..SPLIT_BYTES / PAGE_BYTES).step_by(2) {
        // SAFETY: inside of that mapping, which nobody uses.
        let split = unsafe {
            mprotect(
                place.byte_add(page * PAGE_BYTES),
                PAGE_BYTES,
                MprotectFlags::READ,
            )
        };
        if split.is_err() {
            return place;
        }
    }
    panic!("this process may have any number of mappings");
}
