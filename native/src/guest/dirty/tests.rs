//! What every tracker must do, on this process's own memory: the same kernel paths as QEMU's, without QEMU.

mod turns;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::ground::Moment;
use super::turns::{Cooled, Turns};
use super::*;
use crate::guest::accel::Accel;
use crate::limits::PAGE_BYTES;
use crate::sys::memory::{MemoryFile, SharedMapping};
use crate::sys::userfault::Userfault;

/// Not a whole number of chunks, more than one page table.
const PAGES: usize = 3000;

/// What a guest, or a test, does in the middle of something.
#[derive(Default)]
pub(super) struct Meanwhile(Option<(Moment, Act)>);

type Act = Box<dyn Fn(&Range<usize>) + Send>;

impl Meanwhile {
    fn at(moment: Moment, act: impl Fn(&Range<usize>) + Send + 'static) -> Self {
        Self(Some((moment, Box::new(act))))
    }

    pub(super) fn happen(&self, moment: Moment, pages: &Range<usize>) {
        if let Self(Some((when, act))) = self
            && *when == moment
        {
            act(pages);
        }
    }
}

impl std::fmt::Debug for Meanwhile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Meanwhile")
    }
}

/// A guest's RAM, a tracker of it, and a replica that has what was captured.
struct Rig {
    name: &'static str,
    /// Where the guest writes.
    guest: Arc<SharedMapping>,
    /// Where the engine reads.
    engine: SharedMapping,
    tracker: Tracker,
    replica: Vec<u8>,
}

impl Rig {
    fn new(name: &'static str, pages: usize) -> Self {
        let file = MemoryFile::create("tracked", pages * PAGE_BYTES).expect("memfd");
        // The only mapping there is when the tracker looks for QEMU's.
        let guest = Arc::new(SharedMapping::new(&file).expect("map"));
        let attach = |accel| {
            let open = || Userfault::open_own().expect("userfaultfd");
            let pair = [open(), open()];
            let tracker = PageTables::attach(std::process::id(), pair, &file, accel);
            Tracker::PageTables(tracker.expect("attach"))
        };
        let tracker = match name {
            "page tables" => attach(Accel::Tcg),
            "page tables of KVM" => attach(Accel::Kvm),
            _ => Tracker::Compare(Compare::new(&file).expect("memory")),
        };
        let mut rig = Self {
            name,
            guest,
            engine: SharedMapping::new(&file).expect("map"),
            tracker,
            replica: vec![0; pages * PAGE_BYTES],
        };
        rig.tracker.rearm_all().expect("arm");
        let mut all = PageSet::new(pages);
        all.fill();
        rig.capture(&all);
        rig
    }

    fn each(test: impl Fn(Self)) {
        for name in ["page tables", "page tables of KVM", "compare"] {
            test(Self::new(name, PAGES));
        }
    }

    fn write(&self, page: usize) {
        let offset = page * PAGE_BYTES + 8 * (page % 512);
        let mut value = [0; 8];
        self.engine.copy_out(offset, &mut value);
        self.guest.store(offset, u64::from_ne_bytes(value) + 1);
    }

    fn write_all(&self, pages: impl IntoIterator<Item = usize>) {
        for page in pages {
            self.write(page);
        }
    }

    /// Pages written since the last call, which the replica has now.
    fn collect(&mut self) -> Vec<usize> {
        let mut pages = PageSet::new(self.engine.bytes() / PAGE_BYTES);
        self.tracker
            .collect(&mut pages, &mut || ())
            .expect("collect");
        self.capture(&pages);
        pages.runs().flatten().collect()
    }

    fn capture(&mut self, pages: &PageSet) {
        for run in pages.runs() {
            let (start, end) = (run.start * PAGE_BYTES, run.end * PAGE_BYTES);
            let into = &mut self.replica[start..end];
            self.tracker.capture(&self.engine, start, into);
        }
    }

    /// Pages of the replica that are not as the guest has them.
    fn missed(&self) -> Vec<usize> {
        let pages = self.replica.chunks(PAGE_BYTES).enumerate();
        pages
            .filter(|(page, content)| self.engine.differs(page * PAGE_BYTES, content))
            .map(|(page, _)| page)
            .collect()
    }

