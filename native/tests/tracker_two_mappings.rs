//! Guest RAM and video memory are two mappings of one file in QEMU: what is written to either is found, wherever they lie.

use std::ptr::null_mut;

use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::{PageTables, Tracker};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::sys::memory::MemoryFile;
use kemari_engine::sys::userfault::Userfault;
use rustix::mm::{MapFlags, ProtFlags, mmap};

const PAGES: usize = 2000;
/// Not at the end of a chunk.
const CUT: usize = 1234;
const ROUNDS: usize = 400;

/// A part of the file, mapped.
struct Part {
    start: *mut u8,
    first: usize,
}

impl Part {
    fn map(file: &MemoryFile, pages: std::ops::Range<usize>) -> Self {
        // SAFETY: a new mapping at an address of the kernel's choice, which stays.
        let start = unsafe {
            mmap(
                null_mut(),
                pages.len() * PAGE_BYTES,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::SHARED,
                file,
                (pages.start * PAGE_BYTES) as u64,
            )
        };
        Self {
            start: start.expect("mmap").cast(),
            first: pages.start,
        }
    }

    fn write(&self, page: usize, byte: u8) {
        // SAFETY: inside of the mapping, as the caller has chosen the part by the page.
        unsafe {
            self.start
                .add((page - self.first) * PAGE_BYTES + 77)
                .write_volatile(byte);
        }
    }
}

fn both_are_tracked(accel: Accel) {
    let file = MemoryFile::create("tracked", PAGES * PAGE_BYTES).expect("memfd");
    let (video, ram) = (Part::map(&file, CUT..PAGES), Part::map(&file, 0..CUT));
    let open = || Userfault::open_own().expect("userfaultfd");
    let tracker = PageTables::attach(std::process::id(), [open(), open()], &file, accel);
    let mut tracker = Tracker::PageTables(tracker.expect("attach"));
    tracker.rearm_all().expect("arm");
    let mut most_hot = 0;
    for round in 0..ROUNDS {
        // Some pages in each round, which makes their chunks hot, the ones at the cut among them; others now and then.
        let mut written: Vec<usize> = [0, 1, CUT - 2, CUT - 1, CUT, CUT + 1, PAGES - 1].into();
        written.extend((0..5).map(|n| (round * 131 + n * 17) % PAGES));
        if round > ROUNDS / 2 {
            written.retain(|page| page.is_multiple_of(3));
        }
        let byte = u8::try_from(round % 251).expect("small");
        for &page in &written {
            let part = if page < CUT { &ram } else { &video };
            part.write(page, byte);
        }
        let mut found = PageSet::new(PAGES);
        tracker.collect(&mut found, &mut || ()).expect("collect");
        written.sort_unstable();
        written.dedup();
        let found: Vec<usize> = found.runs().flatten().collect();
        assert_eq!(found, written, "round {round}");
        if let Tracker::PageTables(tracker) = &tracker {
            most_hot = most_hot.max(tracker.hot_pages());
        }
    }
    assert!(most_hot > 0, "no chunk has become hot");
}

#[test]
fn what_is_written_to_either_mapping_is_found_once() {
    both_are_tracked(Accel::Tcg);
    both_are_tracked(Accel::Kvm);
}
