//! What the two threads of the page-table tracker must not do to each other, to a capture, and to a guest.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use super::*;
use crate::sys::pagemap::{Pagemap, Rearm, Region};

const NAMES: [&str; 2] = ["page tables", "page tables of KVM"];
/// Long enough for another thread to do what it should not be able to do.
const LONG: Duration = Duration::from_millis(300);

fn waited_for(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < Duration::from_secs(90), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_page_that_is_captured_while_its_chunk_changes_is_not_lost() {
    const OFFSET: usize = 9 * PAGE_BYTES;
    for name in NAMES {
        let mut rig = Rig::new(name, PAGES);
        rig.write(9);
        let mut owed = PageSet::new(PAGES);
        rig.tracker.collect(&mut owed, &mut || ()).expect("collect");

        // Unseen, the guest changes the page while its chunk is under neither descriptor, and takes that back.
        let (written, is_written) = channel();
        let captured = Arc::new(AtomicBool::new(false));
        let (guest, is_captured) = (Arc::clone(&rig.guest), Arc::clone(&captured));
        let steps = AtomicUsize::new(0);
        let mut before = [0; 8];
        rig.engine.copy_out(OFFSET, &mut before);
        let before = u64::from_ne_bytes(before);
        let turns = rig.turns();
        turns
            .take()
            .set_meanwhile(Meanwhile::at(Moment::Change, move |_| {
                if steps.fetch_add(1, Ordering::Relaxed) > 0 {
                    return guest.store(OFFSET, before);
                }
                guest.store(OFFSET, before + 1);
                written.send(()).expect("somebody listens");
                let since = Instant::now();
                while !is_captured.load(Ordering::Relaxed) && since.elapsed() < LONG {
                    thread::yield_now();
                }
            }));
        let changing = thread::spawn(move || turns.take().upset(0));
        is_written.recv().expect("a change");
        rig.capture(&owed);
        captured.store(true, Ordering::Relaxed);
        changing.join().expect("changed");

        rig.turns().take().set_meanwhile(Meanwhile::default());
        rig.collect();
        assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}");
    }
}

#[test]
fn no_chunk_changes_its_temperature_in_a_pause() {
    for name in NAMES {
        let mut rig = Rig::new(name, PAGES);
        let hot_pages = |rig: &Rig| rig.page_tables().expect("this tracker").hot_pages();
        rig.heat(&[5]);
        let hot = hot_pages(&rig);
        rig.tracker.begin_pause();
        // As if it took that long: the chunk is idle.
        for _ in 0..300 {
            assert_eq!(rig.collect(), Vec::<usize>::new(), "{name}");
        }
        assert_eq!(rig.turns().cool(), Cooled::NotNow, "{name}");
        // Some vCPU does not stand still yet.
        rig.write_all(2000..2010);
        assert_eq!(hot_pages(&rig), hot, "{name}");
        rig.tracker.end_pause();
        assert_eq!(rig.collect(), (2000..2010).collect::<Vec<_>>(), "{name}");
        waited_for("it is cooled afterwards", || hot_pages(&rig) == 0);
        assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}");
    }
}

#[test]
fn whoever_collects_does_not_wait_until_every_writer_has_been_answered() {
    const WRITERS: usize = 60;
    let mut rig = Rig::new("page tables", PAGES);
    let (begun, answered) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let collecting = Arc::new(AtomicBool::new(false));
    let (count, is_collecting) = (Arc::clone(&answered), Arc::clone(&collecting));
    let slowly = move |_: &Range<usize>| {
        count.fetch_add(1, Ordering::Relaxed);
        waited_for("a collection", || is_collecting.load(Ordering::Relaxed));
        thread::sleep(Duration::from_millis(2));
    };
    (rig.turns().take()).set_meanwhile(Meanwhile::at(Moment::Answer, slowly));
    let written: Vec<usize> = (0..WRITERS).map(|writer| writer * 50).collect();
    let mut found = PageSet::new(PAGES);
    thread::scope(|scope| {
        for &page in &written {
            let (guest, begun) = (&*rig.guest, &begun);
            scope.spawn(move || {
                begun.fetch_add(1, Ordering::Relaxed);
                guest.store(page * PAGE_BYTES, 1);
            });
        }
        waited_for("the writers", || begun.load(Ordering::Relaxed) == WRITERS);
        waited_for("an answer", || answered.load(Ordering::Relaxed) > 0);
        thread::sleep(LONG);
        collecting.store(true, Ordering::Relaxed);
        rig.tracker
            .collect(&mut found, &mut || ())
            .expect("collect");
        let answered = answered.load(Ordering::Relaxed);
        assert!(answered < WRITERS / 2, "{answered} were answered first");
    });
    rig.tracker
        .collect(&mut found, &mut || ())
        .expect("collect");
    assert_eq!(found.runs().flatten().collect::<Vec<_>>(), written);
}

