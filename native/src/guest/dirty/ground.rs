//! Guest RAM as the page-table tracker divides it: hot chunks, where the kernel notes writes, and cold ones, where the
//! first write to a page waits for us.
//!
//! ```text
//!  cold: userfaultfd that reports                     hot: userfaultfd that notes (WP_ASYNC)
//!    write ─► waits ─► note the page, let it pass       write ─► passes; found by PAGEMAP_SCAN
//!                  └─► or make the chunk hot
//! ```
//! The invariant: a page that was written after the last collection is in `noted`, or lies in a hot chunk and its page
//! table entry says so. A chunk that changes its temperature is under neither descriptor for some microseconds, in which
//! any thread of QEMU may write to it unseen. So it is copied before and compared after that; the copy is what the last
//! collection left, because until then every write to the chunk was caught. Nothing is captured meanwhile ([`super::turns`]).

mod temperature;

use std::io;
use std::ops::Range;

use super::TrackerError;
use super::heat::{Answer, Heat};
use super::layout::{Layout, Span};
use crate::guest::pages::PageSet;
use crate::limits::{PAGE_BYTES, REARMED_AT_ONCE_PAGES, SCAN_REGIONS};
use crate::sys::memory::{PrefaultedBuffer, SharedMapping};
use crate::sys::pagemap::{Pagemap, Rearm, Region};
use crate::sys::userfault::Userfault;

/// What the thread that collects and the thread that answers writes have in turn.
#[derive(Debug)]
pub(super) struct Ground {
    cold: Userfault,
    hot: Userfault,
    pagemap: Pagemap,
    rearm: Rearm,
    /// Our own mapping of guest RAM: what we read does not pass QEMU's page tables.
    ram: SharedMapping,
    /// Where QEMU has guest RAM.
    layout: Layout,
    heat: Heat,
    noted: PageSet,
    before: PrefaultedBuffer,
    regions: Box<[Region]>,
    /// Pages may have been missed, until all begins anew: nothing is protected any more.
    failed: bool,
    /// Why, until the collector has been told.
    failure: Option<TrackerError>,
    /// What a test's guest does at the worst moments.
    #[cfg(test)]
    meanwhile: super::tests::Meanwhile,
}

/// When a test's guest, or a test, may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// A chunk changes its temperature.
    Change,
    /// Somebody who waits to write is about to be answered.
    Answer,
    /// A scan has found these pages.
    Found,
}

/// With what a ground is made.
pub(super) struct Parts {
    pub(super) cold: Userfault,
    pub(super) hot: Userfault,
    pub(super) pagemap: Pagemap,
    pub(super) rearm: Rearm,
    pub(super) ram: SharedMapping,
    pub(super) layout: Layout,
    pub(super) chunks_max: usize,
}

impl Ground {
    /// Registers all of RAM as cold; nothing is protected before [`Ground::rearm`].
    pub(super) fn new(parts: Parts) -> Result<Self, TrackerError> {
        let pages = parts.ram.bytes() / PAGE_BYTES;
        let heat = Heat::new(pages, parts.chunks_max);
        let ground = Self {
            cold: parts.cold,
            hot: parts.hot,
            pagemap: parts.pagemap,
            rearm: parts.rearm,
            before: PrefaultedBuffer::new(heat.most_pages_at_once() * PAGE_BYTES)
                .map_err(TrackerError::call("mmap"))?,
            regions: vec![Region::default(); SCAN_REGIONS].into_boxed_slice(),
            ram: parts.ram,
            layout: parts.layout,
            heat,
            noted: PageSet::new(pages),
            failed: false,
            failure: None,
            #[cfg(test)]
            meanwhile: super::tests::Meanwhile::default(),
        };
        ground.register_all()?;
        Ok(ground)
    }

    fn register_all(&self) -> Result<(), TrackerError> {
        self.on(&self.cold, 0..self.noted.capacity(), Userfault::register)
            .map_err(TrackerError::call("UFFDIO_REGISTER"))
    }

