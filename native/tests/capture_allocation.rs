//! Nothing is allocated while the guest stands still: not while written pages are searched for and copied. What comes before,
//! with a real QEMU: `qemu_capture_allocation.rs`.

#[path = "common/allocations.rs"]
mod allocations;

use allocations::asked_for;
use kemari_engine::checkpoint::Staging;
use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::{Compare, PageTables, Tracker};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::limits::{PAGE_BYTES, Sizes};
use kemari_engine::sys::memory::{MemoryFile, SharedMapping};
use kemari_engine::sys::userfault::Userfault;

const PAGES: usize = 4096;

#[test]
fn a_capture_allocates_nothing_whatever_the_tracker_and_the_number_of_pages() {
    for name in ["page tables", "page tables of KVM", "compare"] {
        let file = MemoryFile::create("captured", PAGES * PAGE_BYTES).expect("memfd");
        let mut guest = SharedMapping::new(&file).expect("map");
        let mut tracker = tracker(name, &file);
        let engine = SharedMapping::new(&file).expect("map");
        tracker.rearm_all().expect("arm");
        let mut staging = Staging::new(Sizes::FULL).expect("staging");
        let (mut captured, mut owed) = (PageSet::new(PAGES), PageSet::new(PAGES));
        for round in 0..40u8 {
            // Few, many, and more than one look at the page tables reports.
            let step = [997, 64, 2][usize::from(round) % 3];
            for page in (0..PAGES).step_by(step) {
                guest.copy_in(page * PAGE_BYTES, &[round + 1]);
            }
            let before = asked_for();
            tracker.begin_pause();
            std::mem::swap(&mut captured, &mut owed);
            owed.clear();
            tracker.collect(&mut captured, &mut || ()).expect("collect");
            let pages = captured.count();
            let copied = staging.copy(
                |offset, into| tracker.capture(&engine, offset, into),
                &captured,
                0,
                Sizes::FULL.staging_pages,
            );
            tracker.end_pause();
            let after = asked_for();
            assert_eq!(after, before, "{name}, {pages} pages");
            assert!(
                copied.is_some() && pages >= PAGES / step,
                "{name}: {pages} pages"
            );
            captured.clear();
        }
    }
}

fn tracker(name: &str, file: &MemoryFile) -> Tracker {
    let attach = |accel| {
        let open = || Userfault::open_own().expect("userfaultfd");
        let pair = [open(), open()];
        PageTables::attach(std::process::id(), pair, file, accel).expect("attach")
    };
    match name {
        "page tables" => Tracker::PageTables(attach(Accel::Tcg)),
        "page tables of KVM" => Tracker::PageTables(attach(Accel::Kvm)),
        _ => Tracker::Compare(Compare::new(file).expect("memory")),
    }
}