#[test]
fn after_a_failure_nobody_waits_and_all_can_begin_anew() {
    for name in NAMES {
        let mut rig = Rig::new(name, PAGES);
        rig.heat(&[5, 1500]);
        // What a chunk is does not agree any more with what it is taken for.
        rig.turns().take().confuse(2);
        let why = TrackerError::call("UFFDIO_REGISTER")(io::ErrorKind::OutOfMemory.into());
        rig.turns().take().fail(why);
        rig.write_all(0..PAGES);
        let mut pages = PageSet::new(PAGES);
        let failed = rig.tracker.collect(&mut pages, &mut || ());
        assert!(
            matches!(failed, Err(TrackerError::Call { step, .. }) if step == "UFFDIO_REGISTER")
        );
        let failed = rig.tracker.collect(&mut pages, &mut || ());
        assert!(matches!(failed, Err(TrackerError::Lost)), "{failed:?}");

        rig.tracker.rearm_all().expect("anew");
        pages.fill();
        rig.capture(&pages);
        assert_eq!(rig.collect(), Vec::<usize>::new(), "{name}");
        for _ in 0..10 {
            let written = [5, 6, 130, 190, 1500, 2999];
            rig.write_all(written);
            assert_eq!(rig.collect(), written, "{name}");
        }
        assert!(rig.page_tables().expect("this tracker").hot_pages() > 0);
        assert_eq!(rig.missed(), Vec::<usize>::new(), "{name}");
    }
}

/// A scan that protects would have KVM drop every second-level mapping in the range that it looks at.
#[test]
fn under_kvm_a_scan_only_reads_and_just_the_written_ranges_are_protected() {
    for (name, only_reads) in [(NAMES[0], false), (NAMES[1], true)] {
        let mut rig = Rig::new(name, PAGES);
        rig.heat(&[5, 20]);
        let found = Arc::new(Mutex::new(Vec::new()));
        let pagemap = Pagemap::open(std::process::id()).expect("our own");
        let (start, noted) = (rig.guest.address(), Arc::clone(&found));
        let looking = move |pages: &Range<usize>| {
            let address = |page: usize| start + (page * PAGE_BYTES) as u64;
            let mut regions = [Region::default(); 4];
            let scanned = pagemap.scan(
                address(pages.start),
                address(pages.end),
                Rearm::ByCaller,
                &mut regions,
            );
            let (count, _) = scanned.expect("a scan");
            let bytes: u64 = regions[..count].iter().map(|run| run.end - run.start).sum();
            let unprotected = usize::try_from(bytes).expect("small") / PAGE_BYTES;
            let expected = if only_reads { pages.len() } else { 0 };
            assert_eq!(unprotected, expected, "{name}: after the scan");
            noted.lock().expect("no panic").extend(pages.clone());
        };
        (rig.turns().take()).set_meanwhile(Meanwhile::at(Moment::Found, looking));
        let written = [5, 6, 7, 20];
        rig.write_all(written);
        assert_eq!(rig.collect(), written, "{name}");
        assert_eq!(*found.lock().expect("no panic"), written, "{name}");
        assert_eq!(rig.collect(), Vec::<usize>::new(), "{name}: protected");
    }
}