    /// Begins anew after a failure, as [`Ground::new`].
    pub(super) fn start_over(&mut self) -> Result<(), TrackerError> {
        self.let_go();
        self.heat.forget();
        self.noted.clear();
        self.register_all()?;
        (self.failed, self.failure) = (false, None);
        Ok(())
    }

    /// Pages that the next collection looks at.
    pub(super) fn hot_pages(&self) -> usize {
        self.heat.hot_pages()
    }

    /// Forgets what was written before; returns all pages, which [`Ground::rearm`] is to protect.
    pub(super) fn forget(&mut self) -> Range<usize> {
        self.noted.clear();
        0..self.noted.capacity()
    }

    /// Protects the first of `pages`; returns the rest. What is written to the others may be missed, and is captured later.
    pub(super) fn rearm(&mut self, pages: Range<usize>) -> Result<Range<usize>, TrackerError> {
        let end = pages.end.min(pages.start + REARMED_AT_ONCE_PAGES);
        let protected = self.protect(pages.start..end);
        self.checked(protected)?;
        Ok(end..pages.end)
    }

    /// Adds every page written since the last call to `pages` and protects it again.
    ///
    /// After an error there are none to be had before all begins anew.
    pub(super) fn collect(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        if self.failed {
            return Err(self.failure.take().unwrap_or(TrackerError::Lost));
        }
        let collected = self.find_written(pages);
        self.checked(collected)
    }

    /// `result`; after an error nothing is protected any more.
    fn checked(&mut self, result: Result<(), TrackerError>) -> Result<(), TrackerError> {
        if result.is_err() {
            self.failed = true;
            self.let_go();
        }
        result
    }

    fn find_written(&mut self, pages: &mut PageSet) -> Result<(), TrackerError> {
        let mut next = 0;
        while let Some(run) = self.noted.next_run(next, usize::MAX) {
            next = run.end;
            pages.insert(run.clone());
            self.protect_cold(run)?;
        }
        self.noted.clear();
        let mut next = 0;
        while let Some(run) = self.heat.next_hot(next) {
            next = run.end;
            let mut rest = run;
            while let Some(span) = self.layout.first_span(rest.clone()) {
                rest.start = span.page_at(span.end);
                self.scan(span, pages)?;
            }
        }
        self.heat.tick();
        Ok(())
    }

    fn scan(&mut self, span: Span, pages: &mut PageSet) -> Result<(), TrackerError> {
        let mut from = span.start;
        while from < span.end {
            let (count, walked) = self
                .pagemap
                .scan(from, span.end, self.rearm, &mut self.regions)
                .map_err(TrackerError::call("PAGEMAP_SCAN"))?;
            for index in 0..count {
                let Region { start, end, .. } = self.regions[index];
                let written = span.page_at(start)..span.page_at(end);
                self.meanwhile(Moment::Found, &written);
                if self.rearm == Rearm::ByCaller {
                    self.on(&self.hot, written.clone(), Userfault::protect)
                        .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
                }
                self.heat.written(written.clone());
                pages.insert(written);
            }
            from = step(from, walked)?;
        }
        Ok(())
    }

    /// Answers somebody who waits to write to a cold page, and has not been answered yet; false if there is nobody.
    pub(super) fn answer_next(&mut self, may_heat: bool) -> bool {
        if self.failed {
            return false;
        }
        let answered = match self.cold.next_fault() {
            Ok(None) => return false,
            Ok(Some(address)) => self.answer(address, may_heat),
            Err(error) => Err(TrackerError::call("reading a userfaultfd")(error)),
        };
        answered.map_err(|error| self.fail(error)).is_ok()
    }