    fn page_tables(&self) -> Option<&PageTables> {
        match &self.tracker {
            Tracker::PageTables(tracker) => Some(tracker),
            Tracker::Compare(_) => None,
        }
    }

    fn turns(&self) -> Arc<Turns> {
        Arc::clone(self.page_tables().expect("this tracker").turns())
    }

    /// Writes until the chunks of `pages` are hot, where there is such a thing.
    fn heat(&mut self, pages: &[usize]) {
        for _ in 0..8 {
            self.write_all(pages.iter().copied());
            self.collect();
        }
        if let Some(tracker) = self.page_tables() {
            assert!(tracker.hot_pages() > 0, "{}", self.name);
        }
    }
}

#[test]
fn exactly_the_written_pages_are_seen_and_only_once() {
    Rig::each(|mut rig| {
        let name = rig.name;
        assert_eq!(rig.collect(), Vec::<usize>::new(), "{name}");
        // Cold at first, hot later.
        for _ in 0..10 {
            let written = [0, 1, 7, 63, 64, 1500, 2999];
            rig.write_all(written.iter().copied());
            assert_eq!(rig.collect(), written, "{name}");
            assert_eq!(rig.collect(), Vec::<usize>::new(), "{name}");
            rig.write(7);
            assert_eq!(rig.collect(), [7], "{name}");
        }
        assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}");
    });
}

#[test]
fn more_pages_than_one_look_can_report_are_all_seen() {
    Rig::each(|mut rig| {
        let written: Vec<usize> = (0..PAGES).step_by(2).collect();
        for round in 0..3 {
            rig.write_all(written.iter().copied());
            assert_eq!(rig.collect(), written, "{} {round}", rig.name);
        }
        rig.write_all(0..PAGES);
        assert_eq!(
            rig.collect(),
            (0..PAGES).collect::<Vec<_>>(),
            "{}",
            rig.name
        );
    });
}

#[test]
fn a_written_page_is_seen_although_its_page_table_entry_is_gone() {
    Rig::each(|mut rig| {
        rig.heat(&[5]);
        for page in [5, 6, 2000] {
            rig.write(page);
        }
        rig.guest.forget_entries(0, PAGES * PAGE_BYTES);
        let name = rig.name;
        let seen = rig.collect();
        assert!(
            [5, 6, 2000].iter().all(|page| seen.contains(page)),
            "{name}: {seen:?}"
        );
        // And a clean one is still watched.
        for page in [7, 2001] {
            rig.write(page);
        }
        let seen = rig.collect();
        assert!(
            [7, 2001].iter().all(|page| seen.contains(page)),
            "{name}: {seen:?}"
        );
    });
}

#[test]
fn reading_is_not_writing() {
    Rig::each(|mut rig| {
        let mut page = [0; PAGE_BYTES];
        (0..PAGES).for_each(|number| rig.guest.copy_out(number * PAGE_BYTES, &mut page));
        assert_eq!(rig.collect(), Vec::<usize>::new(), "{}", rig.name);
        assert_eq!(rig.page_tables().map_or(0, PageTables::hot_pages), 0);
    });
}

#[test]
fn a_write_at_any_moment_of_a_change_of_temperature_is_seen() {
    for name in ["page tables", "page tables of KVM"] {
        let mut rig = Rig::new(name, PAGES);
        let (guest, count) = (Arc::clone(&rig.guest), AtomicUsize::new(0));
        let meanwhile = Meanwhile::at(Moment::Change, move |pages| {
            let count = count.fetch_add(1, Ordering::Relaxed);
            // Not at every moment: a chunk that is seen to be written is not cooled at all.
            if next(&mut (count as u64 + 1)).is_multiple_of(3) {
                let page = pages.start + count % pages.len();
                guest.store(page * PAGE_BYTES, count as u64 + 1);
            }
        });
        let mut random = 1;
        rig.turns().take().set_meanwhile(meanwhile);
        for round in 0..400 {
            // Few chunks, so that each is changed both ways between two collections, or not.
            rig.turns().take().upset(next(&mut random) % 3);
            if round % 2 == 0 {
                rig.collect();
                assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}, round {round}");
            }
        }
    }
}

