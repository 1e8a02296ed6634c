//! The search for written pages in the memory of a large guest that mostly sleeps. The memory is this process's own: the
//! kernel's path is the same as for QEMU's.

use std::time::Instant;

use kemari_engine::guest::accel::Accel;
use kemari_engine::guest::dirty::{PageTables, Tracker};
use kemari_engine::guest::pages::PageSet;
use kemari_engine::limits::PAGE_BYTES;
use kemari_engine::sys::memory::{MemoryFile, SharedMapping};
use kemari_engine::sys::userfault::Userfault;

use super::{Outcome, Times};

/// Scans at the start of a round that do not count: until memory that is not written counts as cold.
const WARM_UP: usize = 20;
/// Neighbouring pages that are written: what is hot lies together, in places that are far from each other.
const TOGETHER: usize = 8;

pub struct Scan {
    // Before the memory that it tracks.
    tracker: Tracker,
    ram: SharedMapping,
    hot: Vec<usize>,
    found: PageSet,
}

impl Scan {
    pub fn begin(gib: usize, hot: usize) -> Outcome<Self> {
        let bytes = gib << 30;
        let pages = bytes / PAGE_BYTES;
        let file = MemoryFile::create("scanned", bytes)?;
        let ram = SharedMapping::new(&file)?;
        let userfaults = [Userfault::open_own()?, Userfault::open_own()?];
        let tables = PageTables::attach(std::process::id(), userfaults, &file, Accel::Tcg)?;
        let mut tracker = Tracker::PageTables(tables);
        tracker.rearm_all()?;
        let places = hot.div_ceil(TOGETHER).max(1);
        let hot = (0..hot)
            .map(|number| number / TOGETHER * (pages / places) + number % TOGETHER)
            .collect();
        Ok(Self {
            tracker,
            ram,
            hot,
            found: PageSet::new(pages),
        })
    }

    /// One round of `scans` scans for each line of standard input.
    pub fn run(mut self, scans: usize) -> Outcome<()> {
        for line in std::io::stdin().lines() {
            line?;
            self.round(scans)?.tell();
        }
        Ok(())
    }

    /// Scans in microseconds; each must find what was written.
    fn round(&mut self, scans: usize) -> Outcome<Times> {
        let mut times_us = Vec::with_capacity(scans);
        for number in 0..scans + WARM_UP {
            for &page in &self.hot {
                self.ram.copy_in(page * PAGE_BYTES, &number.to_le_bytes());
            }
            self.found.clear();
            let begin = Instant::now();
            self.tracker.collect(&mut self.found, &mut || ())?;
            let time = begin.elapsed();
            if self.found.count() < self.hot.len() {
                return Err(format!(
                    "{} pages were written and {} were found",
                    self.hot.len(),
                    self.found.count()
                )
                .into());
            }
            if number >= WARM_UP {
                times_us.push(u64::try_from(time.as_micros())?);
            }
        }
        Ok(Times {
            whole_us: times_us,
            ..Times::default()
        })
    }
}