    fn answer(&mut self, address: u64, may_heat: bool) -> Result<(), TrackerError> {
        let page = self.layout.page_at(address).ok_or_else(|| {
            let strange = io::Error::other(format!("{address:#x} is not guest RAM's"));
            TrackerError::call("reading a userfaultfd")(strange)
        })?;
        self.meanwhile(Moment::Answer, &(page..page + 1));
        let chunk = self.heat.chunk_of(page);
        if self.heat.is_hot(chunk) {
            // It has become so since this writer began to wait.
            return self.wake(page..page + 1);
        }
        if self.heat.write(chunk) == Answer::Heat && may_heat && self.make_hot(chunk)? {
            return Ok(());
        }
        self.noted.insert(page..page + 1);
        self.on(&self.cold, page..page + 1, Userfault::allow)
            .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))
    }

    /// The guest may write to `pages` here when a chunk changes, unseen or seen.
    #[cfg_attr(
        not(test),
        expect(clippy::unused_self, reason = "a test's guest does write")
    )]
    fn meanwhile(&self, moment: Moment, pages: &Range<usize>) {
        #[cfg(test)]
        self.meanwhile.happen(moment, pages);
        #[cfg(not(test))]
        let _ = (moment, pages);
    }

    fn wake(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        self.on(&self.cold, pages, Userfault::wake)
            .map_err(TrackerError::call("UFFDIO_WAKE"))
    }

    fn protect(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        self.protect_by_temperature(pages, true)
    }

    /// A page that was noted before its chunk became hot is found by the scan if it was written again.
    fn protect_cold(&self, pages: Range<usize>) -> Result<(), TrackerError> {
        self.protect_by_temperature(pages, false)
    }

    fn protect_by_temperature(
        &self,
        pages: Range<usize>,
        hot_too: bool,
    ) -> Result<(), TrackerError> {
        let mut rest = pages;
        while !rest.is_empty() {
            let (part, is_hot) = self.heat.split(rest.clone());
            rest.start = part.end;
            let by = match (is_hot, hot_too) {
                (true, false) => continue,
                (true, true) => &self.hot,
                (false, _) => &self.cold,
            };
            self.on(by, part, Userfault::protect)
                .map_err(TrackerError::call("UFFDIO_WRITEPROTECT"))?;
        }
        Ok(())
    }

    /// From now on this is what happens meanwhile.
    #[cfg(test)]
    pub(super) fn set_meanwhile(&mut self, meanwhile: super::tests::Meanwhile) {
        self.meanwhile = meanwhile;
    }

    /// Whether pages may have been missed, which the next collection says.
    pub(super) fn has_failed(&self) -> bool {
        self.failed
    }

    /// Pages may have been missed.
    pub(super) fn fail(&mut self, error: TrackerError) {
        tracing::error!(%error, "the guest's writes cannot be followed any more");
        self.failure.get_or_insert(error);
        self.failed = true;
        self.let_go();
    }

    /// Nobody waits for us any more: a guest that does cannot be stopped.
    fn let_go(&self) {
        let chunks = self.heat.chunk_of(self.noted.capacity() - 1) + 1;
        // One by one: which descriptor has a chunk whose change has failed is not known, and a call for more than one chunk may
        // end at the first that the descriptor does not have.
        for chunk in 0..chunks {
            let pages = self.heat.pages_of(chunk..chunk + 1);
            for by in [&self.cold, &self.hot] {
                let _ = self.on(by, pages.clone(), Userfault::unregister);
            }
            // Unregistering does not.
            let _ = self.wake(pages);
        }
    }

    /// Has `userfault` do something with `pages`.
    fn on(
        &self,
        userfault: &Userfault,
        pages: Range<usize>,
        call: fn(&Userfault, u64, u64) -> io::Result<()>,
    ) -> io::Result<()> {
        for Span { start, end, .. } in self.layout.spans(pages) {
            call(userfault, start, end - start)?;
        }
        Ok(())
    }
}

/// Where a scan goes on that came from `from` to `walked`.
fn step(from: u64, walked: u64) -> Result<u64, TrackerError> {
    if walked <= from {
        // What lies behind would be taken for unwritten.
        let stuck = io::Error::other(format!("the kernel's scan does not get beyond {from:#x}"));
        return Err(TrackerError::call("PAGEMAP_SCAN")(stuck));
    }
    Ok(walked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scan_that_gets_nowhere_is_an_error_and_not_the_end() {
        assert_eq!(step(4096, 8192).expect("further"), 8192);
        for walked in [0, 4096] {
            let error = step(4096, walked).expect_err("nowhere");
            assert!(crate::report::chain(&error).contains("0x1000"));
        }
    }
}