#[test]
fn what_was_written_before_a_new_beginning_is_forgotten() {
    Rig::each(|mut rig| {
        rig.heat(&[100]);
        rig.write_all((90..110).chain(2000..2010));
        rig.tracker.rearm_all().expect("arm");
        let mut all = PageSet::new(PAGES);
        all.fill();
        rig.capture(&all);
        assert_eq!(rig.collect(), Vec::<usize>::new(), "{}", rig.name);
        for page in [100, 2000] {
            rig.write(page);
        }
        assert_eq!(rig.collect(), [100, 2000], "{}", rig.name);
    });
}

#[test]
fn what_a_collection_costs_follows_what_is_written_often_and_not_ram() {
    for name in ["page tables", "page tables of KVM"] {
        let pages = 1 << 15;
        let mut rig = Rig::new(name, pages);
        let hot_pages = |rig: &Rig| rig.page_tables().expect("this tracker").hot_pages();
        let busy: Vec<usize> = (0..50).map(|index| index * 650).collect();
        rig.heat(&busy);
        assert!(hot_pages(&rig) <= 50 * 64, "{name}: {}", hot_pages(&rig));
        // A guest that has written to all of its memory once, and is busy as before again, costs as before again.
        for page in 0..pages {
            rig.guest.store(page * PAGE_BYTES, 1);
        }
        rig.collect();
        assert!(hot_pages(&rig) > pages / 2, "{name}");
        let started = Instant::now();
        while hot_pages(&rig) > 50 * 64 * 4 {
            assert!(
                started.elapsed() < Duration::from_secs(90),
                "{name}: {} hot",
                hot_pages(&rig)
            );
            rig.write_all(busy.iter().copied());
            assert_eq!(rig.collect(), busy, "{name}");
        }
        assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 4, ..ProptestConfig::default() })]
    /// Whatever is written, by whomever, between whichever collections, the replica has it when the guest stands still.
    #[test]
    fn no_page_is_lost_under_writing_threads(seed in any::<u64>(), stops in 1..4usize) {
        Rig::each(|mut rig| {
            let mut random = seed | 1;
            for stop in 0..stops {
                let running = AtomicBool::new(true);
                let (guest, replica) = (&*rig.guest, &mut rig.replica);
                let (tracker, engine) = (&mut rig.tracker, &rig.engine);
                thread::scope(|scope| {
                    for vcpu in 0..3u64 {
                        let (mut random, running) = (random ^ vcpu.wrapping_mul(0x9E37_79B9), &running);
                        scope.spawn(move || {
                            while running.load(Ordering::Relaxed) {
                                write_somewhere(guest, &mut random);
                            }
                        });
                    }
                    for _ in 0..20 {
                        let mut pages = PageSet::new(PAGES);
                        tracker.collect(&mut pages, &mut || ()).expect("collect");
                        capture(tracker, engine, replica, &pages);
                        if let Tracker::PageTables(tracker) = tracker {
                            // As if it had become hot, or idle, just now.
                            (0..8).for_each(|_| tracker.turns().take().upset(next(&mut random)));
                        }
                    }
                    running.store(false, Ordering::Relaxed);
                });
                rig.collect();
                assert_eq!(rig.missed(), Vec::<usize>::new(), "{} at stop {stop}, seed {seed}", rig.name);
            }
        });
    }
}

fn capture(tracker: &mut Tracker, engine: &SharedMapping, replica: &mut [u8], pages: &PageSet) {
    for run in pages.runs() {
        let (start, end) = (run.start * PAGE_BYTES, run.end * PAGE_BYTES);
        tracker.capture(engine, start, &mut replica[start..end]);
    }
}

/// Mostly near the same places; sometimes back to what was there before.
fn write_somewhere(guest: &SharedMapping, random: &mut u64) {
    let number = next(random);
    let page = match number % 4 {
        0 => number >> 8,
        1 => (number >> 8) % 40,
        _ => 1000 + (number >> 8) % 200,
    };
    let page = usize::try_from(page % PAGES as u64).expect("small");
    guest.store(page * PAGE_BYTES + 8 * (page % 512), (number >> 40) % 3);
}

/// xorshift64*.
fn next(random: &mut u64) -> u64 {
    *random ^= *random >> 12;
    *random ^= *random << 25;
    *random ^= *random >> 27;
    random.wrapping_mul(0x2545_F491_4F6C_DD1D)
}
